"""Most popular and random, against slow and obvious versions of themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.log import POSITIVE, EventLog
from models.evaluation.references import REPEAT_RATE, Repeats, references
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
    repeated = asked = 0
    for user, item, kind in rows:
        own = owned.setdefault(user, set())
        mask = repeats == "no" or (
            repeats == "learn" and (repeated + 1) / (asked + 20) <= REPEAT_RATE
        )
        if item in count:
            pool = [i for i in count if not (mask and i in own)]
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
        count[item] = count.get(item, 0) + (kind in POSITIVE)
        if kind != Kind.IMPRESSION:
            asked += 1
            repeated += item in own
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
@given(rows, st.sampled_from(["yes", "no", "learn"]))
def test_popularity_agrees_with_sorting_every_time(
    rows: list[tuple[str, str, Kind]], repeats: Repeats
) -> None:
    log = log_of(rows)
    found = references(log, everything(log), repeats=repeats)
    ranks, pools = slowly(rows, repeats)
    np.testing.assert_array_equal(found.popular, np.array(ranks, np.float32))
    assert found.pool.tolist() == pools


def test_consumed_items_are_left_out_once_a_stream_shows_no_repeats() -> None:
    rows = [(f"u{n}", "hit", Kind.VIEW) for n in range(400)]
    rows += [("late", "rare", Kind.VIEW), ("late", "hit", Kind.VIEW), ("late", "rare", Kind.VIEW)]
    log = log_of(rows)
    found = references(log, everything(log), repeats="learn")
    assert found.pool[-1] == 0  # `rare` is consumed: no longer recommendable
    assert references(log, everything(log), repeats="yes").pool[-1] == 2


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


def test_chunks_cover_a_range_once() -> None:
    log = log_of([("u", "i", Kind.VIEW)] * 10)
    assert list(log.chunks(4, 1)) == [slice(1, 5), slice(5, 9), slice(9, 10)]


@pytest.mark.parametrize("repeats", ["yes", "no", "learn"])
def test_an_empty_log_costs_nothing(repeats: Repeats) -> None:
    log = log_of([])
    assert len(references(log, everything(log), repeats=repeats).popular) == 0
