"""What every source, the ranker and the engine as a whole must hold, whatever they learn."""

from __future__ import annotations

from collections import Counter
from io import BytesIO

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from streams_of import (
    DAY,
    HOUR,
    START,
    Row,
    assert_same,
    chunks,
    kept,
    learned,
    listed,
    views,
    zipf,
)

from models.catalogue import ItemFacts
from models.interactions import Interactions, Kind
from models.recommender import STRATEGY_NAMES, Recommender
from models.settings import EngineSettings

PARTS = ("users", "covisitation", "neighbours", "trends", "embeddings", "repeats", "ranker")
ROWS = zipf(1_500)
NOW = START + 11 * DAY
USERS = [f"u{k}" for k in range(40)]


@pytest.fixture(scope="module")
def engine() -> Recommender:
    return learned(ROWS)


@pytest.fixture(scope="module")
def twin() -> Recommender:
    return learned(ROWS)


def through_a_file(engine: Recommender) -> Recommender:
    """Saved and loaded as a snapshot is."""
    file = BytesIO()
    np.savez(file, **engine.arrays())  # type: ignore[arg-type]
    file.seek(0)
    return Recommender.of_arrays(dict(np.load(file, allow_pickle=False)), engine.settings)


# Every part: a function of the events, their order and the seed


@pytest.mark.parametrize("part", PARTS)
def test_the_same_seed_and_events_give_the_same_state(
    engine: Recommender, twin: Recommender, part: str
) -> None:
    assert_same(kept(engine, part), kept(twin, part))


@pytest.mark.parametrize("part", ["embeddings", "ranker"])
def test_another_seed_gives_another_state(engine: Recommender, part: str) -> None:
    one, other = kept(engine, part), kept(learned(ROWS, seed=4), part)
    assert any(one[name].tobytes() != other[name].tobytes() for name in one)


@pytest.mark.parametrize("part", ["covisitation", "neighbours", "trends", "repeats", "users"])
def test_what_counts_needs_no_luck(engine: Recommender, part: str) -> None:
    names = (".taken", ".returns", ".decayed", ".seen", "visits.size", "history.size")
    one, other = kept(engine, part), kept(learned(ROWS, seed=4), part)
    counts = [name for name in one if name.endswith(names)]
    assert counts
    for name in counts:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize("size", [1, 7])
def test_any_cut_into_chunks_gives_the_same_state_and_lists(engine: Recommender, size: int) -> None:
    other = learned(ROWS, chunk=size)
    assert_same(kept(engine), kept(other))
    assert engine.recommend(USERS, NOW) == other.recommend(USERS, NOW)


@hypothesis(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=12))
def test_uneven_chunks_make_no_difference_either(sizes: list[int]) -> None:
    rows, other, at = zipf(400), Recommender(seed=3), 0
    for size in (*sizes, len(rows)):
        other.learn(Interactions.of(rows[at : at + size]))
        at += size
    assert_same(kept(learned(rows)), kept(other))


def test_ranking_on_every_event_gives_the_same_ranks_lists_and_state_for_any_chunks() -> None:
    found = []
    for size in (500, 7, 1):
        engine = Recommender(seed=3)
        parts = [engine.rank_and_learn(part) for part in chunks(ROWS[:700], size)]
        columns = [
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("ranks", "top_items", "top_scores", "shares")
        ]
        found.append(({str(k): column for k, column in enumerate(columns)}, kept(engine)))
    for answers, state in found[1:]:
        assert_same(answers, found[0][0])
        assert_same(state, found[0][1])


@pytest.mark.parametrize("part", PARTS)
def test_reading_never_writes(engine: Recommender, part: str) -> None:
    before = kept(engine, part)
    engine.recommend([*USERS, "nobody"], NOW, 10, reasons=True)
    engine.answer("u3", NOW, 10, exclude=["i1"], context_items=["i2", "i3", "unheard of"])
    engine.answer("nobody", NOW, 10, context_items=["i2"])
    engine.scoreboard()
    engine.memory()
    assert_same(before, kept(engine, part))


def test_reading_does_not_change_what_is_learned_afterwards() -> None:
    quiet, asked = learned(ROWS[:700]), learned(ROWS[:700])
    for part in chunks(ROWS[700:], 50):
        quiet.learn(part)
        asked.recommend(["u1", "nobody"], NOW, 10)
        asked.answer("u3", NOW, 10, context_items=["i2", "i3"])
        asked.learn(part)
    assert_same(kept(quiet), kept(asked))


@pytest.mark.parametrize("at", [1, 333, 1_200])
def test_saved_and_loaded_in_the_middle_it_goes_on_as_if_nothing_had_happened(
    twin: Recommender, at: int
) -> None:
    again = through_a_file(learned(ROWS[:at]))
    assert again.events == at
    for part in chunks(ROWS[at:], 500):
        again.learn(part)
    assert_same(kept(twin), kept(again))
    assert twin.recommend(USERS, NOW) == again.recommend(USERS, NOW)


def test_saved_and_loaded_after_every_chunk_it_still_goes_on_the_same() -> None:
    rows, engine = ROWS[:400], Recommender(seed=3)
    for part in chunks(rows, 80):
        engine.learn(part)
        engine = through_a_file(engine)
    assert_same(kept(learned(rows)), kept(engine))


# Interleaving: what only counts does not mind who comes first


def interleavings() -> tuple[list[Row], list[Row]]:
    """Two crowds with nothing in common: first by turns, then one after the other. The events and
    their times are the same."""
    rng = np.random.default_rng(1)
    crowds = [
        [(f"{crowd}{rng.integers(15)}", f"{crowd}-{rng.integers(20)}") for _ in range(300)]
        for crowd in "ab"
    ]
    turns = views([pair for two in zip(*crowds, strict=True) for pair in two], every=600.0)
    return turns, sorted(turns, key=lambda row: row[0][0])


def by_name(engine: Recommender, column: np.ndarray) -> dict[str, np.ndarray]:
    return {name: column[engine._items.get(name)] for name in engine._items.names if name}


def test_counts_agree_however_independent_users_are_interleaved() -> None:
    one, other = (learned(rows) for rows in interleavings())
    for get in (
        lambda e: e._state.covisitation.taken,
        lambda e: e._state.neighbours.seen,
        lambda e: e._state.neighbours.visits.size,
    ):
        assert by_name(one, get(one)) == by_name(other, get(other))
    np.testing.assert_array_equal(one._state.repeats.returns, other._state.repeats.returns)
    assert one.events == other.events
    for user in one._users.names[1:]:
        histories = []
        for engine in (one, other):
            history, number = engine._state.users.history, engine._users.get(user)
            begin = history.start[number]
            words = history.words[begin : begin + history.size[number]]
            histories.append([engine._items.name(int(item)) for item, _ in words])
        assert histories[0] == histories[1]


def test_trends_by_time_agree_however_users_are_interleaved() -> None:
    """Forward decay: a contribution depends on its own time alone."""
    one, other = (learned(rows) for rows in interleavings())
    for engine in (one, other):
        engine.learn(Interactions.of(views([("x", "last")], start=START + 600.0 * 600)))
    scores = []
    for engine in (one, other):
        ranked = engine.rank_and_learn(
            Interactions.of([("y", f"a-{k}", Kind.VIEW, None, START + 4e5) for k in range(20)])
        )
        columns = [STRATEGY_NAMES.index(f"trends.{name}") for name in ("1d", "7d", "30d")]
        scores.append(ranked.ranks[0, columns])
    np.testing.assert_allclose(scores[0], scores[1], atol=0.5)


# Memory: bounded by the settings


def held(engine: Recommender, part: str) -> int:
    return sum(array.nbytes for array in kept(engine, part).values())


def strangers(begin: int, events: int) -> list[Row]:
    """Each user comes once, with five items of a catalogue that never stops changing."""
    pairs = [(f"u{k // 5}", f"i{k // 4 + k * 7 % 50}") for k in range(begin, begin + events)]
    return views(pairs, start=START + 30.0 * begin, every=30.0)


@pytest.fixture(scope="module")
def sizes() -> list[dict[str, int]]:
    engine, found = Recommender(EngineSettings(max_users=500, max_items=400)), []
    for begin in range(0, 24_000, 3_000):
        for part in chunks(strangers(begin, 3_000), 500):
            engine.learn(part)
        found.append({part: held(engine, part) for part in PARTS})
        assert len(engine._users) <= 500
        assert len(engine._items) <= 400
        shown = listed(engine, f"u{(begin + 2_999) // 5}", START + 30.0 * (begin + 3_000))
        assert len(shown) == 10
        assert all(int(item[1:]) > (begin + 3_000) // 4 - 450 for item in shown)
    return found


@pytest.mark.parametrize("part", PARTS)
def test_memory_is_flat_under_endless_new_users_and_items(
    sizes: list[dict[str, int]], part: str
) -> None:
    assert len({size[part] for size in sizes[3:]}) == 1


def test_a_history_beyond_its_bound_forgets_its_beginning() -> None:
    pairs = [("ann", f"i{k % 700}") for k in range(3_000)]
    engine = learned(views(pairs), settings=EngineSettings(max_history=64))
    before = held(engine, "users")
    engine.learn(Interactions.of(views(pairs, start=START + 1e6)))
    assert held(engine, "users") == before
    assert len(listed(engine, "ann", START + 2e6)) == 10


def test_endless_refusals_are_bounded_too() -> None:
    rows = [
        ("ann", f"i{k % 900}", Kind.VIEW if k % 3 == 0 else Kind.DISLIKE, None, START + k)
        for k in range(6_000)
    ]
    engine = learned(rows[:3_000], settings=EngineSettings(max_history=64))
    before = held(engine, "users")
    engine.learn(Interactions.of(rows[3_000:]))
    assert held(engine, "users") == before


# Lists: only what may be shown, each once, best first


@hypothesis(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    switched_off=st.sets(st.integers(0, 119), max_size=100),
    deleted=st.sets(st.integers(0, 119), max_size=60),  # some before anyone has taken them
    excluded=st.sets(st.integers(0, 119), max_size=60),
    context=st.lists(st.integers(0, 130), max_size=5),
    n=st.integers(1, 100),
)
def test_nothing_unavailable_deleted_excluded_or_refused_is_ever_shown(
    switched_off: set[int], deleted: set[int], excluded: set[int], context: list[int], n: int
) -> None:
    engine = learned(ROWS[:600])
    engine.upsert_items([ItemFacts(f"i{k}", available=False) for k in sorted(switched_off)])
    engine.delete_items([f"i{k}" for k in sorted(deleted)])
    engine.learn(Interactions.of(ROWS[600:700]))
    hidden = {f"i{k}" for k in switched_off | deleted}
    refused: dict[str, set[str]] = {}
    for user, item, kind, *_ in ROWS[:700]:
        if kind in (Kind.DISLIKE, Kind.DISMISS):
            refused.setdefault(user, set()).add(item)
    for ranking in engine.recommend([*USERS[:8], "nobody"], NOW, n):
        shown = [item.item_id for item in ranking.items]
        assert not set(shown) & (hidden | refused.get(ranking.user_id, set()))
        assert len(set(shown)) == len(shown) <= n
    out = [f"i{k}" for k in sorted(excluded)]
    answer = engine.answer("u1", NOW, n, exclude=out, context_items=[f"i{k}" for k in context])
    assert not {i.item_id for i in answer.items} & (hidden | set(out) | refused.get("u1", set()))


def test_a_list_of_a_hundred_holds_no_item_twice_and_falls_from_first_to_last(
    engine: Recommender,
) -> None:
    for ranking in engine.recommend(USERS, NOW, 100):
        names = [item.item_id for item in ranking.items]
        assert len(set(names)) == len(names) > 50
        scores = [item.score for item in ranking.items]
        assert scores == sorted(scores, reverse=True)
        assert np.isfinite(scores).all()


def test_a_shorter_list_is_the_beginning_of_a_longer_one() -> None:
    engine = learned(
        ROWS, settings=EngineSettings(explore=0)
    )  # the last place may be for what is new
    for short, long in zip(
        engine.recommend(USERS, NOW, 10), engine.recommend(USERS, NOW, 50), strict=True
    ):
        assert [i.item_id for i in short.items] == [i.item_id for i in long.items[:10]]


def test_asking_for_many_users_at_once_gives_what_asking_one_by_one_does() -> None:
    """But for what is tried: an item that one list held is behind others in the next."""
    engine = learned(ROWS, settings=EngineSettings(explore=0.5))
    together, one_by_one = engine.recommend(USERS, NOW), []
    for user in USERS:
        one_by_one += engine.recommend([user], NOW)
        engine.given_out(one_by_one[-1:])
    tried = [ranking.tried for ranking in together]
    assert 0.2 < np.mean(tried) < 0.8
    assert tried == [ranking.tried for ranking in one_by_one]
    for one, other in zip(together, one_by_one, strict=True):
        kept_places = len(one.items) - one.tried
        assert one.items[:kept_places] == other.items[:kept_places]


def test_reasons_change_no_list(engine: Recommender) -> None:
    for with_, without in zip(
        engine.recommend(USERS, NOW, reasons=True),
        engine.recommend(USERS, NOW, reasons=False),
        strict=True,
    ):
        assert [(i.item_id, i.score) for i in with_.items] == [
            (i.item_id, i.score) for i in without.items
        ]


@pytest.mark.parametrize("name", STRATEGY_NAMES)
def test_every_strategy_finds_something_on_a_stream_that_has_all_of_it(name: str) -> None:
    engine = Recommender(seed=3)
    items = [item for item, _ in Counter(row[1] for row in ROWS).most_common()]
    engine.upsert_items([ItemFacts(i, categories=(f"c{k % 5}",)) for k, i in enumerate(items)])
    engine.link_items(items, [[(i, 0.9 - k / 20) for k, i in enumerate(items[:10])] for _ in items])
    ranked = engine.rank_and_learn(Interactions.of(ROWS))
    ranks = ranked.ranks[:, STRATEGY_NAMES.index(name)]
    scored = ~np.isnan(ranked.ranks[:, 0])
    assert scored.mean() > 0.5
    assert np.isfinite(ranks[scored]).all()
    assert (ranks[scored] >= 0).all()
    assert np.isnan(ranks[~scored]).all()
    assert (ranks[scored] < 10).mean() > 0.05


# Hardly anything to go by


def test_an_engine_that_has_learned_nothing_answers_with_empty_lists() -> None:
    engine = Recommender()
    assert engine.recommend(["ann"], START)[0].items == ()
    assert engine.recommend([], START) == []
    assert engine.answer("ann", START, context_items=["tea"], exclude=["tea"]).items == ()
    engine.learn(Interactions.of([]))
    assert engine.events == 0
    assert engine.rank_and_learn(Interactions.of([])).ranks.shape == (0, len(STRATEGY_NAMES))


def test_one_item_is_recommended_to_all_but_who_took_it_where_nobody_returns() -> None:
    settings = EngineSettings(repeats="no")
    engine = learned([("ann", "tea", Kind.VIEW, None, START)], settings=settings)
    assert listed(engine, "bob", START + HOUR) == ["tea"]
    assert listed(engine, "ann", START + HOUR) == []


def test_one_user_alone_is_no_error() -> None:
    engine = learned(views([("ann", f"i{k % 9}") for k in range(50)]))
    assert len(listed(engine, "ann", START + DAY)) == 9
