"""The events an evaluation replays: in order of time, users and items as numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.interactions import Interactions, Kind

POSITIVE = (Kind.VIEW, Kind.CLICK, Kind.ADD_TO_CART, Kind.PURCHASE, Kind.RATING, Kind.LIKE)
"""What counts as taking an item. The other kinds are learned from, but never scored."""


@dataclass(frozen=True, slots=True)
class EventLog:
    """Columns of a whole stream, sorted by time; about 40 bytes per event beside the names.

    users, items: int32 codes in order of first appearance, into `user_names` and `item_names`.
    kinds: int8. values: float32. times: float64, seconds. reordered: events that were out of order.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    kinds: NDArray[np.int8]
    values: NDArray[np.float32]
    times: NDArray[np.float64]
    user_names: list[str]
    item_names: list[str]
    reordered: int = 0

    def __len__(self) -> int:
        return len(self.users)

    @classmethod
    def of(cls, rows: Interactions) -> EventLog:
        """Code and sort. Events of the same time keep their order."""
        users, user_names = _codes(rows.users)
        items, item_names = _codes(rows.items)
        kinds, values, times = rows.kinds, rows.values, rows.times
        reordered = int(np.sum(times < np.maximum.accumulate(times))) if len(times) else 0
        if reordered:
            order = np.argsort(times, kind="stable")
            users, user_names = _recoded(users[order], user_names)
            items, item_names = _recoded(items[order], item_names)
            kinds, values, times = kinds[order], values[order], times[order]
        return cls(users, items, kinds, values, times, user_names, item_names, reordered)

    def chunks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[slice]:
        """Consecutive slices of at most `size` events that cover [start, stop)."""
        stop = len(self) if stop is None else stop
        for at in range(start, stop, size):
            yield slice(at, min(at + size, stop))

    def only(self, kept: NDArray[np.bool_]) -> EventLog:
        """The log of the events kept, users and items numbered by appearance in it."""
        users, user_names = _recoded(self.users[kept], self.user_names)
        items, item_names = _recoded(self.items[kept], self.item_names)
        kinds, values, times = self.kinds[kept], self.values[kept], self.times[kept]
        return EventLog(users, items, kinds, values, times, user_names, item_names)

    def rows(self, part: slice) -> Interactions:
        """One slice, as what an engine learns from."""
        return Interactions(
            users=[self.user_names[code] for code in self.users[part]],
            items=[self.item_names[code] for code in self.items[part]],
            kinds=self.kinds[part],
            values=self.values[part],
            times=self.times[part],
        )

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Which events took an item."""
        return np.isin(self.kinds, POSITIVE)

    @property
    def pair_is_new(self) -> NDArray[np.bool_]:
        """Which positive events are the first of this user with this item."""
        new = np.zeros(len(self), np.bool_)
        taken = np.flatnonzero(self.positive)
        pairs = self.users[taken].astype(np.int64) * len(self.item_names) + self.items[taken]
        new[taken[np.unique(pairs, return_index=True)[1]]] = True
        return new


def _codes(names: Iterable[str]) -> tuple[NDArray[np.int32], list[str]]:
    book: dict[str, int] = {}
    codes = np.fromiter((book.setdefault(name, len(book)) for name in names), np.int32)
    return codes, list(book)


def _recoded(codes: NDArray[np.int32], names: list[str]) -> tuple[NDArray[np.int32], list[str]]:
    """The same column with codes in order of first appearance again."""
    old, first = np.unique(codes, return_index=True)
    by_appearance = old[np.argsort(first)]
    new_code = np.empty(len(names), np.int32)
    new_code[by_appearance] = np.arange(len(by_appearance), dtype=np.int32)
    return new_code[codes], [names[code] for code in by_appearance]
