"""Dead letters: how one is made, looked at, and put back where it came from.

The record on `dead-letters` has the original key and value, byte for byte; its headers
(`schemas.dead_letter`) say where it stood, why it could not be taken, and hold its own headers.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import sys
import time
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from msgspec import field
from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.dead_letter import (
    REPLAY_OF,
    REPLAYS,
    DeadLetter,
    Headers,
    build_headers,
    parse_headers,
)
from schemas.limits import MAX_REJECTION_CHARS
from schemas.rejection import Rejected, RejectReason
from schemas.timestamps import instant
from streams.kafka import client_options
from streams.publisher import Outgoing, Publisher
from streams.settings import Settings, SettingsError
from streams.topics import MAX_CARRIED_BYTES

#: A record rejected this often is not put back again: repeating does not cure it.
MAX_REPLAYS = 5

#: Of a record's own headers; each costs room for the prefix it gets.
_MAX_OWN_HEADERS = 1000
_MAX_CUT_KEY_BYTES = 1 << 20
_INPUTS = ("events", "items", "requests", "erasures")
_READ_RECORDS = 500
_POLL_MS = 50
_REPLAY_RECORDS = 500
_SHOWN_CHARS = 60
_ASSIGNED_SECONDS = 30

DONE, SOME_REFUSED, NOT_DONE = 0, 1, 2


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
    """

    topic: str | None = None
    reason: str | None = None
    since_ms: int | None = None
    limit: int | None = None


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


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}


async def letters(settings: Settings, selection: Selection) -> AsyncIterator[Letter]:
    """The selected letters that stand on the topic now, those of one key in their order.

    Records that are no dead letters of Freshet's are passed over.
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
    named = selection.topic
    wanted = {named, settings.topic(named)} if named is not None else None
    consumer = AIOKafkaConsumer(
        **client_options(settings), enable_auto_commit=False, fetch_max_wait_ms=_POLL_MS
    )
    await consumer.start()
    try:
        if topic not in await consumer.topics():
            return
        places = await _all_partitions(consumer, topic)
        ends = await consumer.end_offsets(places)
        starts = await consumer.beginning_offsets(places)
        if selection.since_ms is not None:
            found = await consumer.offsets_for_times(dict.fromkeys(places, selection.since_ms))
            starts = {tp: at.offset if at else ends[tp] for tp, at in found.items()}
        for tp in places:
            consumer.seek(tp, starts[tp])
        behind = {tp for tp in places if starts[tp] < ends[tp]}
        while behind:
            fetched = await consumer.getmany(
                *behind, timeout_ms=_POLL_MS, max_records=_READ_RECORDS
            )
            for tp, records in fetched.items():
                for record in records:
                    letter = _letter(record) if record.offset < ends[tp] else None
                    if letter and _selected(letter.about, selection, wanted):
                        yield letter
            behind = {tp for tp in behind if await consumer.position(tp) < ends[tp]}
    finally:
        await consumer.stop()


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


def _selected(about: DeadLetter, selection: Selection, wanted: set[str] | None) -> bool:
    return (
        (wanted is None or about.topic in wanted)
        and (selection.reason is None or about.reason == selection.reason)
        and (selection.since_ms is None or about.rejected_at_ms >= selection.since_ms)
    )


# --- as lines of JSON, to look at, repair and feed back

#: UTF-8 as text; other bytes as {"base64": "..."}; of a repaired value also any other JSON object.
Content = str | dict[str, Any] | None


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A dead letter as one line of JSON. To put a record back, `topic` and `value` are enough."""

    topic: str
    value: Content
    key: Content = None
    partition: int | None = None
    offset: int | None = None
    timestamp_ms: int | None = None
    headers: list[tuple[str, Content]] = field(default_factory=list)
    reason: str | None = None
    detail: str | None = None
    rejected_at_ms: int | None = None
    replays: int = 0
    cut_from_bytes: int | None = None
    dead_letter: str | None = None


def as_json(letter: Letter) -> bytes:
    """One line without its end."""
    about = letter.about
    line = Line(
        topic=about.topic,
        value=_content(letter.value),
        key=_content(letter.key),
        partition=about.partition,
        offset=about.offset,
        timestamp_ms=about.timestamp_ms,
        headers=[(name, _content(value)) for name, value in about.headers],
        reason=about.reason,
        detail=about.detail,
        rejected_at_ms=about.rejected_at_ms,
        replays=about.replays,
        cut_from_bytes=about.cut_from_bytes,
        dead_letter=letter.position,
    )
    return msgspec.json.encode(line)


def _content(raw: bytes | None) -> Content:
    if raw is None:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(raw).decode()}


def _raw(content: Content) -> bytes | None:
    if content is None:
        return None
    if isinstance(content, str):
        return content.encode()
    if content.keys() == {"base64"}:
        return b64decode(str(content["base64"]), validate=True)
    return msgspec.json.encode(content)


# --- putting back


class Refused(ValueError):
    """One record that is not put back; the text says why."""


class PutBack(NamedTuple):
    """A record on its way back to the topic it came from."""

    topic: str
    record: Outgoing


def from_letter(letter: Letter, settings: Settings) -> PutBack:
    """The record as it was, with headers that say it is a replay.

    Raises:
        Refused: only its beginning was kept, it was put back too often, or it comes from no topic
            of this installation.
    """
    about = letter.about
    if about.cut_from_bytes is not None:
        raise Refused(
            f"only the beginning of its {about.cut_from_bytes:,} bytes was kept; the original "
            f"stood at {about.topic}/{about.partition}/{about.offset}"
        )
    return _put_back(
        settings,
        about.topic,
        Outgoing(
            letter.key,
            letter.value,
            about.headers,
            partition=about.partition,
            timestamp_ms=_timestamp(about.timestamp_ms),
        ),
        replays=about.replays,
        of=letter.position,
    )


def from_line(text: bytes, settings: Settings) -> PutBack:
    """The record that a line of JSON, repaired or not, describes; its key says its partition.

    Raises:
        Refused: as `from_letter`, or the line cannot be read.
    """
    try:
        line = _LINES.decode(text)
        key, value = _raw(line.key), _raw(line.value)
        headers = [(name, _raw(content) or b"") for name, content in line.headers]
    except (ValueError, RecursionError) as fault:
        raise Refused(f"{fault}; write lines as `freshet dead-letters list --json` does") from None
    if line.cut_from_bytes is not None:
        raise Refused("only its beginning was kept; complete it and remove cut_from_bytes")
    return _put_back(
        settings,
        line.topic,
        Outgoing(key, value, headers, timestamp_ms=_timestamp(line.timestamp_ms)),
        replays=line.replays,
        of=line.dead_letter or "a file",
    )


_LINES = msgspec.json.Decoder(Line)


def _put_back(
    settings: Settings, topic: str, record: Outgoing, *, replays: int, of: str
) -> PutBack:
    inputs = [settings.topic(name) for name in _INPUTS]
    if topic not in inputs:
        raise Refused(f"{topic} is no input topic; records go back to {', '.join(inputs)}")
    if replays >= MAX_REPLAYS:
        raise Refused(
            f"it was put back {replays} times and rejected again each time; repair it, and set "
            "replays to 0"
        )
    marks = [(REPLAY_OF, of.encode()), (REPLAYS, b"%d" % (replays + 1))]
    own = [header for header in record.headers if header[0] not in (REPLAY_OF, REPLAYS)]
    return PutBack(topic, record._replace(headers=own + marks))


def _timestamp(recorded_ms: int | None) -> int | None:
    """An event without `ts` happened when its record says, however late it is put back."""
    return None if recorded_ms is None or recorded_ms < 0 else recorded_ms


@cache
def _version() -> str:
    return metadata.version("freshet")


# --- the commands


def run_list(settings: Settings, selection: Selection, *, as_lines: bool, out: Console) -> int:
    """Print the selected dead letters: a table, or lines of JSON that `run_replay` reads."""
    return asyncio.run(_list(settings, selection, as_lines, out))


async def _list(settings: Settings, selection: Selection, as_lines: bool, out: Console) -> int:
    if as_lines:
        async for letter in letters(settings, selection):
            out.file.write(as_json(letter).decode() + "\n")
        return DONE
    table = Table("rejected", "from", "reason", "what to do", "record", title_justify="left")
    count = 0
    async for letter in letters(settings, selection):
        about, count = letter.about, count + 1
        when = datetime.fromtimestamp(about.rejected_at_ms / 1000, UTC)
        table.add_row(
            f"{when:%Y-%m-%d %H:%M:%S}",
            f"{about.topic}/{about.partition}/{about.offset}",
            about.reason,
            _plain(about.detail),
            _plain(_shown(letter.value)),
        )
    if count:
        out.print(table)
    out.print(f"{count:,} dead letters." if count else "No dead letters.")
    return DONE


def _shown(value: bytes | None) -> str:
    if value is None:
        return "no value"
    text = value[: _SHOWN_CHARS * 4].decode(errors="backslashreplace")
    more = len(text) > _SHOWN_CHARS or len(value) > _SHOWN_CHARS * 4
    return f"{text[:_SHOWN_CHARS]}… ({len(value):,} bytes)" if more else text


def _plain(text: str) -> Text:
    """What a stranger wrote is shown, not obeyed: neither rich's markup nor a terminal's codes."""
    return Text("".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text))


def run_replay(
    settings: Settings,
    selection: Selection | None,
    *,
    file: Path | None = None,
    dry_run: bool = False,
    out: Console,
) -> int:
    """Put dead letters back: the selected ones as they were, or those of a file of JSON lines.

    Returns 0; 1 where some were refused (each is named); 2 where nothing could be read.
    """
    return asyncio.run(_replay(settings, selection, file, dry_run, out))


async def _replay(
    settings: Settings,
    selection: Selection | None,
    file: Path | None,
    dry_run: bool,
    out: Console,
) -> int:
    sent: Counter[str] = Counter()
    refused = 0
    publisher = Publisher(settings)
    if not dry_run:
        await publisher.start()
    try:
        waiting: list[PutBack] = []
        async for found in _found(settings, selection, file):
            if isinstance(found, Refused):
                refused += 1
                out.print(_plain(f"not put back: {found}"))
                continue
            waiting.append(found)
            sent[found.topic] += 1
            if len(waiting) >= _REPLAY_RECORDS:
                await _publish(publisher, waiting, dry_run)
                waiting = []
        await _publish(publisher, waiting, dry_run)
    except OSError as fault:
        out.print(_plain(f"cannot read {file}: {fault.strerror or fault}"), style="red")
        return NOT_DONE
    finally:
        if not dry_run:
            await publisher.stop()
    verb = "would be put back" if dry_run else "put back"
    where = ", ".join(f"{count:,} on {topic}" for topic, count in sorted(sent.items()))
    out.print(f"{sent.total():,} records {verb}" + (f": {where}." if where else "."))
    if refused:
        out.print(f"{refused:,} refused.", style="yellow")
    return SOME_REFUSED if refused else DONE


async def _found(
    settings: Settings, selection: Selection | None, file: Path | None
) -> AsyncIterator[PutBack | Refused]:
    if file is not None:
        for number, text in _lines(file):
            try:
                yield from_line(text, settings)
            except Refused as why:
                yield Refused(f"line {number}: {why}")
        return
    async for letter in letters(settings, selection or Selection()):
        try:
            yield from_letter(letter, settings)
        except Refused as why:
            yield Refused(f"{letter.position}: {why}")


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, numbered from 1; `-` is standard input."""
    with contextlib.ExitStack() as stack:
        source: IO[bytes] = (
            sys.stdin.buffer if str(file) == "-" else stack.enter_context(file.open("rb"))
        )
        for number, text in enumerate(source, start=1):
            if text.strip():
                yield number, text


async def _publish(publisher: Publisher, waiting: Iterable[PutBack], dry_run: bool) -> None:
    by_topic: dict[str, list[Outgoing]] = {}
    for topic, record in waiting:
        by_topic.setdefault(topic, []).append(record)
    for topic, records in by_topic.items():
        if not dry_run:
            await publisher.publish(topic, records)
