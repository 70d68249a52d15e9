"""Events and items from files: CSV or JSON lines, plain or gzipped, or standard input.

    with open_events(Path("events.csv.gz")) as file:
        for line, event in file:
            ...
        print(file.faults.count, "lines could not be read")

A line that cannot be read is noted with its number and the reason, and the rest goes on. CSV has a
first line that names its columns, in any order; others than the known ones are passed over, and
`passed_over` says which.

events  user_id,item_id,event,value,ts   `type` is another name of `event`; value may be missing;
        ts is seconds or milliseconds since 1970, whole or not, or RFC 3339; event_id,
        recommendation_id and position are read too
items   item_id,title,text,categories    all but item_id may be missing; categories are separated
        by `|`; `available` (true or false) is read too
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np

from models.catalogue import ItemFacts
from models.interactions import Interactions, Kind
from schemas import Event, EventType, Item, Rejected, decode_event, decode_item, encode
from schemas.limits import (
    EARLIEST_MS,
    MAX_AHEAD_MS,
    MAX_ID_CHARS,
    MAX_MESSAGE_BYTES,
    MAX_NUMBER,
)
from schemas.timestamps import check_range, instant
from streams.facts import facts_of

M = TypeVar("M")

#: Faults that are kept to be shown; of the rest only the number.
KEPT_FAULTS: Final = 20

_BUFFER_BYTES = 1 << 20
#: A quote may span lines; one still open after so many was never meant to.
_MAX_QUOTED_LINES = 1000
#: Seconds reach this in the year 5138; milliseconds passed it in 1973.
_FIRST_MS = 10**11
_GZIP_MAGIC = b"\x1f\x8b"


class UnreadableFile(Exception):
    """Nothing can be read from a file at all; the message says why and what to do."""


class Fault(NamedTuple):
    """A line that cannot be read, and why."""

    line: int
    reason: str


@dataclass(slots=True)
class Faults:
    """The first faults of a file, and how many there were."""

    count: int = 0
    first: list[Fault] = field(default_factory=list)

    def add(self, line: int, reason: str) -> None:
        self.count += 1
        if len(self.first) < KEPT_FAULTS:
            self.first.append(Fault(line, reason))


@contextmanager
def open_events(path: Path) -> Iterator[Messages[Event]]:
    """The events of a file; an event without a time happens now.

    Raises:
        UnreadableFile: there is no such file, or its first line names no usable columns.
    """
    now_ms = int(time.time() * 1000)
    with _open(path) as source:
        yield Messages(
            source,
            lambda value: decode_event(value, now_ms, now_ms),
            lambda header: _event_parser(header, source.name, now_ms),
            _EVENT_COLUMNS,
        )


@contextmanager
def open_items(path: Path) -> Iterator[Messages[Item]]:
    """The items of a file; errors as in `open_events`."""
    now_ms = int(time.time() * 1000)
    with _open(path) as source:
        yield Messages(
            source,
            lambda value: decode_item(value, now_ms, now_ms),
            lambda header: _item_parser(header, source.name, now_ms),
            _ITEM_COLUMNS,
        )


class EventColumns(NamedTuple):
    """All events of a file, in its order."""

    rows: Interactions
    faults: Faults
    passed_over: str

    @property
    def skipped(self) -> int:
        """Lines that could not be read."""
        return self.faults.count


class Facts(NamedTuple):
    """The catalogue of a file; of several lines about an item, the last."""

    items: dict[str, ItemFacts]
    faults: Faults
    passed_over: str

    @property
    def skipped(self) -> int:
        """Lines that could not be read."""
        return self.faults.count


def read_columns(path: Path, at_most: int | None = None) -> EventColumns:
    """The first `at_most` events of a file as columns; errors as in `open_events`."""
    names: dict[str, str] = {}
    one = names.setdefault  # every name once in memory
    users: list[str] = []
    items: list[str] = []
    kinds: list[int] = []
    values: list[float] = []
    times: list[int] = []
    nan = float("nan")
    with open_events(path) as file:
        for _, event in islice(file, at_most):
            users.append(one(event.user_id, event.user_id))
            items.append(one(event.item_id, event.item_id))
            kinds.append(_KINDS[event.type])
            values.append(nan if event.value is None else event.value)
            times.append(event.ts)
        rows = Interactions(
            users=users,
            items=items,
            kinds=np.array(kinds, np.int8),
            values=np.array(values, np.float32),
            times=np.array(times, np.float64) / 1000,
        )
        return EventColumns(rows, file.faults, file.passed_over)


def read_facts(path: Path) -> Facts:
    """The catalogue of a file; errors as in `open_events`."""
    with open_items(path) as file:
        items = {item.item_id: facts_of(item) for _, item in file}
        return Facts(items, file.faults, file.passed_over)


class Messages(Generic[M]):
    """Iterates (line number, message) once. `faults` grows meanwhile, `bytes_read` too.

    size         bytes of the file, as they lie on the disk; None where that cannot be known
    passed_over  which columns are not read, and which are; known once the first line is read, empty
                 where all are
    """

    def __init__(
        self,
        source: _Source,
        decode: Callable[[bytes], M],
        parser: Callable[[list[str]], Callable[[list[str]], M]],
        columns: Sequence[str],
    ) -> None:
        self.faults = Faults()
        self.passed_over = ""
        self._columns = columns
        self.size = source.size
        self._source = source
        self._decode = decode
        self._parser = parser

    @property
    def bytes_read(self) -> int:
        """Of `size`."""
        return self._source.raw.tell() if self._source.size is not None else 0

    def __iter__(self) -> Iterator[tuple[int, M]]:
        lines = self._source.lines(self.faults)
        for number, first in lines:
            first = first.removeprefix(b"\xef\xbb\xbf")
            if not first.strip():
                continue
            if first.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in first:
                raise UnreadableFile(
                    f"{self._source.name} is no text in UTF-8; save it as UTF-8 and try again."
                )
            if first.lstrip().startswith(b"{"):
                return self._json_lines(number, first, lines)
            if first.lstrip().startswith(b"["):
                raise UnreadableFile(
                    f"{self._source.name} is a JSON array; write one JSON object a line, not an "
                    "array (jq -c '.[]' does)."
                )
            return self._csv_lines(first, lines)
        return iter(())

    def _json_lines(self, at: int, first: bytes, lines: _Lines) -> Iterator[tuple[int, M]]:
        decode, faults = self._decode, self.faults
        for number, line in _chain((at, first), lines):
            try:
                yield number, decode(line)
            except Rejected as fault:
                if line.strip():
                    faults.add(number, fault.detail)

    def _csv_lines(self, first: bytes, lines: _Lines) -> Iterator[tuple[int, M]]:
        text = first.decode(errors="replace").strip("\r\n")
        delimiter = max(",;\t", key=text.count)
        if "\r" in text:
            raise UnreadableFile(
                f"{self._source.name} ends its lines with CR alone; save it with LF or CRLF and "
                "try again."
            )
        try:
            header = next(csv.reader([text], delimiter=delimiter), [])
        except csv.Error as fault:
            raise UnreadableFile(
                f"{self._source.name}: its first line names no columns ({fault}); write them as "
                "in user_id,item_id,event,value,ts or item_id,title,text,categories."
            ) from None
        parse, width, faults = self._parser(header), len(header), self.faults
        self.passed_over = _passed_over(header, self._columns)
        for number, row in _rows(lines, delimiter, faults):
            if len(row) != width:
                if not any(row):
                    continue
                if len(row) < width or any(row[width:]):
                    faults.add(number, f"{len(row)} cells; the first line names {width}")
                    continue
            try:
                yield number, parse(row)
            except ValueError as fault:
                if any(row):
                    faults.add(number, getattr(fault, "detail", str(fault)))


_Lines: TypeAlias = Iterator[tuple[int, bytes]]


def _chain(first: tuple[int, bytes], rest: _Lines) -> _Lines:
    yield first
    yield from rest


# --- bytes


@dataclass(slots=True)
class _Source:
    """An open file, unpacked where need be."""

    name: str
    raw: io.BufferedReader
    size: int | None

    def lines(self, faults: Faults) -> _Lines:
        number = 0
        try:
            for number, line in enumerate(self._unpacked(), start=1):
                yield number, line
        except (EOFError, gzip.BadGzipFile, zlib.error):
            faults.add(number + 1, "the gzip file is damaged or cut here; what came before is read")
        except OSError as fault:
            faults.add(number + 1, f"cannot read on: {fault.strerror or fault}")

    def _unpacked(self) -> IO[bytes]:
        # Not before the lines are wanted: the first byte of a pipe may be long in coming.
        if self.raw.peek(2)[:2] != _GZIP_MAGIC:
            return self.raw
        # Iterating a GzipFile itself is three times slower.
        return io.BufferedReader(_Unpacked(gzip.GzipFile(fileobj=self.raw)), _BUFFER_BYTES)


class _Unpacked(io.RawIOBase):
    """A gzip file in pieces as they come: where it is cut, all that came before has been read."""

    def __init__(self, file: gzip.GzipFile) -> None:
        super().__init__()
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto1(buffer)


@contextmanager
def _open(path: Path) -> Iterator[_Source]:
    if str(path) == "-":
        assert isinstance(sys.stdin.buffer, io.BufferedReader)
        yield _Source("standard input", sys.stdin.buffer, None)
        return
    try:
        raw = path.open("rb")
    except OSError as fault:
        raise UnreadableFile(
            f"{path} cannot be read ({fault.strerror}); check the name and your rights."
        ) from None
    with raw:
        size = path.stat().st_size if path.is_file() else None
        yield _Source(str(path), raw, size)


# --- CSV

# A cell may be as long as a message; what is read of each field is limited where it is parsed.
csv.field_size_limit(MAX_MESSAGE_BYTES)


def _rows(lines: _Lines, delimiter: str, faults: Faults) -> Iterator[tuple[int, list[str]]]:
    """Cells by line; most lines have no quote, and are only split."""
    waiting: deque[tuple[int, bytes]] = deque()
    while True:
        if waiting:
            number, line = waiting.popleft()
        else:
            entry = next(lines, None)
            if entry is None:
                return
            number, line = entry
        try:
            text = line.decode()
        except UnicodeDecodeError as fault:
            faults.add(number, f"is not UTF-8 ({fault.reason} at byte {fault.start + 1})")
            continue
        if "\x00" in text:
            faults.add(number, "holds a NUL character; remove it")
        elif '"' not in text:
            yield number, text.rstrip("\r\n").split(delimiter)
        else:
            yield from _quoted_rows(number, line, waiting, lines, delimiter, faults)


def _quoted_rows(
    number: int,
    line: bytes,
    waiting: deque[tuple[int, bytes]],
    lines: _Lines,
    delimiter: str,
    faults: Faults,
) -> Iterator[tuple[int, list[str]]]:
    """The rows of a line with quotes, with as many more lines as their quotes span."""
    taken: list[tuple[int, bytes]] = []
    closed = line.count(b'"') % 2 == 0
    while not closed and len(taken) < _MAX_QUOTED_LINES:
        entry = waiting.popleft() if waiting else next(lines, None)
        if entry is None:
            break
        taken.append(entry)
        closed = entry[1].count(b'"') % 2 == 1
    if not closed:
        # It opens no quote that ends: literal, or a fault of this line alone.
        waiting.extendleft(reversed(taken))
        taken = []
    block = [line, *(more for _, more in taken)]
    try:
        # One reader a block, so that a fault in it cannot reach beyond.
        reader = csv.reader(
            io.StringIO(b"".join(block).decode(), newline=""), delimiter=delimiter, strict=True
        )
        found, start = [], number
        for row in reader:
            found.append((start, row))
            start = number + reader.line_num
    except (csv.Error, UnicodeDecodeError) as fault:
        waiting.extendleft(reversed(taken))
        faults.add(number, f"its quotes do not match or enclose what is no text ({fault})")
        return
    yield from found


def _columns(
    header: Sequence[str], name: str, wanted: str, required: Iterable[str]
) -> dict[str, int]:
    """Column name → its place."""
    places: dict[str, int] = {}
    for place, title in enumerate(header):
        places.setdefault(_column(title), place)
    missing = [column for column in required if column not in places]
    if missing:
        alone = " It names one alone: are commas, semicolons or tabs between?"
        raise UnreadableFile(
            f"{name} has no column {' and no column '.join(missing)}; its first line must name "
            f"the columns, as in {wanted}.{alone if len(header) == 1 else ''}"
        )
    return places


def _passed_over(header: Sequence[str], columns: Sequence[str]) -> str:
    """A sentence about the columns that are none of these; empty where there are none such."""
    others = [title.strip() for title in header if _column(title) not in ("", *columns)]
    if not others:
        return ""
    named = ", ".join(title[:_SHOWN_CHARS] for title in others[:_SHOWN_COLUMNS])
    more = f" and {len(others) - _SHOWN_COLUMNS:,} more" if len(others) > _SHOWN_COLUMNS else ""
    how = "; whatever else is known of items goes into attributes, as JSON lines"
    return (
        f"columns that are not read: {named}{more}. Read are {', '.join(columns)}"
        f"{how if columns is _ITEM_COLUMNS else ''}."
    )


def _column(title: str) -> str:
    title = title.strip().lower()
    return _ALIASES.get(title, title)


_SHOWN_COLUMNS = 10
_SHOWN_CHARS = 40
_ALIASES = {"type": "event", "timestamp": "ts"}
_EVENT_COLUMNS = (
    *("user_id", "item_id", "event", "value", "ts"),
    *("event_id", "recommendation_id", "position"),
)
_ITEM_COLUMNS = ("item_id", "title", "text", "categories", "available")
_TYPES = {event_type.value: event_type for event_type in EventType}
_KINDS = {event_type: int(Kind[event_type.name]) for event_type in EventType}


def _event_parser(header: list[str], name: str, now_ms: int) -> Callable[[list[str]], Event]:
    places = _columns(
        header, name, "user_id,item_id,event,value,ts", ("user_id", "item_id", "event", "ts")
    )
    user, item, kind, when = (places[c] for c in ("user_id", "item_id", "event", "ts"))
    # The header is at least as wide as any column, so this place is an empty cell.
    value = places.get("value", -1)
    further = [c for c in ("event_id", "recommendation_id", "position") if c in places]
    latest = now_ms + MAX_AHEAD_MS
    types = _TYPES

    def parse(row: list[str]) -> Event:
        user_id, item_id, written = row[user], row[item], row[when]
        if not 0 < len(user_id) <= MAX_ID_CHARS:
            raise ValueError(_id_fault("user_id", user_id))
        if not 0 < len(item_id) <= MAX_ID_CHARS:
            raise ValueError(_id_fault("item_id", item_id))
        if written.isdecimal() and len(written) < 20:
            ts = int(written)
            if ts < _FIRST_MS:
                ts *= 1000
        else:
            ts = _time(written)
        if not EARLIEST_MS <= ts <= latest:
            check_range(ts, now_ms)
        amount = row[value] if value >= 0 else ""
        event = Event(
            user_id,
            item_id,
            types.get(row[kind]) or _type(row[kind]),
            _number(amount) if amount else None,
            ts,
        )
        return _with_further(event, row, further, places, now_ms) if further else event

    return parse


def _with_further(
    event: Event, row: list[str], further: Sequence[str], places: dict[str, int], now_ms: int
) -> Event:
    event_id, recommendation_id, position = (
        (row[places[column]] or None) if column in further else None
        for column in ("event_id", "recommendation_id", "position")
    )
    if position is not None and not (position.isdecimal() and len(position) < 20):
        raise ValueError(f"position: {position[:40]!r} is no whole number, counted from 0")
    whole = Event(
        event.user_id,
        event.item_id,
        event.type,
        event.value,
        event.ts,
        event_id,
        recommendation_id,
        None if position is None else int(position),
    )
    return decode_event(encode(whole), now_ms, now_ms)  # the limits of the rest


def _item_parser(header: list[str], name: str, now_ms: int) -> Callable[[list[str]], Item]:
    places = _columns(header, name, "item_id,title,text,categories", ("item_id",))

    def parse(row: list[str]) -> Item:
        def cell(column: str) -> str:
            return row[places[column]] if column in places else ""

        item = Item(
            item_id=cell("item_id"),
            title=cell("title"),
            text=cell("text"),
            categories=[
                category.strip() for category in cell("categories").split("|") if category.strip()
            ],
            available=_flag(cell("available")),
        )
        return decode_item(encode(item), now_ms, now_ms)

    return parse


def _id_fault(column: str, found: str) -> str:
    if not found:
        return f"{column}: is empty"
    return f"{column}: has {len(found):,} characters; at most {MAX_ID_CHARS} are read"


def _type(text: str) -> EventType:
    known = _TYPES.get(text.strip().lower())
    if known is None:
        raise ValueError(f"event: {text[:40]!r} is none of {', '.join(_TYPES)}")
    return known


def _time(text: str) -> int:
    """Milliseconds of a time that is not written in plain digits."""
    try:
        number = _float(text)
    except ValueError:
        return instant(text.strip())
    if not abs(number) < 1e17:
        raise ValueError(f"ts: {text[:40]!r} is no time")
    return round(number * 1000) if abs(number) < _FIRST_MS else int(number)


def _number(text: str) -> float | None:
    try:
        number = _float(text)
    except ValueError:
        if not text.strip():
            return None
        raise ValueError(f"value: {text[:40]!r} is no number") from None
    if not abs(number) <= MAX_NUMBER:
        raise ValueError(f"value: {text[:40]!r} lies beyond {MAX_NUMBER:g}")
    return number


def _float(text: str) -> float:
    """As every program would read it: `1_0` is ten to Python alone."""
    if "_" in text:
        raise ValueError
    return float(text)


def _flag(text: str) -> bool:
    flag = text.strip().lower()
    if flag in ("", "true", "1", "yes"):
        return True
    if flag in ("false", "0", "no"):
        return False
    raise ValueError(f"available: {text[:40]!r} is neither true nor false")
