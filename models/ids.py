"""Numbers for names: users and items are known to the kernels by small integers.

Numbers are given in order of first appearance; a number that was freed is given again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


class Ids:
    """A two-way book of names and numbers. reserved: numbers from 0 that are never given."""

    __slots__ = ("_free", "_names", "_numbers", "get")

    def __init__(self, reserved: int = 0) -> None:
        self._names: list[str] = [""] * reserved
        self._numbers: dict[str, int] = {}
        self._free: list[int] = []
        #: The number of a name, or None (or another default).
        self.get = self._numbers.get

    def __len__(self) -> int:
        """Names in the book."""
        return len(self._numbers)

    def __contains__(self, name: str) -> bool:
        return name in self._numbers

    @classmethod
    def of(cls, names: Sequence[str], freed: Sequence[int], reserved: int = 0) -> Ids:
        """The book whose `names` and `freed` these are."""
        book = cls()
        book._names, book._free = list(names), list(freed)
        vacant = {*range(reserved), *freed}
        book._numbers = {name: k for k, name in enumerate(names) if k not in vacant}
        book.get = book._numbers.get
        return book

    @property
    def names(self) -> Sequence[str]:
        """The names by number; those reserved or freed are empty."""
        return self._names

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The numbers of all names in the book, lowest first."""
        return np.sort(np.fromiter(self._numbers.values(), np.int64, len(self._numbers)))

    @property
    def freed(self) -> Sequence[int]:
        """Numbers to be given again, the last one first."""
        return self._free

    @property
    def reach(self) -> int:
        """One more than the highest number ever given."""
        return len(self._names)

    def add(self, name: str) -> int:
        """The name's number, a new one if need be."""
        number = self._numbers.get(name)
        if number is None:
            if self._free:
                number = self._free.pop()
                self._names[number] = name
            else:
                number = len(self._names)
                self._names.append(name)
            self._numbers[name] = number
        return number

    def name(self, number: int) -> str:
        """The name of a number that was given."""
        return self._names[number]

    def free(self, numbers: Iterable[int]) -> None:
        """Strike these out; their numbers may be given again."""
        for number in numbers:
            del self._numbers[self._names[number]]
            self._names[number] = ""
            self._free.append(number)
