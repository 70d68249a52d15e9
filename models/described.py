"""The facts of all described items, by number, with an index: which of them fit a choice?"""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models.catalogue import Attribute, Choice, ItemFacts, Where, is_truth

Mask = NDArray[np.bool_]
K = TypeVar("K")


class Described:
    """Facts by item number.

    `fitting` costs O(items) in numpy and O(items found) in Python, whatever is asked: categories,
    texts and truth values have a set of numbers each, numeric attributes their values.
    """

    def __init__(self) -> None:
        self._facts: dict[int, ItemFacts] = {}
        self._categories: dict[str, set[int]] = {}
        self._values: dict[tuple[str, bool, str | bool], set[int]] = {}
        self._numeric: dict[str, _Numeric] = {}

    def __len__(self) -> int:
        return len(self._facts)

    def get(self, number: int | None) -> ItemFacts | None:
        """What is known of an item."""
        return None if number is None else self._facts.get(number)

    def numbers(self) -> Set[int]:
        """Items of which something is known."""
        return self._facts.keys()

    def put(self, number: int, facts: ItemFacts) -> None:
        """Know this of an item, and nothing else."""
        self.remove(number)
        self._facts[number] = facts
        for category in facts.categories:
            self._categories.setdefault(category, set()).add(number)
        for name, value in facts.attributes.items():
            if isinstance(value, (str, bool)):
                self._values.setdefault(_key(name, value), set()).add(number)
            else:
                self._numeric.setdefault(name, _Numeric()).put(number, value)

    def remove(self, number: int) -> None:
        """Know nothing of an item."""
        facts = self._facts.pop(number, None)
        if facts is None:
            return
        for category in set(facts.categories):
            _discard(self._categories, category, number)
        for name, value in facts.attributes.items():
            if isinstance(value, (str, bool)):
                _discard(self._values, _key(name, value), number)
            else:
                self._numeric[name].remove(number)
                if not self._numeric[name]:
                    del self._numeric[name]

    def fitting(self, choice: Choice, items: int) -> Mask:
        """Of the numbers below `items`, bool [items], which `choice` means: the described items
        for which `choice.fits`."""
        mask = _mask(self._facts, items)
        if choice.any:
            mask &= _mask(set().union(*map(self._of, choice.any)), items)
        for category in choice.all:
            mask &= _mask(self._of(category), items)
        for category in choice.none:
            mask &= ~_mask(self._of(category), items)
        for where in choice.where:
            mask &= self._where(where, items)
        return mask

    def _of(self, category: str) -> set[int]:
        return self._categories.get(category, set())

    def _where(self, where: Where, items: int) -> Mask:
        equals = where.equals
        if isinstance(equals, (str, bool)):
            return _mask(self._values.get(_key(where.attribute, equals), set()), items)
        low, high = (where.at_least, where.at_most) if equals is None else (equals, equals)
        numeric = self._numeric.get(where.attribute)
        return np.zeros(items, np.bool_) if numeric is None else numeric.between(low, high, items)


class _Numeric:
    """One numeric attribute's values by item number.

    A dict while few have it, and a column (NaN where there is none), which is compared a hundred
    times as fast, once one in DENSE of the items up to the last of them has: a name that one record
    made up costs no more than its value.
    """

    DENSE, SPARSE = 16, 64

    def __init__(self) -> None:
        self._values: dict[int, float] | NDArray[np.float64] = {}
        self._count = self._end = 0

    def __len__(self) -> int:
        return self._count

    def put(self, number: int, value: float) -> None:
        """The item, which has no value, has this one."""
        self._count += 1
        self._end = max(self._end, number + 1)
        if isinstance(self._values, dict):
            self._values[number] = value
            if self._count * self.DENSE >= self._end:
                numbers, values = _pairs(self._values)
                self._values = np.full(self._end, np.nan)
                self._values[numbers] = values
        elif self._count * self.SPARSE < self._end:
            numbers = np.flatnonzero(~np.isnan(self._values))
            known = zip(numbers.tolist(), self._values[numbers].tolist(), strict=True)
            self._values = {**dict(known), number: value}
        else:
            if self._end > len(self._values):
                longer = np.full(max(self._end, 2 * len(self._values)), np.nan)
                longer[: len(self._values)] = self._values
                self._values = longer
            self._values[number] = value

    def remove(self, number: int) -> None:
        """The item has none any more."""
        self._count -= 1
        if isinstance(self._values, dict):
            del self._values[number]
        else:
            self._values[number] = np.nan

    def between(self, low: float, high: float, items: int) -> Mask:
        """Of the numbers below `items`, bool [items], whose value is `low` to `high`."""
        if isinstance(self._values, dict):
            numbers, values = _pairs(self._values)
            return _mask(numbers[(values >= low) & (values <= high)], items)
        mask, column = np.zeros(items, np.bool_), self._values[:items]
        mask[: len(column)] = (column >= low) & (column <= high)
        return mask


def _pairs(values: dict[int, float]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    numbers = np.fromiter(values.keys(), np.int64, len(values))
    return numbers, np.fromiter(values.values(), np.float64, len(values))


def _discard(sets: dict[K, set[int]], key: K, number: int) -> None:
    """Take the number out of its set, and the set away with its last number."""
    sets[key].discard(number)
    if not sets[key]:
        del sets[key]


def _key(name: str, value: Attribute) -> tuple[str, bool, str | bool]:
    assert isinstance(value, (str, bool))
    return name, is_truth(value), value


def _mask(numbers: Iterable[int], items: int) -> Mask:
    mask = np.zeros(items, np.bool_)
    found = np.fromiter(numbers, np.int64)
    mask[found[found < items]] = True
    return mask
