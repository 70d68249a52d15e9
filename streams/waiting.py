"""Users who wait for a new list: one place each, however many events they send meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from schemas import Event
from streams.intake import Taken


class Place(NamedTuple):
    """since: when the user began to wait, monotonic seconds. because: their newest event."""

    since: float
    because: Taken[Event]
    of: Batch


@dataclass(slots=True, eq=False)
class Batch:
    """Users that came together. done: resolved when each has a list, or a newer place."""

    waiting: int
    done: asyncio.Future[None]

    def one_less(self) -> None:
        self.waiting -= 1
        if self.waiting == 0 and not self.done.done():
            self.done.set_result(None)


class Waiting:
    """A queue in order of first come, in which a user who comes again keeps their place.

    So a user is served for their newest event alone, nobody waits for ever, and the queue is never
    longer than there are active users. For the event loop's thread alone.
    """

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}

    def __len__(self) -> int:
        return len(self._places)

    def add(self, newest: Iterable[Taken[Event]], now: float) -> tuple[asyncio.Future[None], int]:
        """Let these wait, one event a user.

        Returns what is resolved when all of them are served or replaced, and how many of them
        waited already, so that one list will do for more than one event.
        """
        newest = list(newest)
        batch = Batch(len(newest) + 1, asyncio.get_running_loop().create_future())
        replaced = 0
        for taken in newest:
            user = taken.message.user_id
            before = self._places.get(user)
            if before is not None:
                replaced += 1
                before.of.one_less()
            since = now if before is None else before.since
            self._places[user] = Place(since, taken, batch)
        batch.one_less()
        return batch.done, replaced

    def take(self, most: int, since: float) -> list[Place]:
        """Up to `most` of those who have waited since `since` or longer, the longest first."""
        taken: list[str] = []
        for user, place in self._places.items():
            if len(taken) == most or place.since > since:
                break
            taken.append(user)
        return [self._places.pop(user) for user in taken]

    def oldest(self) -> float | None:
        """Since when the first in the queue has waited."""
        return next((place.since for place in self._places.values()), None)
