"""What has a place in a list to be tried keeps it where rules choose from a longer list."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.catalogue import Choice, ItemFacts
from models.interactions import Interactions, Kind
from models.recommender import Recommender
from models.rules import Boost, Rules
from models.segments import Segments
from models.settings import EngineSettings
from schemas import Request
from streams.metrics import Metrics
from streams.reranking import Reranking
from streams.settings import Settings

NOW = 1.7e9
ITEMS = 200
USERS = [f"u{n}" for n in range(60)]
BOOST = Boost(Choice(any=("common",)), 2.0)


@pytest.fixture(scope="module")
def engine() -> Recommender:
    """Items that are taken, more than rules choose from, and twenty that are not, but are like
    others."""
    rng = np.random.default_rng(1)
    recommender = Recommender(EngineSettings(explore=1, repeats="no", practice=0.05))
    items = rng.integers(0, ITEMS, 4_000)
    rows: list[Any] = [
        (str(rng.choice(USERS)), f"i{item}", Kind.VIEW, None, NOW) for item in items.tolist()
    ]
    recommender.learn(Interactions.of(rows))
    recommender.upsert_items([ItemFacts(f"i{n}", categories=("common",)) for n in range(ITEMS)])
    new = [f"n{n}" for n in range(20)]
    recommender.upsert_items([ItemFacts(item, categories=("new",)) for item in new])
    recommender.link_items(new, [[(f"i{n}", 0.9)] for n in range(20)])
    return recommender


def reranking(rules: Rules) -> Reranking:
    unused: Any = None
    made = Reranking(Settings(), unused, Segments(), Metrics())
    made._rules = rules
    return made


def new_ones(lists: list[list[str]]) -> int:
    return sum(item.startswith("n") for items in lists for item in items)


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        (Rules(), True),
        (Rules(boosts=(BOOST,)), True),
        (Rules(diversity=0.3), True),
        (Rules(boosts=(BOOST,), caps={"new": 1}), True),
        (Rules(boosts=(BOOST,), bans=(Choice(any=("new",)),)), False),
    ],
)
def test_an_item_to_be_tried_has_the_last_place_unless_it_is_banned(
    engine: Recommender, rules: Rules, kept: bool
) -> None:
    engine.hide(rules.bans)
    made = reranking(rules)
    lists = [
        [item.item_id for item in ranking.items]
        for ranking in made.recommend(engine, USERS, NOW, 10)
    ]
    in_session = [f"i{n}" for n in range(20)]
    requests = [Request(user_id=user, ts=0) for user in USERS]
    requests += [Request(user_id=user, ts=0, context_items=in_session) for user in USERS]
    answers = [
        [item.item_id for item in made.answer(engine, request, NOW).items] for request in requests
    ]
    for several in (lists, answers[: len(USERS)], answers[len(USERS) :]):
        assert all(len({*items}) == 10 for items in several)
        assert new_ones([items[:9] for items in several]) < len(USERS) / 4
        tried = new_ones([items[9:] for items in several])
        assert tried > len(USERS) / 2 if kept else tried == 0


def test_a_cap_holds_for_what_is_tried_too(engine: Recommender) -> None:
    engine.hide(())
    made = reranking(Rules(boosts=(BOOST,), caps={"new": 1}))
    facts = {n: ItemFacts(n, categories=("new",)) for n in ("n1", "n2")}
    assert made._rules.admit(facts["n2"], [])
    assert not made._rules.admit(facts["n2"], [facts["n1"]])


def test_scores_never_rise_along_a_list_that_ends_with_what_is_tried(engine: Recommender) -> None:
    engine.hide(())
    for ranking in reranking(Rules(boosts=(BOOST,))).recommend(engine, USERS, NOW, 10):
        scores = [item.score for item in ranking.items]
        assert scores == sorted(scores, reverse=True)


def test_a_list_of_one_is_not_given_to_what_is_tried(engine: Recommender) -> None:
    engine.hide(())
    made = reranking(Rules(boosts=(BOOST,)))
    lists = made.recommend(engine, USERS, NOW, 1)
    lists += [made.answer(engine, Request(user_id=user, ts=0, n=1), NOW) for user in USERS]
    assert all(len(ranking.items) == 1 for ranking in lists)
    assert new_ones([[ranking.items[0].item_id] for ranking in lists]) < len(USERS) / 4
