"""Items that nobody has been shown yet, and their turn.

An item that few have taken competes with thousands of the same kind for the few places that lists
keep for them (`EngineSettings.explore`), and one that is like nothing is no candidate of anybody.
So how often an item was in a list counts, up to SHOWINGS times, and an item whose record has
come waits for its first list:

    1. arrive     its record came; for PATIENCE tries it is left to those that it is a candidate of,
                  and goes before all else that they might be shown
    2. turn       then it gets a turn together with the newest others that wait, at most TOGETHER
    3. given out  a list that holds it ends its turn; so do PATIENCE tries without one

A try is a list that gives a place to what is new; it is drawn for every list given out anew. Half
of them ask what has its turn, and show that of it which suits the user best; so a turn of TOGETHER
items is over after about 2 · TOGETHER tries, and an item that comes while thousands wait is shown
after about PATIENCE + 4 · TOGETHER of them.

Nothing here is learned or saved: it is what this engine has given out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

SHOWINGS = 5
"""Lists up to which an item goes before those that were in more."""

NEW = -1

PATIENCE = 100
"""In tries; a thousand lists at the default of `explore`, among whose users are some it is for."""

TOGETHER = 8

MOST = 10_000
"""Items that may wait; beyond it those that came first give up."""


class Newcomers:
    """shown: int8 by item, lists that held it, at most SHOWINGS; NEW where it came within PATIENCE
    and was in none. turn: int32 [TOGETHER], the items that have their turn, -1 for none."""

    def __init__(self) -> None:
        self.shown = np.zeros(0, np.int8)
        self.turn = np.full(TOGETHER, -1, np.int32)
        self._tries = self._turn_ends = 0.0
        #: Items that wait, and those of them that are not due yet with the try when they are.
        self._waiting: set[int] = set()
        self._coming: deque[tuple[float, int]] = deque()
        #: Due, the newest last.
        self._due: deque[int] = deque()

    def reach(self, items: int) -> None:
        """Make room for this many items."""
        if items > len(self.shown):
            self.shown.resize(items, refcheck=False)

    def arrive(self, item: int) -> None:
        """A record of an item came that was not to be had before."""
        if item not in self._waiting and not self.shown[item]:
            if len(self._waiting) == MOST:
                if not self._due:
                    self._next_is_due()
                self._waiting.remove(self._due.popleft())
            self._waiting.add(item)
            self._coming.append((self._tries + PATIENCE, item))
            self.shown[item] = NEW

    def given_out(
        self, items: NDArray[np.int32], tries: float, may_be: Callable[[int], bool]
    ) -> None:
        """Lists were given out. items: int32, all that they held. tries: how many of the lists had
        a place for what is new, or are expected to. may_be: whether an item may still be tried."""
        held, times = np.unique(items, return_counts=True)
        self.shown[held] = np.minimum(np.maximum(self.shown[held], 0) + times, SHOWINGS)
        self._tries += tries
        while self._coming and self._coming[0][0] <= self._tries:
            self._next_is_due()
        self.turn[(self.turn >= 0) & (self.shown[self.turn] > 0)] = -1
        if self._due and (self._tries >= self._turn_ends or not (self.turn >= 0).any()):
            self._next_turn(may_be)

    def forget(self, items: Iterable[int]) -> None:
        """As if these had never come; their numbers may be given to others."""
        gone = set(items)
        self.shown[list(gone)] = 0
        self.turn[np.isin(self.turn, list(gone))] = -1
        self._waiting -= gone
        self._coming = deque(each for each in self._coming if each[1] not in gone)
        self._due = deque(item for item in self._due if item not in gone)

    def _next_is_due(self) -> None:
        _, item = self._coming.popleft()
        self._due.append(item)
        self.shown[item] = max(self.shown[item], 0)

    def _next_turn(self, may_be: Callable[[int], bool]) -> None:
        self.turn[:] = -1
        self._turn_ends = self._tries + PATIENCE
        found = 0
        while self._due and found < TOGETHER:
            item = self._due.pop()
            self._waiting.remove(item)
            if not self.shown[item] and may_be(item):
                self.turn[found] = item
                found += 1
