"""The published list, whatever others wrote: a record that every broker takes."""

from __future__ import annotations

import doctest

import pytest

import models.ranking
import schemas
from models.catalogue import ItemFacts
from models.content.words import answered
from models.editorial import EditorsList, blended
from models.interactions import Interactions, Kind
from models.ranking import Because, Ranking, Reason, Recommended
from models.recommender import Recommender
from schemas import Cause, RecommendedItem, decode_recommendation
from schemas.limits import (
    MAX_ID_CHARS,
    MAX_LIST,
    MAX_MESSAGE_BYTES,
    MAX_QUERY_CHARS,
    MAX_TITLE_CHARS,
)
from streams.recommendations import outgoing

NOW = 1.6e9
#: The longest as JSON (\u0001) and as UTF-8.
LONGEST = ("\x01", "🫖")
ITEMS = MAX_LIST + 30


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(models.ranking).failed == 0


def test_what_the_engine_says_of_an_item_is_what_is_published() -> None:
    for ours, published in (
        (Recommended, RecommendedItem),
        (Reason, schemas.Reason),
        (Because, schemas.Because),
    ):
        assert ours.__struct_fields__ == published.__struct_fields__
    why = Reason("content", 0.75, (Because("pot", 0.5), Because("cup", 0.25)), "Of a kind.")
    ranking = Ranking("ann", (Recommended("tea", 1.5, why), Recommended("mug", -0.5, None)))
    cause = Cause("events", 3, 17, event_id="7f3c")
    message = decode_recommendation(outgoing(ranking, cause=cause, model_version="5-9").value)
    theirs = [schemas.Because("pot", 0.5), schemas.Because("cup", 0.25)]
    assert message.items == [
        RecommendedItem("tea", 1.5, schemas.Reason("content", 0.75, theirs, "Of a kind.")),
        RecommendedItem("mug", -0.5),
    ]
    assert (message.recommendation_id, message.user_id) == ("events-3-17", "ann")
    assert (message.cause, message.model_version) == (cause, "5-9")


def size_of(ranking: Ranking, character: str) -> int:
    longest = character * MAX_ID_CHARS
    cause = Cause("t" * 249, 10**6, 10**18, event_id=longest, request_id=longest)
    value = outgoing(ranking, cause=cause, model_version="5-1000000000").value
    assert value is not None
    return len(value)


@pytest.mark.parametrize("character", LONGEST)
def test_the_longest_list_of_the_longest_names_fits_into_a_record(character: str) -> None:
    ids = [f"{k:03}" + character * (MAX_ID_CHARS - 3) for k in range(ITEMS)]
    recommender = Recommender()
    recommender.upsert_items([ItemFacts(i, title=character * MAX_TITLE_CHARS) for i in ids])
    walks = [[ids[(7 * user + step) % ITEMS] for step in range(30)] for user in range(40)]
    me = character * MAX_ID_CHARS
    rows = [
        (user, item, Kind.CLICK, None, NOW + 60 * k)
        for user, walk in [*((f"u{n}", walk) for n, walk in enumerate(walks)), (me, ids[::5])]
        for k, item in enumerate(walk)
    ]
    recommender.learn(Interactions.of(rows))
    (ranking,) = recommender.recommend([me], NOW + 4000, MAX_LIST)
    named = [item.reason for item in ranking.items if item.reason and "“" in item.reason.text]
    assert len(ranking.items) > 0.9 * MAX_LIST
    assert len(named) > MAX_LIST / 2
    asked = answered(
        me,
        [(item, 0.0) for item in ids[:MAX_LIST]],
        [1.0] * MAX_LIST,
        ranking,
        character * MAX_QUERY_CHARS,
        0.0,
    )
    edited = blended(ranking, [EditorsList(me, dict.fromkeys(ids[:MAX_LIST], 1.0))], 0.9)
    for each in (ranking, asked, edited):
        assert size_of(each, character) < 0.75 * MAX_MESSAGE_BYTES
