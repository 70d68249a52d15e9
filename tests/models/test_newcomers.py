"""A new item's first list, however many others wait for theirs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from streams_of import START, assert_same, kept, learned, listed, views

from models.catalogue import Choice, ItemFacts
from models.interactions import Interactions, Kind
from models.newcomers import MOST, PATIENCE, SHOWINGS, TOGETHER, Newcomers
from models.ranking import Ranking, Recommended
from models.recommender import Recommender
from models.settings import EngineSettings

USERS = [f"u{k}" for k in range(200)]
FANS = USERS[:40]
LATE = START + 10 * 86_400.0
TAIL = 5_000


def shop(explore: float = 0.1) -> Recommender:
    """What everybody takes, what fans take beside it, and a long tail of what hardly anybody does:
    described, and in nobody's list so far."""
    rng = np.random.default_rng(0)
    pairs = [(user, f"p{i}") for user in USERS for i in rng.choice(30, 12, replace=False)]
    pairs += [(user, f"f{i}") for user in FANS for i in rng.choice(12, 6, replace=False)]
    pairs += [(str(rng.choice(USERS)), f"t{k}") for k in range(0, TAIL, 2)]
    rows = views([pairs[k] for k in rng.permutation(len(pairs))])
    settings = EngineSettings(explore=explore, repeats="no", practice=0.05)
    engine = learned(rows, settings=settings)
    engine.upsert_items([ItemFacts(f"t{k}") for k in range(TAIL)])
    return engine


def given_out(
    engine: Recommender, lists: int, users: Sequence[str] = USERS, seed: int = 1
) -> list[Ranking]:
    """What users at random get, at most twenty at a time, while others take something."""
    rng = np.random.default_rng(seed)
    given: list[Ranking] = []
    while len(given) < lists:
        event = f"w{engine.events}", f"p{engine.events % 30}", Kind.VIEW, None, LATE
        engine.learn(Interactions.of([event]))
        rankings = engine.recommend(rng.permutation(users)[:20].tolist(), LATE)
        engine.given_out(rankings)
        given += rankings
    return given


def strangers(engine: Recommender, lists: int) -> list[Ranking]:
    """What strangers get who ask one after the other, while nothing else happens."""
    given: list[Ranking] = []
    for k in range(lists):
        given += engine.recommend([f"stranger {k}"], LATE)
        engine.given_out(given[-1:])
    return given


def held(rankings: Sequence[Ranking]) -> list[str]:
    return [item.item_id for ranking in rankings for item in ranking.items]


def test_every_new_item_is_soon_in_a_list_though_thousands_wait() -> None:
    """20 items that nothing is known of but that they are there, and 5,000 that few have taken."""
    engine = shop()
    given_out(engine, 1_500)  # the tail has its turns
    new = [f"n{k}" for k in range(20)]
    engine.upsert_items([ItemFacts(item) for item in new])
    # Their patience, the turn in progress, and three of their own; half as much again for chance.
    tries = PATIENCE + 2 * TOGETHER * (1 + 3)
    assert set(new) <= set(held(given_out(engine, int(1.5 * tries / 0.1))))


@pytest.mark.parametrize("together", [1, 20])
@pytest.mark.parametrize("asking", ["strangers", "one user again and again", "one, others take"])
def test_lists_explore_at_the_rate_of_the_setting_whoever_asks(asking: str, together: int) -> None:
    rate, lists = 0.25, 2_000
    pairs = [(user, f"p{k % 30}") for k, user in enumerate(USERS * 3)]
    pairs += [("w", f"few took {k}") for k in range(40)]
    engine = learned(views(pairs), settings=EngineSettings(explore=rate, repeats="no"))
    users = ["a stranger" if asking == "strangers" else "u1"] * together
    before = kept(engine)
    tried: list[bool] = []
    while len(tried) < lists:
        if asking == "one, others take":
            engine.learn(Interactions.of([("w", f"p{len(tried) % 30}", Kind.VIEW, None, LATE)]))
        rankings = engine.recommend(users, LATE)
        engine.given_out(rankings)
        tried += [ranking.tried for ranking in rankings]
    drawn = np.array(tried)
    # To four standard deviations: of all, and of those one, two … twenty after one that explores.
    assert abs(drawn.mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / lists)
    for lag in range(1, 21):
        again = drawn[lag:][drawn[:-lag]]
        assert abs(again.mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / len(again))
    if asking != "one, others take":
        assert_same(kept(engine), before)


def test_a_new_item_is_shown_to_strangers_while_nothing_happens() -> None:
    """Though thousands wait, and nobody asks who is known."""
    engine = shop()
    strangers(engine, 1_500)
    engine.upsert_items([ItemFacts("new")])
    tries = PATIENCE + 4 * TOGETHER
    assert "new" in held(strangers(engine, int(1.5 * tries / 0.1)))


def test_a_new_item_goes_first_to_those_it_is_for() -> None:
    engine = shop(explore=1)
    given_out(engine, 400)
    engine.upsert_items([ItemFacts("new")])
    engine.link_items(["new"], [[(f"f{k}", 0.6) for k in range(12)]])
    given = given_out(engine, PATIENCE)
    by = [ranking.user_id for ranking in given if "new" in held([ranking])]
    assert by
    assert set(by) <= set(FANS)


def test_what_was_in_fewer_lists_goes_first() -> None:
    """Of new items for the same fans, the one they like least is not kept waiting by the best."""
    engine = shop(explore=1)
    given_out(engine, 400)
    new = [f"n{k}" for k in range(4)]
    engine.upsert_items([ItemFacts(item) for item in new])
    engine.link_items(new, [[(f"f{k}", 0.9 - 0.1 * n) for k in range(12)] for n in range(4)])
    assert set(new) <= set(held(given_out(engine, PATIENCE, FANS)))


@pytest.mark.parametrize("gone", ["unavailable", "deleted", "hidden", "taken by these", "refused"])
def test_what_may_not_be_listed_gets_no_turn(gone: str) -> None:
    engine = shop(explore=1)
    given_out(engine, 300)
    users = USERS[:3]
    engine.upsert_items([ItemFacts("new", categories=("odd",)), ItemFacts("other")])
    if gone == "unavailable":
        engine.upsert_items([ItemFacts("new", available=False)])
    elif gone == "deleted":
        engine.delete_items(["new"])
    elif gone == "hidden":
        engine.hide([Choice(any=("odd",))])
    else:
        kind = Kind.VIEW if gone == "taken by these" else Kind.DISLIKE
        engine.learn(Interactions.of([(user, "new", kind, None, LATE) for user in users]))
    given = held(given_out(engine, 3 * PATIENCE, users))
    assert "other" in given
    assert "new" not in given


def test_what_is_to_be_had_again_is_new_again() -> None:
    engine = shop(explore=1)
    engine.upsert_items([ItemFacts("new", available=False)])
    given_out(engine, 2 * PATIENCE)
    engine.upsert_items([ItemFacts("new")])
    assert "new" in held(given_out(engine, 2 * PATIENCE))


def test_the_place_of_what_few_have_taken_says_so() -> None:
    engine = shop(explore=1)
    engine.upsert_items([ItemFacts("new")])
    given = given_out(engine, 2 * PATIENCE)
    entry = next(e for ranking in given for e in ranking.items if e.item_id == "new")
    assert entry.reason is not None
    assert entry.reason.source != "trends"
    assert entry.reason.text != "Popular right now."


def test_the_same_calls_give_the_same_lists_and_asking_alone_changes_none() -> None:
    one, other = shop(), shop()
    for engine in (one, other):
        engine.upsert_items([ItemFacts("new")])
    assert given_out(one, 200) == given_out(other, 200)
    before = [listed(one, user, LATE) for user in USERS]
    assert [listed(one, user, LATE) for user in USERS] == before


def test_a_catalogue_that_comes_again_after_a_restart_is_not_new() -> None:
    engine = shop(explore=1)
    saved = {name: array.copy() for name, array in engine.arrays().items()}
    again = Recommender.of_arrays(saved, engine.settings)
    again.upsert_items([ItemFacts(f"t{k}") for k in range(TAIL)])
    untaken = {f"t{k}" for k in range(1, TAIL, 2)}
    assert untaken & {*held(given_out(engine, 2 * PATIENCE))}
    assert not untaken & {*held(given_out(again, 2 * PATIENCE))}


def test_the_newest_has_its_turn_first_and_those_that_waited_longest_give_up() -> None:
    newcomers = Newcomers()
    newcomers.reach(2 * MOST)
    nothing = np.empty(0, np.int32)
    for item in range(MOST + 10):
        newcomers.arrive(item)
    newcomers.given_out(nothing, PATIENCE, lambda _: True)
    newest = range(MOST + 9, MOST + 9 - TOGETHER, -1)
    assert newcomers.turn.tolist() == [*newest]
    # A turn lasts until all of it was shown, and what is forgotten leaves it.
    newcomers.given_out(np.array(newest[:4], np.int32), 1, lambda _: True)
    newcomers.forget(newest[4:7])
    assert newcomers.turn.tolist() == [-1] * 7 + [newest[7]]
    seen = {newest[7]}
    while (newcomers.turn >= 0).any():
        newcomers.given_out(newcomers.turn[newcomers.turn >= 0], 1, lambda item: item % 2 == 0)
        seen |= {*newcomers.turn.tolist()}
    assert min(seen - {-1}) == 10
    assert len(seen - {-1, newest[7]}) == (MOST - TOGETHER) / 2


def test_a_list_that_does_not_explore_shows_what_it_holds_and_is_no_try() -> None:
    one, other = shop(), shop()
    for engine in (one, other):
        engine.upsert_items([ItemFacts("new")])
    shown = Ranking("u", (Recommended("new", 0.0, None),))
    one.given_out([shown] * SHOWINGS, explored=False)
    number = one._items.get("new")
    assert one._newcomers.shown[number] == SHOWINGS
    assert one._newcomers._tries == other._newcomers._tries


def test_what_is_tried_is_known_of_every_list() -> None:
    """The lists whose last item differs from that of the same engine when it does not explore."""
    engine = shop(explore=0.3)
    users = [*USERS, "a stranger"]
    told = 0
    for event in range(20):
        exploring = engine.recommend(users, LATE, 10)
        rules = engine._rules
        engine._rules = rules._replace(explore=0.0)
        plain = engine.recommend(users, LATE, 10)
        engine._rules = rules
        for one, other in zip(exploring, plain, strict=True):
            differ = [held([one])[k] != held([other])[k] for k in range(10)]
            assert differ == [False] * 9 + [one.tried]
            assert not other.tried
        told += sum(ranking.tried for ranking in exploring)
        engine.learn(Interactions.of([("w", f"p{event}", Kind.VIEW, None, LATE)]))
    assert 0.2 < told / (20 * len(users)) < 0.4
