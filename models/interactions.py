"""What users did, as columns."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Kind(IntEnum):
    """What a user did with an item, in the order of `schemas.EventType`.

    VIEW to LIKE are positives, from shallow to deep; DISLIKE and DISMISS keep an item away from
    this user for good; IMPRESSION (the item was merely shown) is no act at all.
    """

    VIEW = 0
    CLICK = 1
    ADD_TO_CART = 2
    PURCHASE = 3
    RATING = 4
    LIKE = 5
    DISLIKE = 6
    DISMISS = 7
    IMPRESSION = 8


@dataclass(slots=True)
class Interactions:
    """One chunk of events in log order.

    users, items: identifiers. kinds: int8, see `Kind`. values: float32, NaN where absent.
    times: float64, seconds since epoch; they may regress.
    """

    users: list[str]
    items: list[str]
    kinds: NDArray[np.int8]
    values: NDArray[np.float32]
    times: NDArray[np.float64]

    def __post_init__(self) -> None:
        n = len(self.users)
        lengths = [n, len(self.items), len(self.kinds), len(self.values), len(self.times)]
        if lengths != [n] * len(lengths):
            raise ValueError(f"columns differ in length: {lengths}")

    def __len__(self) -> int:
        return len(self.users)

    def part(self, start: int, stop: int) -> Interactions:
        """The events [start, stop)."""
        cut = slice(start, stop)
        return Interactions(
            self.users[cut], self.items[cut], self.kinds[cut], self.values[cut], self.times[cut]
        )

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str, Kind, float | None, float]]) -> Interactions:
        """From rows of (user, item, kind, value, seconds since epoch)."""
        rows = list(rows)
        return cls(
            users=[row[0] for row in rows],
            items=[row[1] for row in rows],
            kinds=np.array([row[2] for row in rows], np.int8),
            values=np.array([math.nan if row[3] is None else row[3] for row in rows], np.float32),
            times=np.array([row[4] for row in rows], np.float64),
        )


class Past(NamedTuple):
    """What is remembered of a user's events, oldest first.

    items: int32, negative where forgotten. seconds: int32, on the engine's clock. before: events
    forgotten before them.
    """

    items: NDArray[np.int32]
    seconds: NDArray[np.int32]
    before: int
