"""Which events have been seen before: a window of event ids for each user."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Mapping
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from models import saved


class Duplicates:
    """The newest `window` event ids of each user, for the `most_users` who sent one last.

    Ids are kept as 32-bit checksums, so that a user costs 4 bytes an id: an event is taken for a
    duplicate by mistake once in 2³²/window.

    >>> duplicates = Duplicates(window=2, most_users=10)
    >>> [duplicates.seen("ann", event_id) for event_id in ("a", "b", "a", "c", "a")]
    [False, False, True, False, False]
    """

    def __init__(self, window: int, most_users: int) -> None:
        self._window, self._most_users = window, most_users
        #: Users in the order of their newest event; each one's ids, oldest first.
        self._ids: dict[str, array[int]] = {}

    def __len__(self) -> int:
        """Users whose ids are kept."""
        return len(self._ids)

    def seen(self, user: str, event_id: str | None) -> bool:
        """Whether this user sent this id before; it is kept. An event without an id is new."""
        if event_id is None or self._window == 0:
            return False
        mark = crc32(event_id.encode())
        ids = self._ids.pop(user, None)
        if ids is None:
            ids = array("I")
            if len(self._ids) >= self._most_users:
                del self._ids[next(iter(self._ids))]
        self._ids[user] = ids
        if mark in ids:
            return True
        if len(ids) >= self._window:
            del ids[: len(ids) - self._window + 1]
        ids.append(mark)
        return False

    def of(self, users: Iterable[str]) -> Duplicates:
        """What is kept of these users, to try on it what is not yet to be kept."""
        some = Duplicates(self._window, sys.maxsize)
        some._ids = {user: self._ids[user][:] for user in users if user in self._ids}
        return some

    def keep(self, tried: Duplicates) -> None:
        """Keep what was tried, on what `of` gave of users who all sent an id since."""
        for user, ids in tried._ids.items():
            if self._ids.pop(user, None) is None and len(self._ids) >= self._most_users:
                del self._ids[next(iter(self._ids))]
            self._ids[user] = ids

    def forget(self, user: str) -> None:
        """Keep nothing of this user."""
        self._ids.pop(user, None)

    def arrays(self) -> saved.Arrays:
        """What is kept, as arrays by name (see `models.saved`)."""
        marks = b"".join(ids.tobytes() for ids in self._ids.values())
        return {
            **saved.texts("duplicates.users", list(self._ids)),
            "duplicates.ids": np.frombuffer(marks, np.uint32),
            "duplicates.sizes": np.fromiter(map(len, self._ids.values()), np.int32, len(self._ids)),
        }

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take up what `arrays` gave."""
        stops = np.cumsum(arrays["duplicates.sizes"])
        parts = np.split(arrays["duplicates.ids"], stops[:-1]) if len(stops) else []
        users = saved.texts_of("duplicates.users", arrays)
        self._ids = {user: array("I", ids) for user, ids in zip(users, parts, strict=True)}
