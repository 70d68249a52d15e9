"""Sums of metric values by group, and the uncertainty of their means.

A tally is all an evaluation keeps of the events it has scored: its size depends on the number of
groups, names and metrics, never on the length of the stream.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054  # standard normal quantile of a two-sided 95 % interval


@dataclass(slots=True)
class Tally:
    """Sums and counts per group.

    sums: float64 [groups, names, metrics]; counts: int64 [groups], events added to each group.
    """

    groups: int
    names: int
    metrics: int
    sums: NDArray[np.float64] = field(init=False)
    counts: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.sums = np.zeros((self.groups, self.names, self.metrics))
        self.counts = np.zeros(self.groups, np.int64)

    def add(self, groups: NDArray[np.integer], values: NDArray[np.float64]) -> None:
        """Add values [events, names, metrics] to the groups [events] they belong to."""
        if not len(groups):
            return
        order = np.argsort(groups, kind="stable")
        present, first = np.unique(groups[order], return_index=True)
        self.sums[present] += np.add.reduceat(values[order], first, axis=0)
        self.counts += np.bincount(groups, minlength=self.groups)

    @property
    def events(self) -> int:
        return int(self.counts.sum())

    def means(self) -> NDArray[np.float64]:
        """[groups, names, metrics]; NaN for a group without events."""
        counts = self.counts[:, None, None].astype(np.float64)
        return np.divide(self.sums, counts, out=np.full_like(self.sums, np.nan), where=counts > 0)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean or a ratio with its 95 % interval; NaN bounds where there is no telling."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


def ratio_estimate(
    numerators: NDArray[np.float64], denominators: NDArray[np.float64], *, most: float = np.inf
) -> Estimate:
    """Σ numerators / Σ denominators over groups of users, with a cluster-robust 95 % interval.

    Events of one user are not independent, users are taken to be. With G groups of users, each with
    sums a_g and b_g, and r = Σa / Σb, the linearised (delta-method) variance is

        Var r = G/(G−1) · Σ_g (a_g − r·b_g)² / (Σ b_g)²

    and the interval r ± 1.96 √Var, cut to [0, most]. A mean is the case b_g = number of events.
    Several users may share a group: that stays correct, as groups are independent when users are.
    Fewer than two groups with events: no interval. (Cochran 1977, §6.3; Deng et al., KDD 2018.)
    """
    total = float(denominators.sum())
    if total <= 0:
        return Estimate(float("nan"))
    ratio = float(numerators.sum()) / total
    used = (denominators > 0) | (numerators > 0)
    groups = int(used.sum())
    if groups < 2:
        return Estimate(ratio)
    residuals = numerators[used] - ratio * denominators[used]
    error = float(np.sqrt(groups / (groups - 1) * np.sum(residuals**2)) / total)
    return Estimate(ratio, max(0.0, ratio - Z95 * error), min(most, ratio + Z95 * error))
