import math

import numpy as np
import pytest

from streams.simulator import Arm, Experiment, arm_of
from streams.simulator.arms import Popularity


def test_a_shopper_stays_in_one_arm_and_each_arm_has_a_third() -> None:
    users = [f"shopper-{number:04d}" for number in range(3000)]
    arms = [arm_of(user) for user in users]
    assert arms == [arm_of(user) for user in users]
    for arm in Arm:
        assert arms.count(arm) == pytest.approx(1000, abs=110)


def test_popularity_puts_first_what_had_most_events() -> None:
    popularity = Popularity(5)
    for item in (3, 3, 3, 1, 1, 4):
        popularity.count(item)
    assert popularity.ranked(np.arange(5)).tolist() == [3, 1, 4, 0, 2]
    assert popularity.ranked(np.array([0, 4])).tolist() == [4, 0]


def test_click_through_is_clicks_over_impressions() -> None:
    experiment = Experiment(3)
    experiment.count(Arm.FRESHET, 0, 6, 2, now=1.0)
    experiment.count(Arm.FRESHET, 1, 6, 0, now=2.0)
    experiment.count(Arm.RANDOM, 2, 6, 1, now=2.0)
    freshet = experiment.click_through(Arm.FRESHET)
    assert (freshet.clicks, freshet.impressions) == (2, 12)
    assert freshet.rate == pytest.approx(2 / 12)
    assert freshet.low < freshet.rate < freshet.high


def test_an_arm_without_impressions_has_no_rate() -> None:
    experiment = Experiment(3)
    assert math.isnan(experiment.click_through(Arm.POPULAR).rate)
    assert math.isnan(experiment.click_through(Arm.POPULAR).low)
    assert math.isnan(experiment.click_through(Arm.POPULAR).high)
    assert math.isnan(experiment.recent(Arm.POPULAR))
    assert math.isnan(experiment.lift(Arm.FRESHET, Arm.POPULAR).ratio)


def test_only_the_last_seconds_are_recent() -> None:
    experiment = Experiment(1, window_s=30.0)
    experiment.count(Arm.FRESHET, 0, 6, 6, now=0.0)
    experiment.count(Arm.FRESHET, 0, 6, 0, now=31.0)
    assert experiment.recent(Arm.FRESHET) == 0.0
    assert experiment.click_through(Arm.FRESHET).rate == 0.5


def test_the_interval_holds_the_truth_19_times_in_20_though_shoppers_differ() -> None:
    """Shoppers whose own rates vary: an interval that took impressions for independent fails."""
    draw = np.random.default_rng(0)
    holds = 0
    for _ in range(300):
        experiment = Experiment(200)
        for shopper, rate in enumerate(draw.beta(0.5, 4.5, 200)):  # mean 0.1
            experiment.count(Arm.FRESHET, shopper, 60, int(draw.binomial(60, rate)), now=0.0)
        estimate = experiment.click_through(Arm.FRESHET)
        holds += estimate.low <= 0.1 <= estimate.high
    assert 0.9 < holds / 300 < 0.99


def test_the_interval_of_a_lift_holds_the_truth_19_times_in_20() -> None:
    draw = np.random.default_rng(1)
    holds = 0
    for _ in range(300):
        experiment = Experiment(400)
        for shopper in range(400):
            arm = (Arm.FRESHET, Arm.POPULAR)[shopper % 2]
            rate = draw.beta(1.0, 9.0) * (2 if arm is Arm.FRESHET else 1)
            experiment.count(arm, shopper, 60, int(draw.binomial(60, min(rate, 1))), now=0.0)
        lift = experiment.lift(Arm.FRESHET, Arm.POPULAR)
        holds += lift.low <= 2.0 <= lift.high
    assert 0.9 < holds / 300 < 0.99
