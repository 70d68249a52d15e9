"""Lists are as long as the catalogue allows, also where nobody has taken anything yet."""

from __future__ import annotations

from itertools import pairwise

from models.catalogue import Choice, ItemFacts
from models.engine import FEW
from models.interactions import Interactions, Kind
from models.recommender import Recommender
from models.settings import EngineSettings

NOW = 1.7e9
ITEMS = [f"i{n}" for n in range(30)]


def shop() -> Recommender:
    engine = Recommender(EngineSettings(repeats="no"))
    engine.upsert_items([ItemFacts(item, categories=("all",)) for item in ITEMS])
    return engine


def names(engine: Recommender, user: str = "u", n: int = 10) -> list[str]:
    return [item.item_id for item in engine.recommend([user], NOW, n)[0].items]


def test_a_new_shop_shows_what_it_has_and_all_of_it_by_and_by() -> None:
    engine = shop()
    seen: set[str] = set()
    for _ in range(3):
        rankings = engine.recommend(["u"], NOW)
        engine.given_out(rankings)
        held = [item.item_id for item in rankings[0].items]
        assert len({*held}) == 10
        assert not seen & {*held}
        seen |= {*held}
        reasons = [item.reason for item in rankings[0].items]
        assert all(reason and reason.source == "explore" for reason in reasons)
    assert seen == {*ITEMS}


def test_what_somebody_took_comes_first_and_the_scores_fall() -> None:
    engine = shop()
    engine.learn(Interactions.of([("a", "i7", Kind.CLICK, None, NOW)]))
    before = engine.events
    ranking = engine.recommend(["u"], NOW)[0]
    assert ranking.items[0].item_id == "i7"
    assert len(ranking.items) == 10
    scores = [item.score for item in ranking.items]
    assert all(one > other for one, other in pairwise(scores))
    assert engine.events == before
    # Nobody returns here, so whoever took it gets it no more.
    assert "i7" not in names(engine, "a", 30)
    assert len(names(engine, "a", 30)) == 29


def test_nothing_is_filled_in_that_may_not_be_shown() -> None:
    engine = shop()
    engine.upsert_items([ItemFacts("i0", categories=("all",), available=False)])
    engine.delete_items(["i1"])
    engine.upsert_items([ItemFacts("i2", categories=("banned",))])
    engine.hide([Choice(any=("banned",))])
    engine.learn(Interactions.of([("u", "i3", Kind.DISMISS, None, NOW)]))
    gone = {"i0", "i1", "i2", "i3"}
    assert {*names(engine, n=30)} == {*ITEMS} - gone
    answer = engine.answer("u", NOW, 30, exclude=["i4"], context_items=["i5"])
    assert {item.item_id for item in answer.items} == {*ITEMS} - gone - {"i4", "i5"}


def test_a_category_nobody_has_taken_is_not_empty_and_a_choice_by_name_is_not_filled() -> None:
    engine = shop()
    engine.upsert_items([ItemFacts("rare", categories=("rare",))])
    only = engine.answer("u", NOW, only=Choice(any=("rare",)))
    assert [item.item_id for item in only.items] == ["rare"]
    assert engine.answer("u", NOW, among=["i1", "i2"]).items == ()


def test_only_of_what_few_have_taken_it_is_said_that_not_many_know_it() -> None:
    engine = Recommender(EngineSettings(repeats="no"))
    taken = [f"i{n}" for n in range(150)]
    engine.upsert_items([ItemFacts(item) for item in ["new", *taken]])
    engine.learn(
        Interactions.of(
            [
                (f"{item}-{n}", item, Kind.CLICK, None, NOW + n)
                for n in range(int(FEW))
                for item in taken
            ]
        )
    )
    items = engine.recommend(["stranger"], NOW + 60, 100)[0].items
    said = {item.item_id: item.reason.text for item in items if item.reason}
    assert said.pop("new") == "Not many know this yet."
    assert len(said) == 99
    assert {*said.values()} == {"Popular right now.", "Also in the catalogue."}
