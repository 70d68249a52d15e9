"""The events that the benchmarks of the worker send: a file's, or made up; encoded beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from benchmarks.engine import synthetic
from schemas import Event, EventType, encode
from streams.files import open_events

ITEMS = 10_000
PER_USER = 20

#: One record: the key and the value.
Record = tuple[bytes, bytes]


def records(count: int, file: Path | None = None) -> list[Record]:
    """The first `count` events that move a list, each with its number as `event_id`.

    They carry no time of their own, so that they happen when they are sent. A file that is shorter
    begins again. Made-up events: as in `benchmarks.engine`, heavy histories.
    """
    pairs = _of(file) if file else _made_up(count)
    return [
        (user.encode(), encode(Event(user, item, EventType.CLICK, event_id=str(number))))
        for number, (user, item) in enumerate(islice(pairs, count))
    ]


def _made_up(count: int) -> Iterator[tuple[str, str]]:
    for chunk in synthetic(ITEMS, max(count - ITEMS, 1), PER_USER):
        yield from zip(chunk.users, chunk.items, strict=True)


def _of(file: Path) -> Iterator[tuple[str, str]]:
    while True:
        with open_events(file) as events:
            for _, event in events:
                if event.type is not EventType.IMPRESSION:
                    yield event.user_id, event.item_id
