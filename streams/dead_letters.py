"""Dead letters: how one is made, and how those that stand on the topic are read.

The record on `dead-letters` has the original key and value, byte for byte; its headers
(`schemas.dead_letter`) say where it stood, why it could not be taken, and hold its own headers.
"""

from __future__ import annotations

import asyncio
import heapq
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from schemas.dead_letter import PUT_BACK, DeadLetter, Headers, build_headers, parse_headers
from schemas.limits import MAX_REJECTION_CHARS
from schemas.rejection import Rejected, RejectReason
from schemas.timestamps import instant
from streams.kafka import client_options
from streams.settings import Settings, SettingsError
from streams.topics import MAX_CARRIED_BYTES

#: The topics whose records may become dead letters.
INPUTS = ("events", "items", "rules", "editorial", "profiles", "requests", "erasures")
#: Of a record's own headers; each costs room for the prefix it gets.
_MAX_OWN_HEADERS = 1000
_MAX_CUT_KEY_BYTES = 1 << 20
_READ_RECORDS = 500
_POLL_MS = 50
_ASSIGNED_SECONDS = 30


def build(
    record: ConsumerRecord,
    reason: RejectReason,
    detail: str,
    now_ms: int,
    *,
    at_most: int = MAX_CARRIED_BYTES,
) -> tuple[bytes | None, bytes | None, Headers]:
    """Key, value and headers of the dead letter for `record`.

    at_most  bytes of the record that the topic has room for. A record can only pass it that came
             compressed; then its value is cut and a header says from what size.
    """
    key, value = record.key, record.value
    own = [(name, content or b"") for name, content in record.headers[:_MAX_OWN_HEADERS]]
    size = len(key or b"") + len(value or b"")
    cut_from = None
    if size + sum(len(name) + len(content) for name, content in own) > at_most:
        cut_from, own = len(value or b""), []
        key = key and key[:_MAX_CUT_KEY_BYTES]
        value = value and value[: at_most - len(key or b"")]
    letter = DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        reason=reason.value,
        detail=detail[:MAX_REJECTION_CHARS],
        rejected_at_ms=now_ms,
        version=_version(),
        cut_from_bytes=cut_from,
        headers=tuple(own),
    )
    return key, value, build_headers(letter)


class Letter(NamedTuple):
    """A dead letter as it stands on its topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    about: DeadLetter

    @property
    def position(self) -> str:
        """topic/partition/offset."""
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters; everything that is None selects all.

    topic      the original topic, with or without the prefix of this installation
    since_ms   rejected at this instant or later
    limit      the newest so many of them
    at         the one whose original stood at this topic, partition and offset
    put_back   also those that have been put back
    """

    topic: str | None = None
    reason: str | None = None
    since_ms: int | None = None
    limit: int | None = None
    at: tuple[str, int, int] | None = None
    put_back: bool = False


def instant_since(text: str | None) -> int | None:
    """Milliseconds since 1970 of `30m`, `2h`, `7d` (ago) or an RFC 3339 instant.

    Raises:
        SettingsError: the text is neither.
    """
    if text is None:
        return None
    seconds = _UNITS.get(text[-1:])
    try:
        if seconds is not None and text[:-1].isdecimal():
            return max(0, int((time.time() - int(text[:-1]) * seconds) * 1000))
        return instant(text)
    except Rejected:
        raise SettingsError(
            f"--since {text}: write how long ago, such as 30m, 2h or 7d, or an instant such as "
            "2026-01-01T00:00:00Z."
        ) from None


def place_at(text: str | None) -> tuple[str, int, int] | None:
    """Topic, partition and offset of `events/2/4711`, as `freshet dead-letters list` writes them.

    Raises:
        SettingsError: the text is something else.
    """
    if text is None:
        return None
    found = _PLACE.fullmatch(text)
    if found is None:
        raise SettingsError(
            f"--at {text[:60]}: write topic, partition and offset of the original record, such as "
            "events/2/4711."
        )
    return found[1], int(found[2]), int(found[3])


_PLACE = re.compile(r"(.+)/([0-9]{1,9})/([0-9]{1,19})")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}


async def letters(settings: Settings, selection: Selection) -> AsyncIterator[Letter]:
    """The selected letters that stand on the topic now, oldest first, those of one key in their
    order.

    Records that are no dead letters of Freshet's are passed over.

    Raises:
        SettingsError: the selection names a topic or a reason that there is not.
    """
    if selection.limit is None:
        async for letter in _read(settings, selection):
            yield letter
        return
    newest: list[tuple[int, int, int, Letter]] = []
    async for letter in _read(settings, selection):
        entry = (letter.about.rejected_at_ms, letter.offset, letter.partition, letter)
        if len(newest) < selection.limit:
            heapq.heappush(newest, entry)
        else:
            heapq.heappushpop(newest, entry)
    for *_, letter in sorted(newest):
        yield letter


async def _read(settings: Settings, selection: Selection) -> AsyncIterator[Letter]:
    topic = settings.topic("dead-letters")
    wanted = _wanted(settings, selection)
    consumer = AIOKafkaConsumer(
        **client_options(settings), enable_auto_commit=False, fetch_max_wait_ms=_POLL_MS
    )
    try:
        await consumer.start()
        if topic not in await consumer.topics():
            return
        places = await _all_partitions(consumer, topic)
        ends = await consumer.end_offsets(places)
        starts = await consumer.beginning_offsets(places)
        if selection.since_ms is not None:
            found = await consumer.offsets_for_times(dict.fromkeys(places, selection.since_ms))
            starts = {tp: at.offset if at else ends[tp] for tp, at in found.items()}
        put_back: set[bytes] = set()
        if not selection.put_back:
            # It is said behind the letter, so all is read once before the first is told.
            async for record in _records(consumer, starts, ends):
                put_back.update(value or b"" for name, value in record.headers if name == PUT_BACK)
        async for record in _records(consumer, starts, ends):
            letter = _letter(record)
            if (
                letter
                and _selected(letter.about, selection, wanted)
                and letter.position.encode() not in put_back
            ):
                yield letter
    finally:
        await consumer.stop()


async def _records(
    consumer: AIOKafkaConsumer,
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> AsyncIterator[ConsumerRecord]:
    """What stands between these offsets, oldest first, each partition in its order."""
    for tp, start in starts.items():
        consumer.seek(tp, start)
    read: dict[TopicPartition, deque[ConsumerRecord]] = {tp: deque() for tp in starts}
    while read:
        for tp, records in [*read.items()]:
            while not records and await consumer.position(tp) < ends[tp]:
                fetched = await consumer.getmany(tp, timeout_ms=_POLL_MS, max_records=_READ_RECORDS)
                records.extend(r for r in fetched.get(tp, ()) if r.offset < ends[tp])
            if not records:
                del read[tp]
        if read:
            oldest = min(read, key=lambda tp: read[tp][0].timestamp)
            yield read[oldest].popleft()


async def _all_partitions(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    # Without a group, a consumer is assigned all partitions, a moment after it subscribes.
    consumer.subscribe([topic])
    async with asyncio.timeout(_ASSIGNED_SECONDS):
        while not consumer.assignment():
            await asyncio.sleep(0.01)
    return sorted(consumer.assignment())


def _letter(record: ConsumerRecord) -> Letter | None:
    try:
        about = parse_headers((name, value or b"") for name, value in record.headers)
    except ValueError:
        return None
    return Letter(record.topic, record.partition, record.offset, record.key, record.value, about)


def _wanted(settings: Settings, selection: Selection) -> set[str] | None:
    """The full names that the selection's topics may mean."""
    options = {"--topic": selection.topic, "--at": selection.at and selection.at[0]}
    choices = []
    for option, name in options.items():
        if name is None:
            continue
        choices.append({name, settings.topic(name)})
        if choices[-1].isdisjoint(map(settings.topic, INPUTS)):
            raise SettingsError(
                f"{option} {name[:60]}: no dead letter comes from there; the topics are "
                f"{', '.join(INPUTS)}."
            )
    reasons = [reason.value for reason in RejectReason]
    if selection.reason is not None and selection.reason not in reasons:
        raise SettingsError(
            f"--reason {selection.reason[:60]}: there is no such reason; there are "
            f"{', '.join(reasons)}."
        )
    return set.intersection(*choices) if choices else None


def _selected(about: DeadLetter, selection: Selection, wanted: set[str] | None) -> bool:
    return (
        (wanted is None or about.topic in wanted)
        and (selection.reason is None or about.reason == selection.reason)
        and (selection.since_ms is None or about.rejected_at_ms >= selection.since_ms)
        and (selection.at is None or (about.partition, about.offset) == selection.at[1:])
    )


@cache
def _version() -> str:
    return metadata.version("freshet-recommender")
