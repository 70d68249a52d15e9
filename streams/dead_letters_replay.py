"""`freshet dead-letters`: look at what could not be taken, repair it, and put it back.

A dead letter becomes a line of JSON, which an operator repairs; a line, or the letter itself,
becomes a record on the topic that the original came from. The dead letter stays where it is until
its retention ends; a record behind it says that it was put back, and from then on it is passed over
unless asked for: to put it back twice is to have the record twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated, Any, NamedTuple

import msgspec
from msgspec import field
from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas import Rejected, decode_erasure
from schemas.dead_letter import PUT_BACK, REPLAY_OF, REPLAYS
from schemas.limits import MAX_AHEAD_MS
from streams.dead_letters import INPUTS, Letter, Selection, letters, place_at
from streams.publisher import Outgoing, Publisher, PublishError
from streams.settings import Settings, SettingsError
from streams.topics import ensure_topics, topics

#: A record rejected this often is not put back again: repeating does not cure it.
MAX_REPLAYS = 5

DONE, SOME_REFUSED, NOT_DONE = 0, 1, 2

#: Brokers take no record without a key on these, which are compacted by it.
_KEYS = {
    "items": "item_id",
    "rules": "rule_id",
    "editorial": "name",
    "profiles": "user_id",
    "erasures": "user_id",
}
_REPLAY_RECORDS = 500
_SHOWN_CHARS = 60
#: What Kafka can write.
_LATEST_MS = 2**63 - 1


def run_list(settings: Settings, selection: Selection, *, as_lines: bool, out: Console) -> int:
    """Print the selected dead letters: a table, or lines of JSON that `run_replay` reads."""
    return asyncio.run(_list(settings, selection, as_lines, out))


async def _list(settings: Settings, selection: Selection, as_lines: bool, out: Console) -> int:
    if as_lines:
        async for letter in letters(settings, selection):
            out.file.write(as_json(letter).decode() + "\n")
        return DONE
    table = Table(title_justify="left")
    for heading in ("rejected", "from", "reason", "what to do", "record"):
        # `--reason` and `--at` need what stands there whole, also on paper 80 columns wide.
        table.add_column(heading, overflow="fold", no_wrap=heading == "reason")
    count = 0
    async for letter in letters(settings, selection):
        about, count = letter.about, count + 1
        table.add_row(
            _when(about.rejected_at_ms),
            f"{about.topic}/{about.partition}/{about.offset}",
            about.reason,
            _plain(about.detail),
            _plain(_shown(letter.value)),
        )
    if count:
        out.print(table)
    out.print(f"{_counted(count, 'dead letter')}." if count else "No dead letters.")
    if not count:
        await _tell_of_put_back(settings, selection, out)
    return DONE


async def _tell_of_put_back(settings: Settings, selection: Selection, out: Console) -> None:
    """Why a selection is empty, where all that it is of was put back already."""
    if selection.put_back:
        return
    also = replace(selection, put_back=True)
    if count := len([letter.position async for letter in letters(settings, also)]):
        what = "1 such was" if count == 1 else f"{count:,} such were"
        out.print(f"{what} put back already; listed, and put back once more, only with --put-back.")


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _when(ms: int) -> str:
    try:
        return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError):  # a stranger may have written any number
        return f"{ms} ms"


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

    Returns 0; 1 where some were refused (each is named); 2 where the file or the brokers ended it,
    and what is said counts only what the brokers have.
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
    code = DONE
    publisher = Publisher(settings)
    if not dry_run:
        await ensure_topics(settings)
        await publisher.start()
    try:
        waiting: list[PutBack] = []
        async for found in _found(settings, selection, file):
            if isinstance(found, Refused):
                refused += 1
                out.print(_plain(f"not put back: {found}"))
                continue
            waiting.append(found)
            if len(waiting) >= _REPLAY_RECORDS:
                await _publish(settings, None if dry_run else publisher, waiting, sent)
                waiting = []
        await _publish(settings, None if dry_run else publisher, waiting, sent)
    except (CannotRead, PublishError) as fault:
        code = NOT_DONE
        out.print(_plain(str(fault)), style="red")
    finally:
        if not dry_run:
            await publisher.stop()
    verb = "would be put back" if dry_run else "put back"
    where = ", ".join(f"{count:,} on {topic}" for topic, count in sorted(sent.items()))
    out.print(f"{_counted(sent.total(), 'record')} {verb}" + (f": {where}." if where else "."))
    if sent and not dry_run and file is None:
        out.print("They are listed, and put back once more, only with --put-back.")
    if not sent and not refused and file is None:
        await _tell_of_put_back(settings, selection or Selection(), out)
    if refused:
        out.print(f"{refused:,} refused.", style="yellow")
    return code or (SOME_REFUSED if refused else DONE)


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
        try:
            source: IO[bytes] = (
                sys.stdin.buffer if str(file) == "-" else stack.enter_context(file.open("rb"))
            )
            for number, text in enumerate(source, start=1):
                if text.strip():
                    yield number, text
        except OSError as fault:
            raise CannotRead(f"cannot read {file}: {fault.strerror or fault}") from None


async def _publish(
    settings: Settings,
    publisher: Publisher | None,
    waiting: Iterable[PutBack],
    sent: Counter[str],
) -> None:
    """Counts in `sent` what the brokers have, or without a publisher what they would get."""
    by_topic: dict[str, list[Outgoing]] = {}
    for topic, record in waiting:
        by_topic.setdefault(topic, []).append(record)
    for topic, records in by_topic.items():
        if publisher is not None:
            await publisher.publish(topic, records)
        sent[topic] += len(records)
        if publisher is not None:
            dead = settings.topic("dead-letters")
            await publisher.publish(dead, filter(None, (_mark(r, dead) for r in records)))


def _mark(record: Outgoing, dead: str) -> Outgoing | None:
    """What says on `dead` that this one has been put back, where it is a letter of that topic.

    In the letter's own partition, where retention takes the letter first.
    """
    of = dict(record.headers)[REPLAY_OF]
    try:
        place = place_at(of.decode())
    except SettingsError:  # it comes from a file that names none
        return None
    if place is None or place[0] != dead:
        return None
    return Outgoing(None, None, [(PUT_BACK, of)], partition=place[1])


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
    timestamp_ms: Annotated[int, msgspec.Meta(le=_LATEST_MS)] | None = None
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


class CannotRead(Exception):
    """The file of lines; the text says why."""


class Refused(ValueError):
    """One record that is not put back; the text says why."""


class PutBack(NamedTuple):
    """A record on its way back to the topic it came from."""

    topic: str
    record: Outgoing


def from_letter(letter: Letter, settings: Settings) -> PutBack:
    """The record as it was, with headers that say it is a replay.

    Raises:
        Refused: only its beginning was kept, it was put back too often, it is dated ahead, or it
            comes from no topic of this installation.
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
    there = {topic.name for topic in topics(settings)}
    inputs = [settings.topic(name) for name in INPUTS if settings.topic(name) in there]
    if topic not in inputs:
        raise Refused(f"{topic} is no input topic; records go back to {', '.join(inputs)}")
    if topic == settings.topic("erasures"):
        record = _of_its_user_and_now(record)
    key = _KEYS.get(topic.removeprefix(settings.topic_prefix))
    if key is not None and record.key is None:
        raise Refused(f"a record on {topic} needs a key, its {key}: the topic is compacted")
    size = len(record.key or b"") + len(record.value or b"")
    if size > settings.max_record_bytes:
        raise Refused(
            f"it has {size:,} bytes, and topics carry {settings.max_record_bytes:,} "
            "(FRESHET_MAX_RECORD_BYTES)"
        )
    if replays >= MAX_REPLAYS:
        raise Refused(
            f"it was put back {replays} times and rejected again each time; repair it, and set "
            "replays to 0"
        )
    marks = [(REPLAY_OF, of.encode()), (REPLAYS, b"%d" % (replays + 1))]
    if (dated_ms := record.timestamp_ms) and dated_ms > time.time() * 1000 + MAX_AHEAD_MS:
        raise Refused(
            f"its record is dated {_when(dated_ms)}, and brokers take none from more than five "
            "minutes ahead; put it back then, or repair its timestamp_ms in a line of JSON"
        )
    own = [header for header in record.headers if header[0] not in (REPLAY_OF, REPLAYS)]
    return PutBack(topic, record._replace(headers=own + marks))


def _of_its_user_and_now(wish: Outgoing) -> Outgoing:
    """The user is to be forgotten as of now, whatever they did since the wish was refused; and it
    lasts under no other key than theirs, which it may have been refused for."""
    now_ms = int(time.time() * 1000)
    wish = wish._replace(timestamp_ms=None)
    try:
        key = decode_erasure(wish.value, now_ms, now_ms).user_id.encode()
    except Rejected:  # as it will be again
        return wish
    return wish if wish.key == key else wish._replace(key=key, partition=None)


def _timestamp(recorded_ms: int | None) -> int | None:
    """An event without `ts` happened when its record says, however late it is put back."""
    return recorded_ms if recorded_ms is not None and 0 <= recorded_ms <= _LATEST_MS else None
