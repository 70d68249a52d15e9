"""Sums by group and their intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.tally import Z95, Tally, ratio_estimate


def test_a_tally_adds_up_by_group() -> None:
    tally = Tally(groups=3, names=1, metrics=1)
    tally.add(np.array([2, 0, 2]), np.array([1.0, 4.0, 2.0]).reshape(3, 1, 1))
    tally.add(np.array([2]), np.array([3.0]).reshape(1, 1, 1))
    assert tally.sums[:, 0, 0].tolist() == [4.0, 0.0, 6.0]
    assert tally.counts.tolist() == [1, 0, 3]
    assert tally.events == 4


def test_the_mean_of_an_empty_group_is_not_known() -> None:
    tally = Tally(2, 1, 1)
    tally.add(np.array([1]), np.array([[[3.0]]]))
    assert np.isnan(tally.means()[0, 0, 0])
    assert tally.means()[1, 0, 0] == 3.0


@given(
    st.lists(st.tuples(st.integers(0, 4), st.floats(0, 1)), min_size=1, max_size=50),
    st.integers(1, 10),
)
def test_chunking_does_not_change_a_tally(rows: list[tuple[int, float]], size: int) -> None:
    groups = np.array([g for g, _ in rows])
    values = np.array([v for _, v in rows]).reshape(-1, 1, 1)
    whole, pieces = Tally(5, 1, 1), Tally(5, 1, 1)
    whole.add(groups, values)
    for at in range(0, len(rows), size):
        pieces.add(groups[at : at + size], values[at : at + size])
    np.testing.assert_allclose(whole.sums, pieces.sums)
    assert whole.counts.tolist() == pieces.counts.tolist()


def test_with_one_event_per_user_the_interval_is_the_textbook_one() -> None:
    hits = np.array([1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    found = ratio_estimate(hits, np.ones(8))
    error = Z95 * hits.std(ddof=1) / np.sqrt(8)
    assert found.value == pytest.approx(3 / 8)
    assert found.low == pytest.approx(3 / 8 - error)
    assert found.high == pytest.approx(3 / 8 + error)


def test_users_who_always_behave_alike_make_the_interval_wider() -> None:
    """Ten users with 100 equal events each say no more than ten events do."""
    per_user = np.array([1.0, 0, 0, 1, 0, 0, 0, 1, 0, 0])
    clustered = ratio_estimate(per_user * 100, np.full(10, 100.0))
    single = ratio_estimate(per_user, np.ones(10))
    assert clustered.high == pytest.approx(single.high)


def test_one_user_gives_a_mean_and_no_interval() -> None:
    found = ratio_estimate(np.array([3.0, 0.0]), np.array([4.0, 0.0]))
    assert found.value == 0.75
    assert np.isnan(found.low)
    assert np.isnan(found.high)


def test_nothing_scored_is_not_known() -> None:
    assert np.isnan(ratio_estimate(np.zeros(3), np.zeros(3)).value)


def test_a_share_has_no_interval_beyond_one() -> None:
    assert ratio_estimate(np.array([1.0, 1.0, 0.0]), np.ones(3), most=1).high == 1.0


def test_the_interval_covers_the_truth_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        events = rng.integers(1, 30, 200)
        taste = rng.beta(2, 8, 200)
        found = ratio_estimate(rng.binomial(events, taste).astype(float), events.astype(float))
        covered += found.low <= 0.2 <= found.high
    assert 0.92 <= covered / 400 <= 0.98
