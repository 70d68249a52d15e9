"""Questions in words: what is understood, what is remembered, and how the answer is ranked."""

from __future__ import annotations

import doctest
import time

import numpy as np
import pytest

import models.content.titles
import models.content.utterance
from models.catalogue import ItemFacts
from models.content.conversation import (
    FADE,
    MOST_LEFT_OUT,
    MOST_REFUSALS,
    Conversation,
    Conversations,
)
from models.content.titles import Titles
from models.content.utterance import LESS, RULED_OUT, understood
from models.content.words import MATCHES, SCALE, SOURCE, answered, scores
from models.ranking import Because, Ranking, Reason, Recommended

TITLES = Titles()
TITLES.upsert(
    ItemFacts(name, title=title)
    for name, title in {
        "moon": "Moon (2009)",
        "old": "No Country for Old Men (2007)",
        "matrix": "Matrix, The (1999)",
        "war": "War",
    }.items()
)


def test_a_title_of_blanks_costs_no_more_than_another() -> None:
    def seconds(title: str) -> float:
        began = time.perf_counter()
        for _ in range(200):
            TITLES.of(title)
        return time.perf_counter() - began

    # Looking for the year at each of the blanks took a thousand times as long.
    assert seconds(" " * 3_999 + "x") < 50 * seconds("x" * 4_000) + 0.5


@pytest.mark.parametrize(
    ("query", "wanted", "unwanted"),
    [
        ("a slow film, not too sad", "a slow film", {"sad": LESS}),
        ("science fiction, nothing scary", "science fiction", {"scary": RULED_OUT}),
        ("a romance without jokes", "a romance", {"jokes": RULED_OUT}),
        ("a comedy and no drama", "a comedy", {"drama": RULED_OUT}),
        ("no horror and no gore, please", "", {"horror": RULED_OUT, "gore": RULED_OUT}),
        ("no horror, violence or gore", "", {"horror, violence or gore": RULED_OUT}),
        ("no robots, something sad or slow", "something sad or slow", {"robots": RULED_OUT}),
        ("less romance, more action", "more action", {"romance": LESS}),
        ("not sad but funny", "funny", {"sad": RULED_OUT}),
        ("I don’t want anything sad", "", {"sad": RULED_OUT}),
        ("not only for kids", "not only for kids", {}),
        ("<b>robots</b> &amp; ghosts", "robots & ghosts", {}),
        ("ohne Musik", "ohne Musik", {}),
        ("no", "", {}),
        ("  ", "", {}),
    ],
)
def test_refusals_are_told_from_what_is_wanted(
    query: str, wanted: str, unwanted: dict[str, float]
) -> None:
    said = understood(query)
    assert said.wanted.text == wanted
    assert {part.text: part.weight for part in said.unwanted} == unwanted


@pytest.mark.parametrize(
    ("query", "for_it", "against_it"),
    [
        ("less of that", False, True),
        ("nothing like those", False, True),
        ("not that", False, True),
        ("more like these, but funny", True, False),
        ("something like it", True, False),
        ("that old film", False, False),
    ],
)
def test_that_is_what_was_listed_last(query: str, for_it: bool, against_it: bool) -> None:
    said = understood(query)
    assert said.wanted.that == for_it
    assert any(part.that for part in said.unwanted) == against_it


@pytest.mark.parametrize(
    ("query", "wanted", "unwanted", "examples"),
    [
        ("a film like Moon, not too sad", ("moon",), (), ("moon",)),
        ("nothing like Moon", (), ("moon",), ("moon",)),
        ("like No Country for Old Men but funny", ("old",), (), ("old",)),
        ('"no country for old men"', ("old",), (), ()),
        ("a film like “The Matrix” without robots", ("matrix",), (), ("matrix",)),
        ("I like war films", (), (), ()),
    ],
)
def test_items_are_named_by_their_titles(
    query: str, wanted: tuple[str, ...], unwanted: tuple[str, ...], examples: tuple[str, ...]
) -> None:
    said = understood(query, TITLES)
    assert said.wanted.items == wanted
    assert tuple(item for part in said.unwanted for item in part.items) == unwanted
    assert said.examples == examples


def test_of_many_refusals_no_more_are_encoded_than_are_remembered() -> None:
    said = understood(" ".join(f"no n{k}" for k in range(200)))
    assert [part.text for part in said.unwanted] == [f"n{k}" for k in range(200)][-MOST_REFUSALS:]


@pytest.mark.parametrize(
    "query",
    ["no " + 490 * "but " + "x", 990 * "x " + "no", 660 * "no ", 500 * "not ", 500 * '"a" '],
)
def test_the_longest_query_is_understood_in_no_time(query: str) -> None:
    """Events wait meanwhile. These took up to .25 s when each word was looked for from the first
    on, or to the last."""

    def seconds() -> float:
        began = time.process_time()
        understood(query, TITLES)
        return time.process_time() - began

    assert min(seconds() for _ in range(5)) < 0.03


def test_a_title_that_changed_or_went_is_not_found() -> None:
    titles = Titles()
    titles.upsert([ItemFacts("a", title="Moon"), ItemFacts("b", title="Moon (2009)")])
    titles.upsert([ItemFacts("a", title="Sun")])
    assert titles.of("moon") == ("b",)
    titles.delete(["b", "never"])
    assert titles.of("Moon") == ()
    assert titles.of("the sun!") == ("a",)


X, Y, Z = np.eye(3, dtype=np.float32)
NOWHERE = np.zeros(3, np.float32)


def test_what_was_asked_before_counts_less_with_each_turn_and_a_refusal_ages_nothing() -> None:
    talk = Conversation()
    talk.hear(2 * X, [])
    talk.hear(None, [(Z, RULED_OUT)])
    np.testing.assert_allclose(talk.query(NOWHERE), [1, 0, -RULED_OUT], atol=1e-6)
    talk.hear(Y, [])
    np.testing.assert_allclose(talk.query(NOWHERE), [FADE, 1, -FADE * RULED_OUT], atol=1e-6)


def test_only_a_refusal_asks_for_anything_else() -> None:
    talk = Conversation()
    talk.hear(None, [(Z, LESS)])
    assert talk.query(X) @ X > 0 > talk.query(X) @ Z


def test_conversations_are_bounded_and_expire() -> None:
    talks = Conversations(seconds=60, most=2)
    first = talks.of("ann", "s", now=0)
    assert talks.of("ann", "s", now=50) is first
    assert talks.of("ann", None, now=50) is not talks.of("ann", None, now=50)
    assert talks.of("ann", "s", now=111) is not first
    talks.of("bob", "s", now=112)
    talks.of("cid", "s", now=113)
    assert len(talks) == 2
    talks.forget(["bob"])
    assert len(talks) == 1

    for number in range(2 * MOST_LEFT_OUT):
        first.hear(None, [(X, LESS)])
        first.leave_out([str(number)])
    assert len(first.unwanted) == MOST_REFUSALS
    assert len(first.left_out) == MOST_LEFT_OUT


def test_the_score_is_what_fits_times_what_this_user_would_take() -> None:
    cosines, taken = np.array([0.5, 0.5, 0.4]), np.array([0.0, 9.0, 0.0])
    plain = scores(cosines, taken)
    assert plain[1] - plain[0] == pytest.approx(np.log(10))
    assert plain[0] - plain[2] == pytest.approx(SCALE * 0.1)
    engine = np.array([3.0, -np.inf, -np.inf])
    chance = np.exp(scores(cosines, taken, engine) - SCALE * cosines)
    np.testing.assert_allclose(chance, [0.5 + 0.5 / 12, 0.5 * 10 / 12, 0.5 / 12])


def test_reasons_say_what_was_asked_for() -> None:
    because = Reason("covisitation", 0.9, (Because("tea", 1.0),), "Because you chose “tea”.")
    engine = Ranking("ann", (Recommended("cup", 2.0, because),))
    near = [("cup", 0.3), ("pot", 0.9)]
    answer = answered("ann", near, [1, 1], engine, "a pot", 0.1)
    first, second = (item.reason for item in answer.items)
    assert first == Reason(SOURCE, 1.0, (), "Matches what you asked for: a pot.")
    assert second is not None
    assert second.source == "covisitation"
    assert second.text == "Matches what you asked for: a pot. Because you chose “tea”."
    assert answered("ann", [], [], Ranking("ann", ()), "x", 0.1).items == ()
    long = answered("ann", near, [1, 1], engine, "w" * 500, 0.1).items[0].reason
    assert long is not None
    assert len(long.text) < 120


def test_only_of_what_lies_well_above_the_usual_it_is_said_that_it_matches() -> None:
    level = 0.1 + MATCHES / SCALE
    near = [("pot", level + 0.01), ("cup", level - 0.01)]
    answer = answered("ann", near, [1, 1], Ranking("ann", ()), "a pot", 0.1)
    said = {item.item_id: item.reason.text for item in answer.items if item.reason}
    assert said == {
        "pot": "Matches what you asked for: a pot.",
        "cup": "Among the nearest to what you asked for: a pot.",
    }


def test_the_examples_in_the_docstrings_hold() -> None:
    for module in (models.content.titles, models.content.utterance):
        assert doctest.testmod(module).failed == 0
