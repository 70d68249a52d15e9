"""Editors' lists: a pool of two distributions that fades with what is known of the user."""

from __future__ import annotations

import doctest
import math

import pytest

import models.editorial
from models.editorial import EditorsList, blended, share_of_editors
from models.interactions import Interactions, Kind
from models.pool import Said, pooled
from models.ranking import Ranking, Recommended
from models.recommender import Recommender

NOW = 1.6e9
RANKING = Ranking("u", tuple(Recommended(x, s, None) for x, s in (("a", 2.0), ("b", 1.0))))


def test_the_worked_example_is_right() -> None:
    assert doctest.testmod(models.editorial).failed == 0


def test_scores_are_the_logarithm_of_the_pool() -> None:
    found = blended(RANKING, [EditorsList("L", {"b": 1.0, "c": 3.0})], 0.4)
    p_a = math.e / (math.e + 1)
    pool = {"a": 0.6 * p_a, "b": 0.6 * (1 - p_a) + 0.4 * 0.25, "c": 0.4 * 0.75}
    assert {i.item_id: math.exp(i.score) for i in found.items} == pytest.approx(pool)
    assert [i.item_id for i in found.items] == sorted(pool, key=lambda x: -pool[x])


def test_the_reason_names_the_list_where_the_editors_part_is_the_larger() -> None:
    lists = [EditorsList("Winter", {"c": 1.0, "a": 0.001}), EditorsList("Tea", {"d": 1.0})]
    reasons = {i.item_id: i.reason for i in blended(RANKING, lists, 0.5).items}
    assert reasons["a"] is None
    assert reasons["d"] is not None
    assert reasons["d"].text == "Chosen by the editors: Tea"
    assert (reasons["d"].source, reasons["d"].share) == ("editors", 1.0)


def test_the_editors_part_falls_with_every_event() -> None:
    assert [share_of_editors(h, 4) for h in range(6)] == [0.5, 0.375, 0.25, 0.125, 0.0, 0.0]
    assert share_of_editors(0, 0) == 0
    assert blended(RANKING, [EditorsList("L", {"c": 1.0})], 0.0) is RANKING


def test_a_list_is_shown_from_its_beginning_until_its_end() -> None:
    each = EditorsList("L", {"a": 1.0}, valid_from=10, valid_until=20)
    assert [each.holds(t) for t in (9.9, 10, 19.9, 20)] == [False, True, True, False]


def test_without_a_list_of_the_engine_s_the_editors_is_it() -> None:
    found = blended(Ranking("u", ()), [EditorsList("L", {"a": 1.0, "b": 3.0})], 0.5)
    assert [item.item_id for item in found.items] == ["b", "a"]


def test_what_a_user_may_see_is_what_could_be_recommended() -> None:
    recommender = Recommender()
    recommender.learn(
        Interactions.of(
            [
                ("u", "a", Kind.CLICK, None, NOW),
                ("v", "b", Kind.CLICK, None, NOW),
                ("u", "b", Kind.DISMISS, None, NOW + 1),
            ]
        )
    )
    assert recommender.may_see("new", ["a", "b", "unheard of"]) == [True, True, False]
    assert recommender.may_see("u", ["b"]) == [False]
    assert recommender.events_of(["u", "v", "new"]).tolist() == [1, 1, 0]


def test_what_is_given_is_plain_numbers() -> None:
    """A message is written from them."""
    for item in blended(RANKING, [EditorsList("L", {"a": 9.0, "c": 1.0})], 0.5).items:
        assert type(item.score) is float
        assert item.reason is None or type(item.reason.share) is float


def test_no_item_is_without_a_reason_for_being_an_opinion_s_alone() -> None:
    found = pooled(RANKING, "segments", {"new": Said(1.0, "")}, 0.4)
    (new,) = [item for item in found.items if item.item_id == "new"]
    assert new.reason is not None
    assert new.reason.text == "Popular right now."
