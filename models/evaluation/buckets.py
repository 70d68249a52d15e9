"""What an event is broken down by: how much is known of its user and of its item beforehand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HOUR = 3600.0
DAY = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Buckets:
    """Half-open ranges [edges[k], edges[k+1]), the last one without end. Lower values fall in 0."""

    labels: tuple[str, ...]
    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.edges) or list(self.edges) != sorted(set(self.edges)):
            raise ValueError("a bucket has one label and one lower edge, edges rising")

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, values: NDArray[np.number]) -> NDArray[np.int64]:
        """The bucket index of each value."""
        places = np.searchsorted(np.asarray(self.edges), values, side="right") - 1
        return np.maximum(places, 0)


HISTORY_LENGTH = Buckets(("0", "1", "2-4", "5-9", "10-49", "50+"), (0, 1, 2, 5, 10, 50))
"""Earlier events of the user."""

ITEM_POPULARITY = Buckets(
    ("1", "2", "3", "4-5", "6-9", "10-49", "50-199", "200+"), (1, 2, 3, 4, 6, 10, 50, 200)
)
"""Earlier events with the item."""

ITEM_AGE = Buckets(
    ("under 1 h", "1 h - 1 d", "1 d - 7 d", "7 d - 30 d", "30 d - 1 y", "over 1 y"),
    (0.0, HOUR, DAY, 7 * DAY, 30 * DAY, 365 * DAY),
)
"""Seconds since the item's first event."""


def earlier(codes: NDArray[np.integer], counted: NDArray[np.bool_]) -> NDArray[np.int32]:
    """How many counted events with the same code come before each event. Shapes [events]."""
    order = np.argsort(codes, kind="stable")
    running: NDArray[np.int64] = np.cumsum(counted[order]) - counted[order]
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    lengths = np.diff(starts, append=len(codes))
    before: NDArray[np.int64] = np.repeat(running[starts], lengths)
    result = np.empty(len(codes), np.int32)
    result[order] = running - before
    return result


def ages(items: NDArray[np.integer], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds since each event's item first occurred; 0 at its first event."""
    _, first, place = np.unique(items, return_index=True, return_inverse=True)
    return times - times[first][place]
