"""Most popular and random, against slow and obvious versions of themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.log import POSITIVE, EventLog
from models.evaluation.references import Repeats, references
from models.interactions import Interactions, Kind


def log_of(rows: list[tuple[str, str, Kind]]) -> EventLog:
    return EventLog.of(
        Interactions.of((u, i, k, None, float(n)) for n, (u, i, k) in enumerate(rows))
    )


def everything(log: EventLog) -> np.ndarray:
    return np.ones(len(log), bool)


def slowly(rows: list[tuple[str, str, Kind]], repeats: Repeats) -> tuple[list[float], list[int]]:
    count: dict[str, int] = {}
    owned: dict[str, set[str]] = {}
    ranks, pools = [], []
    for user, item, kind in rows:
        own = owned.setdefault(user, set())
        if item in count:
            pool = [i for i in count if not (repeats == "no" and i in own)]
            if item in pool:
                higher = sum(count[i] > count[item] for i in pool)
                equal = sum(count[i] == count[item] for i in pool) - 1
                ranks.append(higher + equal / 2)
                pools.append(len(pool))
            else:
                ranks.append(float(len(pool)))
                pools.append(0)
        else:
            ranks.append(float("nan"))
            pools.append(0)
        if kind in POSITIVE:
            count[item] = count.get(item, 0) + 1
            own.add(item)
    return ranks, pools


rows = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from("123456"),
        st.sampled_from([Kind.VIEW, Kind.VIEW, Kind.DISLIKE, Kind.IMPRESSION]),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(rows, st.sampled_from(["yes", "no"]))
def test_popularity_agrees_with_sorting_every_time(
    rows: list[tuple[str, str, Kind]], repeats: Repeats
) -> None:
    log = log_of(rows)
    found = references(log, everything(log), repeats=repeats)
    ranks, pools = slowly(rows, repeats)
    np.testing.assert_array_equal(found.popular, np.array(ranks, np.float32))
    assert found.pool.tolist() == pools


def test_with_learn_the_references_get_the_better_rule_in_hindsight() -> None:
    once = log_of([(f"u{n % 20}", f"i{n // 20}", Kind.VIEW) for n in range(600)])
    again = log_of([(f"u{n % 20}", f"i{n % 20}", Kind.VIEW) for n in range(600)])
    for log, rule in ((once, "no"), (again, "yes")):
        learned, better = (
            references(log, log.positive, repeats=repeats) for repeats in ("learn", rule)
        )
        np.testing.assert_array_equal(learned.popular, better.popular)


def test_the_ten_most_popular_are_what_is_shown() -> None:
    rows = [("u", f"i{n}", Kind.VIEW) for n in range(12) for _ in range(12 - n)]
    rows.append(("v", "i0", Kind.VIEW))
    log = log_of(rows)
    scored = np.zeros(len(log), bool)
    scored[-1] = True
    shown = references(log, scored, repeats="no").exposure
    assert [log.item_names[k] for k in np.flatnonzero(shown)] == [f"i{n}" for n in range(10)]


def test_what_a_user_has_is_not_shown_where_nothing_repeats() -> None:
    rows = [("u", f"i{n}", Kind.VIEW) for n in range(3)] + [
        ("v", f"i{n}", Kind.VIEW) for n in (0, 1)
    ]
    log = log_of(rows)
    scored = np.array([False] * 4 + [True])
    shown = references(log, scored, repeats="no").exposure
    assert shown.tolist() == [0, 1, 1]


def test_events_are_sorted_by_time_and_ties_keep_their_order() -> None:
    log = EventLog.of(
        Interactions.of(
            [
                ("b", "2", Kind.VIEW, None, 5.0),
                ("a", "1", Kind.VIEW, None, 1.0),
                ("a", "3", Kind.VIEW, None, 5.0),
            ]
        )
    )
    assert log.reordered == 1
    assert log.rows(slice(0, 3)).users == ["a", "b", "a"]
    assert log.rows(slice(0, 3)).items == ["1", "2", "3"]
    assert log.user_names == ["a", "b"]
    assert log.items.tolist() == [0, 1, 2]


def test_a_log_of_some_events_numbers_users_and_items_anew() -> None:
    log = log_of([("a", "1", Kind.IMPRESSION), ("b", "2", Kind.VIEW), ("a", "1", Kind.VIEW)])
    part = log.only(log.positive)
    assert part.user_names == ["b", "a"]
    assert part.items.tolist() == [0, 1]
    assert part.rows(slice(0, 2)).items == ["2", "1"]


def test_chunks_cover_a_range_once() -> None:
    log = log_of([("u", "i", Kind.VIEW)] * 10)
    assert list(log.chunks(4, 1)) == [slice(1, 5), slice(5, 9), slice(9, 10)]


@pytest.mark.parametrize("repeats", ["yes", "no", "learn"])
def test_an_empty_log_costs_nothing(repeats: Repeats) -> None:
    log = log_of([])
    assert len(references(log, everything(log), repeats=repeats).popular) == 0
