"""Who was erased, so that nothing of theirs is learned or published again."""

from __future__ import annotations

from hashlib import blake2b


class Erased:
    """Who was erased, and up to when: their records up to then are not to be used again.

    Names are not kept, only fingerprints (64 bits of BLAKE2b). Safe to read from any thread.
    """

    def __init__(self) -> None:
        self._until: dict[bytes, int] = {}

    def __len__(self) -> int:
        """Users erased."""
        return len(self._until)

    def add(self, user: str, at_ms: int) -> None:
        """Note that a user was erased at this time (ms since epoch)."""
        fingerprint = _fingerprint(user)
        self._until[fingerprint] = max(at_ms, self._until.get(fingerprint, at_ms))

    def covers(self, user: str, timestamp_ms: int) -> bool:
        """Whether a record of this user, of this time, is one that was to be forgotten."""
        if not self._until:
            return False
        until = self._until.get(_fingerprint(user))
        return until is not None and timestamp_ms <= until


def _fingerprint(user: str) -> bytes:
    return blake2b(user.encode(errors="surrogatepass"), digest_size=8).digest()
