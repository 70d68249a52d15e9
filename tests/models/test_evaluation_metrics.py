"""Ranking metrics against values worked out by hand, and what must hold for any rank."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models.evaluation.buckets import HISTORY_LENGTH, Buckets, ages, earlier
from models.evaluation.exposure import coverage, tail_share
from models.evaluation.metrics import METRICS, expected_at_random, metric_values


def named(values: np.ndarray) -> dict[str, float]:
    return dict(zip(METRICS, values.tolist(), strict=True))


def test_the_first_place_is_worth_everything() -> None:
    assert named(metric_values(np.array(0.0))) == {
        "recall@10": 1.0,
        "recall@50": 1.0,
        "mrr": 1.0,
        "ndcg@10": 1.0,
        "precision@10": 0.1,
    }


def test_the_third_place_is_worth_what_a_hand_calculation_says() -> None:
    third = named(metric_values(np.array(2.0)))
    assert third["mrr"] == pytest.approx(1 / 3)
    assert third["ndcg@10"] == pytest.approx(0.5)  # 1 / log2(4)


def test_the_eleventh_place_is_no_hit_at_ten() -> None:
    eleventh = named(metric_values(np.array(10.0)))
    assert eleventh["recall@10"] == eleventh["ndcg@10"] == eleventh["precision@10"] == 0.0
    assert eleventh["recall@50"] == 1.0
    assert eleventh["mrr"] == pytest.approx(1 / 11)


def test_an_infinite_rank_is_a_miss_in_every_metric() -> None:
    assert not metric_values(np.array([np.inf])).any()


@given(hnp.arrays(np.float32, st.integers(0, 30), elements=st.integers(0, 10**6)))
def test_a_better_rank_is_never_worth_less(ranks: np.ndarray) -> None:
    values = metric_values(np.sort(ranks))
    assert np.all(np.diff(values, axis=0) <= 0)
    assert np.all((values >= 0) & (values <= 1))


@given(st.integers(1, 400))
def test_chance_is_the_mean_over_all_places(pool: int) -> None:
    every_place = metric_values(np.arange(pool, dtype=np.float64)).mean(axis=0)
    np.testing.assert_allclose(expected_at_random(np.array([pool]))[0], every_place, rtol=1e-10)


def test_chance_never_finds_an_item_that_is_not_in_the_pool() -> None:
    assert not expected_at_random(np.array([0, -1])).any()


def test_history_lengths_fall_into_their_buckets() -> None:
    lengths = np.array([0, 1, 2, 4, 5, 9, 10, 49, 50, 10_000])
    labels = [HISTORY_LENGTH.labels[k] for k in HISTORY_LENGTH.of(lengths)]
    assert labels == ["0", "1", "2-4", "2-4", "5-9", "5-9", "10-49", "10-49", "50+", "50+"]


def test_buckets_refuse_edges_that_do_not_rise() -> None:
    with pytest.raises(ValueError, match="rising"):
        Buckets(("a", "b"), (2, 1))


def test_earlier_counts_only_what_counts() -> None:
    codes = np.array([0, 1, 0, 0, 1, 0])
    counted = np.array([True, True, False, True, True, True])
    assert earlier(codes, counted).tolist() == [0, 0, 1, 1, 1, 2]


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=40))
def test_earlier_agrees_with_counting_one_by_one(rows: list[tuple[int, bool]]) -> None:
    codes = np.array([code for code, _ in rows], np.int32)
    counted = np.array([c for _, c in rows], bool)
    expected = [sum(c for x, c in rows[:k] if x == code) for k, (code, _) in enumerate(rows)]
    assert earlier(codes, counted).tolist() == expected


def test_an_item_is_as_old_as_its_first_event() -> None:
    assert ages(np.array([7, 3, 7, 3]), np.array([10.0, 20.0, 30.0, 60.0])).tolist() == [
        0.0,
        0.0,
        20.0,
        40.0,
    ]


def test_coverage_is_the_share_of_the_catalogue_that_was_shown() -> None:
    assert coverage(np.array([5, 0, 1, 0]), 4) == 0.5


def test_tail_share_counts_what_was_shown_outside_the_most_popular_fifth() -> None:
    popularity = np.array([100, 50, 3, 2, 1])  # the head is one item of five
    assert tail_share(np.array([6, 3, 1, 0, 0]), popularity) == pytest.approx(0.4)
    assert np.isnan(tail_share(np.zeros(5, int), popularity))
