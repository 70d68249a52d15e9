"""Relevance follows from facts, and the questions are questions."""

from __future__ import annotations

import pytest

from benchmarks.words.queries import QUERIES, Query


def test_there_are_enough_questions_and_none_twice() -> None:
    assert len({query.words for query in QUERIES}) == len(QUERIES) >= 60


def test_each_question_asks_for_something() -> None:
    assert all(query.all or query.title for query in QUERIES)


@pytest.mark.parametrize(
    ("query", "title", "categories", "relevant"),
    [
        (Query("w", ("Sci-Fi",)), "Moon (2009)", {"Sci-Fi", "Drama"}, True),
        (Query("w", ("Sci-Fi", "Horror")), "Moon (2009)", {"Sci-Fi"}, False),
        (Query("w", ("Sci-Fi",), ("Drama",)), "Moon (2009)", {"Sci-Fi", "Drama"}, False),
        (Query("w", ("Sci-Fi",), years=(2000, 2009)), "Moon (2009)", {"Sci-Fi"}, True),
        (Query("w", ("Sci-Fi",), years=(2010, 2019)), "Moon (2009)", {"Sci-Fi"}, False),
        (Query("w", ("Sci-Fi",), years=(2000, 2009)), "Moon", {"Sci-Fi"}, False),
        (Query("w", title=r"\bMoon\b"), "Moon (2009)", set(), True),
        (Query("w", title=r"\bMoon\b"), "Moonrise Kingdom (2012)", set(), False),
        (Query("w", title="2009"), "Moon (2009)", set(), False),
    ],
)
def test_a_film_is_relevant_by_its_category_year_and_title(
    query: Query, title: str, categories: set[str], relevant: bool
) -> None:
    assert query.answered_by(title, frozenset(categories)) is relevant
