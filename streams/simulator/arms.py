"""The experiment: who is shown whose list, and how the click-through of each arm is estimated."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from streams.simulator.shop import Indices

_Z95: Final = 1.959964
_Counts = NDArray[np.int64]


class Arm(StrEnum):
    """Which list a shopper is shown."""

    FRESHET = "freshet"
    POPULAR = "popular"
    RANDOM = "random"


def arm_of(user_id: str) -> Arm:
    """The arm a shopper belongs to for good: by hash, a third each."""
    return tuple(Arm)[crc32(user_id.encode()) % len(Arm)]


class Popularity:
    """The control every shop has: what has had the most events so far."""

    def __init__(self, items: int) -> None:
        self.counts = np.zeros(items, np.int64)

    def count(self, item: int) -> None:
        self.counts[item] += 1

    def ranked(self, items: Indices) -> Indices:
        """`items`, those with the most events first."""
        return items[np.argsort(-self.counts[items], kind="stable")]


@dataclass(frozen=True, slots=True)
class ClickThrough:
    """Clicks per impression, with its 95 % confidence interval."""

    clicks: int
    impressions: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        return self.clicks / self.impressions if self.impressions else math.nan


@dataclass(frozen=True, slots=True)
class Lift:
    """One arm's click-through over another's, as a ratio with its 95 % confidence interval."""

    ratio: float
    low: float
    high: float


class Experiment:
    """Impressions and clicks of each arm, by shopper and over time.

    An interval treats the shopper, not the impression, as what was drawn at random: one shopper's
    clicks are alike, and there are far fewer shoppers than impressions. With c clicks and n
    impressions of each of m shoppers, r = Σc / Σn has the variance
    m/(m-1) · Σ(c - r·n)² / (Σn)² (the ratio estimator's, linearised).
    """

    def __init__(self, shoppers: int, *, window_s: float = 30.0) -> None:
        self._impressions = {arm: np.zeros(shoppers, np.int64) for arm in Arm}
        self._clicks = {arm: np.zeros(shoppers, np.int64) for arm in Arm}
        self._window_s = window_s
        self._recent: deque[tuple[float, Arm, int, int]] = deque()
        self._recent_sums = dict.fromkeys(Arm, (0, 0))

    def count(self, arm: Arm, shopper: int, impressions: int, clicks: int, now: float) -> None:
        """One shelf was shown."""
        self._impressions[arm][shopper] += impressions
        self._clicks[arm][shopper] += clicks
        self._recent.append((now, arm, impressions, clicks))
        self._add_recent(arm, impressions, clicks)
        while self._recent[0][0] < now - self._window_s:
            _, gone, shown, clicked = self._recent.popleft()
            self._add_recent(gone, -shown, -clicked)

    def click_through(self, arm: Arm) -> ClickThrough:
        """Since the beginning."""
        clicks, impressions = self._clicks[arm], self._impressions[arm]
        rate, error = _ratio(clicks, impressions)
        return ClickThrough(
            clicks=int(clicks.sum()),
            impressions=int(impressions.sum()),
            low=float(np.clip(rate - _Z95 * error, 0.0, 1.0)),
            high=float(np.clip(rate + _Z95 * error, 0.0, 1.0)),
        )

    def recent(self, arm: Arm) -> float:
        """Clicks per impression within the last `window_s` seconds; NaN without impressions."""
        impressions, clicks = self._recent_sums[arm]
        return clicks / impressions if impressions else math.nan

    def _add_recent(self, arm: Arm, impressions: int, clicks: int) -> None:
        before = self._recent_sums[arm]
        self._recent_sums[arm] = before[0] + impressions, before[1] + clicks

    def lift(self, arm: Arm, over: Arm) -> Lift:
        """The ratio of two arms' click-through; its logarithm is taken as normal."""
        first, first_error = _ratio(self._clicks[arm], self._impressions[arm])
        second, second_error = _ratio(self._clicks[over], self._impressions[over])
        if not first > 0 or not second > 0:
            return Lift(math.nan, math.nan, math.nan)
        spread = _Z95 * math.hypot(first_error / first, second_error / second)
        ratio = first / second
        return Lift(ratio, ratio * math.exp(-spread), ratio * math.exp(spread))


def _ratio(clicks: _Counts, impressions: _Counts) -> tuple[float, float]:
    """Σ clicks / Σ impressions over shoppers, and its standard error; NaN where unknown."""
    shown = impressions > 0
    shoppers, total = int(shown.sum()), int(impressions.sum())
    if not total:
        return math.nan, math.nan
    rate = float(clicks.sum() / total)
    if shoppers < 2:
        return rate, math.nan
    residual = clicks[shown] - rate * impressions[shown]
    variance = shoppers / (shoppers - 1) * float(residual @ residual) / total**2
    return rate, math.sqrt(variance)
