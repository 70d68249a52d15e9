"""Who was erased, so that nothing of theirs is learned or published again."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import Erasure, Event
from schemas.limits import MAX_AHEAD_MS, MAX_RECORD_AHEAD_MS
from streams.intake import Taken


def until(taken: Taken[Erasure], now_ms: int) -> int:
    """Up to when (ms since epoch) an erasure covers its user: the later of its own time and its
    record's, either of which a producer may have set to long ago. A record's from so far ahead that
    no broker of today takes it says nothing, or its user would never be heard again."""
    record, erasure = taken
    at = int(record.timestamp)
    return max(at if at <= now_ms + MAX_RECORD_AHEAD_MS else 0, erasure.ts)


def done_at(taken: Taken[Event]) -> int:
    """When an event may have been done at the earliest (ms since epoch); erasures cover it by that:
    the earlier of its own time and its record's, less what the clocks of its producer and of
    whoever asked for the erasure may differ by. Better to be deaf for some minutes to who comes
    back at once than to learn again what was to be forgotten: the log is read again, and no offset
    tells what came before what on another topic."""
    record, event = taken
    return min(int(record.timestamp), event.ts) - MAX_AHEAD_MS


class Erased:
    """Who was erased, and up to when: their records up to then are not to be used again.

    Names are not kept, only fingerprints (64 bits of BLAKE2b). Safe to read from any thread.
    """

    #: The names of what `arrays` gives.
    ARRAYS = ("erased.users", "erased.until")

    def __init__(self) -> None:
        self._until: dict[bytes, int] = {}

    def __len__(self) -> int:
        """Users erased."""
        return len(self._until)

    def add(self, user: str, at_ms: int) -> bool:
        """Note that a user was erased at this time (ms since epoch); whether that is news."""
        fingerprint = _fingerprint(user)
        news = at_ms > self._until.get(fingerprint, -1)
        if news:
            self._until[fingerprint] = at_ms
        return news

    def knows(self, user: str) -> bool:
        """Whether this user was erased at any time."""
        return bool(self._until) and _fingerprint(user) in self._until

    def covers(self, user: str, timestamp_ms: int) -> bool:
        """Whether what this user did or said at this time was to be forgotten."""
        if not self._until:
            return False
        until = self._until.get(_fingerprint(user))
        return until is not None and timestamp_ms <= until

    def copy(self) -> Erased:
        """What is noted by now."""
        copy = Erased()
        copy._until = self._until.copy()
        return copy

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it by name: fingerprints (uint64) and up to when (int64, ms since epoch)."""
        count = len(self._until)
        return {
            "erased.users": np.frombuffer(b"".join(self._until), np.uint64),
            "erased.until": np.fromiter(self._until.values(), np.int64, count),
        }

    def load(self, arrays: Mapping[str, NDArray[Any]], since_ms: int) -> None:
        """Take up what `arrays` gave, but for who was erased before `since_ms`. What was saved
        before there were such arrays says of nobody that they were erased."""
        if "erased.users" in arrays:
            users, until = arrays["erased.users"], arrays["erased.until"].tolist()
            pairs = zip((user.tobytes() for user in users), until, strict=True)
            self._until.update((user, at_ms) for user, at_ms in pairs if at_ms >= since_ms)

    def update(self, other: Erased) -> None:
        """Note what the other has noted."""
        self._until.update(other._until)

    def known_to(self, arrays: Mapping[str, NDArray[Any]]) -> bool:
        """Whether whoever gave these arrays had forgotten all who were erased here."""
        other = Erased()
        other.load(arrays, 0)
        return all(at_ms <= other._until.get(user, -1) for user, at_ms in self._until.items())


def _fingerprint(user: str) -> bytes:
    return blake2b(user.encode(errors="surrogatepass"), digest_size=8).digest()
