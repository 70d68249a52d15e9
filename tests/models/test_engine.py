"""What the engine promises, whatever the stream."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from models import growth, jit
from models.catalogue import Choice, ItemFacts
from models.interactions import Interactions, Kind
from models.lists import Lists
from models.lists import compact as lists_together
from models.numeric import widened
from models.recommender import Recommender
from models.settings import EngineSettings

Row = tuple[str, str, Kind, float | None, float]


def zipf_rows(events: int, *, users: int = 40, items: int = 120, seed: int = 0) -> list[Row]:
    rng = np.random.default_rng(seed)
    return [
        (
            f"u{rng.integers(users)}",
            f"i{min(int(rng.zipf(1.3)), items)}",
            Kind(int(rng.choice([0, 0, 0, 1, 3, 4, 6, 8]))),
            None,
            1.6e9 + 40.0 * k - (500.0 if k % 17 == 0 else 0.0),
        )
        for k in range(events)
    ]


def learned(
    rows: list[Row], *, chunk: int = 500, settings: EngineSettings | None = None, seed: int = 3
) -> Recommender:
    recommender = Recommender(settings or EngineSettings(), seed=seed)
    for at in range(0, len(rows), chunk):
        recommender.learn(Interactions.of(rows[at : at + chunk]))
    return recommender


def arrays(part: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """All arrays of a state by name, without its scratch and what shares memory with another."""
    if isinstance(part, np.ndarray):
        yield name, part
    elif name != ".board":
        for field in part._fields:
            if field != "others":
                yield from arrays(getattr(part, field), f"{name}.{field}")


def snapshot(recommender: Recommender) -> dict[str, bytes]:
    return {
        name: array.tobytes()
        for name, array in arrays(recommender._state)
        if name not in (".ranker.context", ".ranker.weight", ".ranker.query", ".ranker.gradient")
    }


def lists(recommender: Recommender, users: int = 40) -> list[Any]:
    return recommender.recommend([f"u{k}" for k in range(users)], 1.6e9 + 1e6, 10)


def test_nothing_learned_gives_empty_lists() -> None:
    assert Recommender().recommend(["ann"], 0.0)[0].items == ()


def test_one_item_is_all_there_is_to_recommend() -> None:
    recommender = learned([("ann", "tea", Kind.VIEW, None, 0.0)])
    (ranking,) = recommender.recommend(["bob"], 1.0)
    assert [item.item_id for item in ranking.items] == ["tea"]


def test_an_unknown_user_gets_what_is_popular() -> None:
    rows = [(f"u{k}", "hit" if k % 2 else f"i{k}", Kind.VIEW, None, 60.0 * k) for k in range(100)]
    assert learned(rows).recommend(["nobody"], 6000.0)[0].items[0].item_id == "hit"


@pytest.mark.parametrize("chunk", [1, 7])
def test_the_same_events_give_the_same_state_however_they_are_cut(chunk: int) -> None:
    rows = zipf_rows(700)
    one, other = learned(rows, chunk=500), learned(rows, chunk=chunk)
    assert snapshot(one) == snapshot(other)
    assert lists(one) == lists(other)


def test_eviction_does_not_depend_on_chunks_either() -> None:
    settings = EngineSettings(max_users=20, max_items=30)
    rows = zipf_rows(700)
    one, other = learned(rows, settings=settings), learned(rows, chunk=9, settings=settings)
    assert snapshot(one) == snapshot(other)
    assert lists(one) == lists(other)


@pytest.mark.parametrize("chunk", [1, 7])
def test_nor_does_moving_lists_together(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = []

    def compact(held: Lists) -> None:
        moved.append(held)
        lists_together(held)

    monkeypatch.setattr(growth, "compact", compact)
    monkeypatch.setattr(growth, "ABANDONED", 0.0)
    random = np.random.default_rng(1)
    rows: list[Row] = [
        (f"u{random.integers(1300)}", f"i{random.integers(1400)}", Kind.VIEW, None, 1.6e9 + 9.0 * k)
        for k in range(6000)
    ]
    one, other = learned(rows, chunk=500), learned(rows, chunk=chunk)
    assert moved
    assert snapshot(one) == snapshot(other)


def test_reading_never_writes() -> None:
    recommender = learned(zipf_rows(600))
    before = snapshot(recommender)
    lists(recommender)
    recommender.answer("u1", 1.6e9 + 1e6, context_items=["i1", "i2"], exclude=["i3"])
    assert snapshot(recommender) == before


def test_what_was_recommended_in_between_changes_nothing() -> None:
    rows = zipf_rows(600)
    asked = Recommender(seed=3)
    for at in range(0, 600, 50):
        asked.learn(Interactions.of(rows[at : at + 50]))
        lists(asked)
        asked.answer("u1", 1.6e9, context_items=["i1"])
    assert snapshot(asked) == snapshot(learned(rows))


def test_saved_and_loaded_it_recommends_the_same_and_learns_on_alike() -> None:
    recommender = learned(zipf_rows(500))
    loaded = pickle.loads(pickle.dumps(recommender))
    assert loaded.version == recommender.version
    assert lists(loaded) == lists(recommender)
    more = Interactions.of(zipf_rows(300, seed=8))
    recommender.learn(more)
    loaded.learn(more)
    assert snapshot(loaded) == snapshot(recommender)


def test_another_seed_gives_another_state() -> None:
    rows = zipf_rows(300)
    assert snapshot(learned(rows, seed=1)) != snapshot(learned(rows, seed=2))


def test_what_was_consumed_is_not_shown_again_where_nobody_returns() -> None:
    rows = [(f"u{k % 30}", f"i{(k // 30 + k) % 60}", Kind.VIEW, None, 60.0 * k) for k in range(900)]
    recommender = learned(rows, settings=EngineSettings(repeats="no"))
    own = {item for user, item, *_ in rows if user == "u1"}
    (ranking,) = recommender.recommend(["u1"], 60000.0, 20)
    assert ranking.items
    assert own.isdisjoint(item.item_id for item in ranking.items)


@pytest.mark.parametrize("kind", [Kind.DISLIKE, Kind.DISMISS])
def test_a_disliked_item_is_never_shown_to_that_user_again(kind: Kind) -> None:
    rows = zipf_rows(400)
    shown = learned(rows).recommend(["u1"], 1.6e9 + 1e6)[0].items[0].item_id
    refused = learned([*rows, ("u1", shown, kind, None, 1.6e9 + 16000)])
    assert shown not in [i.item_id for i in refused.recommend(["u1"], 1.6e9 + 1e6, 100)[0].items]


def test_an_impression_teaches_nothing() -> None:
    rows = zipf_rows(300)
    shown = [("u1", "i1", Kind.IMPRESSION, None, 1.6e9 + 12000 + k) for k in range(50)]
    assert lists(learned(rows)) == lists(learned([*rows, *shown]))


def test_view_click_and_purchase_in_one_session_are_one_interaction() -> None:
    rows: list[Row] = []
    for k in range(400):
        for kind in (Kind.VIEW, Kind.CLICK, Kind.PURCHASE):
            rows.append((f"u{k % 20}", f"i{k // 20 + k % 20}", kind, None, 3600.0 * k + kind))
    recommender = learned(rows)
    returns, events = recommender._state.repeats.returns
    assert returns == 0
    assert events == 400 - 20
    assert recommender._state.clock[1] == 400


def test_an_unavailable_or_deleted_item_is_never_shown_until_it_is_back() -> None:
    recommender = learned(zipf_rows(400))

    def shown() -> list[str]:
        return [i.item_id for r in recommender.recommend(["u1", "x"], 1.6e9, 50) for i in r.items]

    first = shown()[0]
    recommender.upsert_items([ItemFacts(first, available=False)])
    assert first not in shown()
    recommender.upsert_items([ItemFacts(first)])
    assert first in shown()
    recommender.delete_items([first])
    recommender.learn(Interactions.of([("u5", first, Kind.VIEW, None, 1.6e9 + 20000)]))
    assert first not in shown()


def test_an_answer_obeys_its_filters() -> None:
    recommender = learned(zipf_rows(600))
    recommender.upsert_items(
        [ItemFacts(f"i{k}", categories=("odd" if k % 2 else "even",)) for k in range(1, 121)]
    )
    items = [i.item_id for i in recommender.answer("x", 1.6e9, 20, only=Choice(any=("odd",))).items]
    assert items
    assert all(int(item[1:]) % 2 for item in items)
    rest = recommender.answer("x", 1.6e9, 20, only=Choice(any=("odd",)), exclude=items[:3]).items
    assert not set(items[:3]) & {i.item_id for i in rest}


def test_useless_times_and_values_poison_nothing() -> None:
    rows = zipf_rows(300)
    for k, bad in enumerate((np.nan, np.inf, -np.inf, 1e300, -1e300, 0.0, 9e12)):
        rows.insert(40 * k, ("u1", f"i{k + 1}", Kind.RATING, np.inf, bad))
    recommender = learned(rows)
    for _, array in arrays(recommender._state):
        assert np.isfinite(widened(array) if array.dtype == np.uint16 else array).all()
    assert (widened(recommender._state.covisitation.rows.halves) >= 0).all()
    assert all(np.isfinite(i.score) for r in lists(recommender) for i in r.items)


def test_forgetting_a_user_leaves_a_stranger() -> None:
    recommender = learned(zipf_rows(400))
    recommender.forget("u1")
    one, stranger = recommender.recommend(["u1", "never seen"], 1.6e9 + 1e6)
    assert one.items == stranger.items


def test_idle_users_are_forgotten_when_a_day_begins_and_all_others_are_kept() -> None:
    day, settings = 86_400.0, EngineSettings(forget_after_days=2)
    recommender = Recommender(settings)

    def act(user: str, kind: Kind, days: float) -> list[str]:
        recommender.learn(Interactions.of([(user, f"i{days}", kind, None, days * day)]))
        return recommender.forgotten_since()

    act("clicks once", Kind.CLICK, 10.9)
    act("refuses", Kind.DISLIKE, 10.9)
    act("saw it", Kind.IMPRESSION, 10.9)
    act("comes again", Kind.CLICK, 10.9)
    assert act("comes again", Kind.CLICK, 11.5) == ["saw it"]
    assert act("refuses", Kind.DISMISS, 12.1) == []
    assert act("bob", Kind.CLICK, 12.95) == []
    assert act("bob", Kind.CLICK, 13.0) == ["clicks once"]
    assert recommender.past("clicks once") is None
    assert recommender.past("comes again") is not None
    assert act("bob", Kind.CLICK, 14.2) == ["refuses", "comes again"]
    # One wrong clock, and a time that is none, begin no day.
    assert act("bob", Kind.CLICK, 9_000) == []
    assert act("bob", Kind.CLICK, float("nan")) == []
    # Who comes back after their time is a stranger first.
    assert act("bob", Kind.CLICK, 17.0) == ["bob"]
    past = recommender.past("bob")
    assert past is not None
    assert len(past.items) == 1


@pytest.mark.parametrize("chunk", [1, 7])
def test_forgetting_idle_users_does_not_depend_on_chunks(chunk: int) -> None:
    settings = EngineSettings(forget_after_days=0.05)
    rows = [(*row[:4], row[4] + 15.0 * k) for k, row in enumerate(zipf_rows(5000, users=400))]
    one, other = (learned(rows, chunk=c, settings=settings) for c in (500, chunk))
    assert len(one.forgotten_since()) > 100
    assert snapshot(one) == snapshot(other)
    assert lists(one) == lists(other)


def test_memory_is_flat_under_endless_new_users_and_items() -> None:
    settings = EngineSettings(max_users=200, max_items=300)
    recommender = Recommender(settings)

    def learn(begin: int) -> int:
        rows = [
            (f"u{k // 5}", f"i{(k // 3) if k % 2 else k}", Kind.VIEW, None, 60.0 * k)
            for k in range(begin, begin + 3000)
        ]
        recommender.learn(Interactions.of(rows))
        return sum(array.nbytes for _, array in arrays(recommender._state))

    learn(0)
    held = learn(3000)
    assert learn(6000) == held
    assert learn(9000) == held
    assert len(recommender._users) <= 200
    assert len(recommender._items) <= 300
    assert recommender.recommend(["u2399"], 1e6)[0].items


def test_nothing_is_compiled_while_events_are_processed() -> None:
    from models import compiled

    compiled.compile()
    before = [(kernel.__name__, len(kernel.signatures)) for kernel in jit.kernels]
    recommender = learned(zipf_rows(500), settings=EngineSettings(max_users=25, max_items=40))
    recommender.rank_and_learn(Interactions.of(zipf_rows(20, seed=9)))
    recommender.recommend(["u1", "x"], 1.6e9, 5, reasons=False)
    recommender.recommend(["u1", "x"], 1.6e9, 5, reasons=True)
    recommender.answer(
        "u1", 1.6e9, only=Choice(any=("c",)), exclude=["i1"], context_items=["i2", "i3"]
    )
    recommender.upsert_items([ItemFacts("new"), ItemFacts("i1", available=False)])
    recommender.delete_items(["i1"])
    recommender.user_vectors(range(recommender.user_reach))
    recommender.forget("u1")
    assert [(kernel.__name__, len(kernel.signatures)) for kernel in jit.kernels] == before
    assert compiled.is_compiled()


def test_the_list_of_an_evaluation_is_the_list_that_would_be_shown() -> None:
    rows = zipf_rows(400)
    recommender = learned(rows)
    shown = [i.item_id for i in recommender.recommend(["u1"], 1.6e9 + 16000, 10)[0].items]
    chunk = Interactions.of([("u1", "i1", Kind.VIEW, None, 1.6e9 + 16000)])
    found = recommender.rank_and_learn(chunk)
    assert recommender.item_ids(found.top_items[0][found.top_items[0] >= 0]) == shown
    assert found.ranks.shape == (1, len(found.names))


def test_state_has_room_to_grow() -> None:
    rows = [(f"u{k}", f"i{k}", Kind.VIEW, None, float(k)) for k in range(3 * growth.FIRST)]
    assert learned(rows).events == 3 * growth.FIRST
