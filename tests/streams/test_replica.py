"""The fold of the log: every offset once, whoever brings it, in whatever pieces."""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from models.interactions import Interactions
from models.plugged import Plugged
from models.segments import Fact
from models.settings import EngineSettings
from schemas import decode_event
from schemas.limits import MAX_AHEAD_MS
from streams.intake import Taken, readable
from streams.replica import Place, Replica
from streams.settings import Settings

NOW_MS = 1_700_000_000_000


def log(count: int, partition: int = 0, *, user: str | None = None) -> list[ConsumerRecord]:
    values = [
        {"user_id": user or f"u{n % 7}", "item_id": f"i{n * n % 11}", "type": "click"}
        | ({"event_id": f"e{n}"} if n % 3 == 0 else {})
        for n in range(count)
    ]
    return [
        ConsumerRecord(
            topic="events",
            partition=partition,
            offset=n,
            timestamp=NOW_MS + n,
            timestamp_type=0,
            key=value["user_id"].encode(),
            value=json.dumps(value).encode(),
            checksum=None,
            serialized_key_size=0,
            serialized_value_size=0,
            headers=(),
        )
        for n, value in enumerate(values)
    ]


def learn(replica: Replica, records: Sequence[ConsumerRecord], *, practise: bool = False) -> int:
    taken: list[Taken] = readable(records, decode_event, NOW_MS)
    then = Place(records[-1].offset + 1, records[-1].timestamp)
    return replica.learn(taken, {records[0].partition: then}, practise=practise).learned


def same(one: Replica, other: Replica) -> bool:
    ours, theirs = one.arrays(), other.arrays()
    return ours.keys() == theirs.keys() and all(
        np.array_equal(array, theirs[name]) for name, array in ours.items()
    )


def test_idle_users_are_forgotten_with_the_ids_of_what_they_sent() -> None:
    replica = Replica(Settings(engine=EngineSettings(forget_after_days=1)))
    learn(replica, log(1, user="away"))
    assert len(replica.duplicates) == 1
    later = log(2, user="here")[1:]
    later[0].timestamp += 3 * 86_400_000
    taken = readable(later, decode_event, later[0].timestamp)
    replica.learn(taken, {0: Place(2, later[0].timestamp)}, practise=1.0)
    assert replica.recommender.past("away") is None
    assert len(replica.duplicates) == 0


def test_idle_users_leave_what_others_with_their_facts_are_shown() -> None:
    replica = Replica(Settings(engine=EngineSettings(forget_after_days=1)))
    away = [f"u{n}" for n in range(7)] + ["v", "w", "x"]
    for user in [*away, "stranger"]:
        replica.segments.describe(user, [Fact("country", "DE")], replica.recommender)
    replica.load({name: array.copy() for name, array in Replica(Settings()).arrays().items()})
    learn(replica, log(70))
    for partition, user in enumerate("vwx", start=1):
        learn(replica, log(1, partition, user=user))
    assert replica.segments.opinion("stranger")
    later = log(71, user="here")[70:]
    later[0].timestamp += 3 * 86_400_000
    taken = readable(later, decode_event, later[0].timestamp)
    replica.learn(taken, {0: Place(71, later[0].timestamp)}, practise=1.0)
    assert replica.recommender.past("u1") is None
    assert replica.segments.opinion("stranger") == {}
    assert "u1" in replica.segments  # a profile is the shop's to withdraw


@hypothesis(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 119), st.integers(1, 60)), max_size=8))
def test_pieces_that_overlap_come_twice_or_come_late_change_nothing(
    pieces: list[tuple[int, int]],
) -> None:
    records = log(120)
    once = Replica(Settings())
    learn(once, records)
    patched, reached = Replica(Settings()), 0
    for begin, size in pieces:
        begin = min(begin, reached)  # a gap waits until what is before it has come
        piece = records[begin : begin + size]
        learn(patched, piece)
        reached = max(reached, begin + len(piece))
    learn(patched, records[: reached + 1])
    learn(patched, records)
    assert same(once, patched)


def test_from_a_save_and_the_rest_is_the_same_as_from_the_beginning() -> None:
    records = log(300)
    whole, part = Replica(Settings()), Replica(Settings())
    learn(whole, records)
    learn(part, records[:170])
    resumed = Replica(Settings())
    resumed.load({name: array.copy() for name, array in part.arrays().items()})
    learn(resumed, records)
    assert same(whole, resumed)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("raised", "reshape"),
        ("applied", "reshape"),
        ("duplicates.sizes", "zip"),
        ("erased.until", "zip"),
    ],
)
def test_what_cannot_be_loaded_as_a_whole_changes_nothing(name: str, why: str) -> None:
    settings = Settings(erasures_retention_days=1e5)
    full, replica, untouched = Replica(settings), Replica(settings), Replica(settings)
    raising_at(full, "i4", begun=False)
    learn(full, log(60))
    full.erase("u1", NOW_MS)
    arrays = {each: array.copy() for each, array in full.arrays().items()}
    arrays[name] = arrays[name].ravel()[:-1]
    with pytest.raises(ValueError, match=why):
        replica.load(arrays)
    assert same(replica, untouched)
    assert not replica.duplicates
    assert replica.applied == {}
    assert not replica.erased.knows("u1")


def test_partitions_are_counted_apart() -> None:
    replica = Replica(Settings())
    assert learn(replica, log(30, 0, user="a")) == 30
    assert learn(replica, log(20, 1, user="b")) == 20
    assert {p: place.offset for p, place in replica.applied.items()} == {0: 30, 1: 20}


def test_what_an_erased_user_did_before_is_not_learned_again_and_what_follows_is() -> None:
    records = log(40, user="ann")
    replica = Replica(Settings())
    learn(replica, records[:10])
    replica.erase("ann", NOW_MS + 19 - MAX_AHEAD_MS)
    assert b"ann" not in b"".join(array.tobytes() for array in replica.arrays().values())
    assert learn(replica, records[10:20]) == 0
    assert learn(replica, records[20:]) == 20


def test_who_came_back_after_an_erasure_is_known_after_a_restart_that_reads_it_again() -> None:
    records = log(40, user="ann")
    replica, again = Replica(Settings()), Replica(Settings(erasures_retention_days=1e5))
    learn(replica, records[:20])
    replica.erase("ann", NOW_MS + 19 - MAX_AHEAD_MS)
    learn(replica, records[20:])
    again.load({name: array.copy() for name, array in replica.arrays().items()})
    again.erase("ann", NOW_MS + 19 - MAX_AHEAD_MS)
    assert same(replica, again)
    again.erase("ann", NOW_MS + 39 - MAX_AHEAD_MS)
    assert b"ann" not in b"".join(array.tobytes() for array in again.arrays().values())


def raising_at(replica: Replica, item: str, *, begun: bool) -> None:
    """Have learning raise at this item: in the midst of the chunk, or before any of it."""
    learn_all = replica.recommender.learn

    def learn_some(chunk: Interactions, *, practise: float) -> None:
        if item in chunk.items:
            if begun:
                learn_all(chunk.part(0, chunk.items.index(item)), practise=practise)
            raise RuntimeError(f"poison: {item}")
        learn_all(chunk, practise=practise)

    replica.recommender.learn = learn_some  # type: ignore[method-assign]


@pytest.mark.parametrize("begun", [False, True])
def test_what_raises_is_left_out_alone_and_learned_when_it_is_put_back(begun: bool) -> None:
    records = log(9)  # item i4 at 2 and 9, event e6 at 6: one of i3, with an id
    replica = Replica(Settings())
    mended = replica.recommender.learn
    raising_at(replica, "i3", begun=begun)
    taken = readable(records, decode_event, NOW_MS)
    culprits = [t for t in taken if t.message.item_id == "i3"]
    done = replica.learn(taken, {0: Place(9, NOW_MS)}, practise=0.0)
    assert done == (9 - len(culprits), 0, 0, 0, len(culprits))
    assert replica.applied[0].offset == 9
    found = replica.take_raised(taken)
    assert [t for t, _ in found] == culprits
    assert all("poison: i3" in text for _, text in found)
    assert replica.take_raised(taken) == []

    replica.recommender.learn = mended  # type: ignore[method-assign]
    again = [t._replace(record=replace(t.record, offset=9 + n)) for n, t in enumerate(taken)]
    with_id = [t for t in again if t.message.event_id]
    put_back = replica.learn(with_id, {0: Place(18, NOW_MS)}, practise=0.0)
    expected = [t for t in with_id if t.message.item_id == "i3"]
    assert expected
    assert put_back == (len(expected), 0, len(with_id) - len(expected), 0, 0)


def test_of_several_partitions_each_is_learned_from_its_place_on_also_where_one_event_raises() -> (
    None
):
    replica = Replica(Settings())
    learn(replica, log(6, partition=2)[:4])
    raising_at(replica, "i3", begun=False)
    taken = readable([*log(5, partition=7), *log(6, partition=2)], decode_event, NOW_MS)
    new = [t for t in taken if t.record.partition == 7 or t.record.offset >= 4]
    culprits = [t for t in new if t.message.item_id == "i3"]
    assert culprits
    then = {7: Place(5, NOW_MS), 2: Place(6, NOW_MS)}
    done = replica.learn(taken, then, practise=0.0)
    assert (done.before, done.raised) == (4, len(culprits))
    assert done.learned + done.duplicates == len(new) - len(culprits)
    assert replica.applied == then
    assert [t for t, _ in replica.take_raised(taken)] == culprits


def test_what_raises_once_an_event_is_learned_makes_no_dead_letter_of_it() -> None:
    records, replica = log(9), Replica(Settings())
    learn_all = replica.recommender.learn

    def learn_and_raise(chunk: Interactions, *, practise: float) -> None:
        learn_all(chunk.part(0, min(4, len(chunk))), practise=practise)
        raise RuntimeError("after the fourth")

    replica.recommender.learn = learn_and_raise  # type: ignore[method-assign]
    taken = readable(records, decode_event, NOW_MS)
    assert replica.learn(taken, {0: Place(9, NOW_MS)}, practise=0.0) == (9, 0, 0, 0, 0)
    assert replica.take_raised(taken) == []
    assert replica.recommender.events == 9


def test_what_raised_becomes_a_dead_letter_also_after_a_restart() -> None:
    replica, again = Replica(Settings()), Replica(Settings())
    raising_at(replica, "i0", begun=False)
    taken = readable(log(12), decode_event, NOW_MS)
    replica.learn(taken, {0: Place(12, NOW_MS)}, practise=0.0)
    again.load({name: array.copy() for name, array in replica.arrays().items()})
    found = again.take_raised(taken)
    assert [t.record.offset for t, _ in found] == [0, 11]
    assert all("poison: i0" in text for _, text in found)


def test_what_was_learned_before_is_not_said_to_have_raised() -> None:
    records = log(12)
    replica = Replica(Settings())
    learn(replica, records[:6])
    raising_at(replica, "i0", begun=False)
    taken = readable(records, decode_event, NOW_MS)
    replica.learn(taken, {0: Place(12, NOW_MS)}, practise=0.0)
    assert {t.record.offset for t, _ in replica.take_raised(taken)} == {11}


def test_who_was_erased_longer_ago_than_the_wish_is_kept_is_not_kept_either() -> None:
    replica, again = Replica(Settings()), Replica(Settings(erasures_retention_days=1))
    replica.erase("ann", NOW_MS)
    again.load({name: array.copy() for name, array in replica.arrays().items()})
    assert (len(replica.erased), len(again.erased)) == (1, 0)


def test_a_save_from_before_the_erased_were_kept_is_taken_up() -> None:
    replica, again = Replica(Settings()), Replica(Settings())
    learn(replica, log(10))
    arrays = {n: a.copy() for n, a in replica.arrays().items() if not n.startswith("erased.")}
    again.load(arrays)
    assert same(replica, again)


def test_a_plugged_in_model_learns_with_the_replica_and_starts_anew_after_a_load() -> None:
    settings = Settings(
        engine=EngineSettings(plugin="river.reco:BiasedMF", plugin_parameters='{"seed": 1}')
    )
    replica, again = Replica(settings), Replica(settings)
    learn(replica, log(300), practise=True)
    assert isinstance(replica.recommender, Plugged)
    assert replica.recommender.weight != 0
    again.load({name: array.copy() for name, array in replica.arrays().items()})
    assert isinstance(again.recommender, Plugged)
    assert (again.recommender.events, again.recommender.weight) == (300, 0.0)
