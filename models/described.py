"""The facts of all described items, by number, with an index: which of them fit a choice?"""

from __future__ import annotations

from collections.abc import Iterable, Set

import numpy as np
from numpy.typing import NDArray

from models.catalogue import Attribute, Choice, ItemFacts, Where, is_truth

Mask = NDArray[np.bool_]


class Described:
    """Facts by item number.

    `fitting` costs O(items) in numpy and O(items found) in Python, whatever is asked: categories,
    texts and truth values have a set of numbers each, numeric attributes a column.
    """

    def __init__(self) -> None:
        self._facts: dict[int, ItemFacts] = {}
        self._categories: dict[str, set[int]] = {}
        self._values: dict[tuple[str, bool, str | bool], set[int]] = {}
        #: float64 [items met], NaN where the item has no such number.
        self._columns: dict[str, NDArray[np.float64]] = {}

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
                self._column(name, number + 1)[number] = value

    def remove(self, number: int) -> None:
        """Know nothing of an item."""
        facts = self._facts.pop(number, None)
        if facts is None:
            return
        for category in facts.categories:
            self._categories[category].discard(number)
        for name, value in facts.attributes.items():
            if isinstance(value, (str, bool)):
                self._values[_key(name, value)].discard(number)
            else:
                self._columns[name][number] = np.nan

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
        mask = np.zeros(items, np.bool_)
        column = self._columns.get(where.attribute, np.empty(0))[:items]
        mask[: len(column)] = (column >= low) & (column <= high)
        return mask

    def _column(self, name: str, least: int) -> NDArray[np.float64]:
        column = self._columns.get(name, np.empty(0))
        if len(column) < least:
            longer = np.full(max(least, 2 * len(column)), np.nan)
            longer[: len(column)] = column
            self._columns[name] = column = longer
        return column


def _key(name: str, value: Attribute) -> tuple[str, bool, str | bool]:
    assert isinstance(value, (str, bool))
    return name, is_truth(value), value


def _mask(numbers: Iterable[int], items: int) -> Mask:
    mask = np.zeros(items, np.bool_)
    found = np.fromiter(numbers, np.int64)
    mask[found[found < items]] = True
    return mask
