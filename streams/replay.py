"""`freshet replay`: events and items from files to Kafka, at full speed or as they happened."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Final, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from schemas import Event, Item, encode
from streams.files import Messages, UnreadableFile, open_events, open_items
from streams.publisher import Outgoing, Publisher, PublishError
from streams.settings import Settings
from streams.topics import ensure_topics

M = TypeVar("M")

FINE, LINES_SKIPPED, COULD_NOT_RUN = 0, 1, 2

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_BATCH = 20_000
#: Events this close together are sent at once.
_TICK_SECONDS = 0.01


def run_replay(
    settings: Settings,
    events: Path,
    *,
    items: Path | None = None,
    speed: str = "max",
    rate: float | None = None,
    at_most: int | None = None,
) -> int:
    """Produce the items, then the events, each user's in the order of the file.

    speed  `max`, or how many times faster than the events' own time, such as `60` or `60x`
    rate   events per second instead

    Returns 0; 1 where lines could not be read (the first are named) or Ctrl-C ended it; 2 where
    nothing could be produced.
    """
    notes = Console(stderr=True, markup=False, emoji=False)
    try:
        pace = _pace(speed, rate)
        return asyncio.run(_Replay(settings, notes).run(events, items, pace, at_most))
    except (CannotReplay, UnreadableFile, PublishError) as problem:
        notes.print(Text(str(problem), style="red"))
        return COULD_NOT_RUN


class CannotReplay(Exception):
    """The command makes no sense; the message says what would."""


@dataclass(slots=True)
class _Sent:
    """What the brokers have."""

    items: int = 0
    events: int = 0
    seconds: float = 0.0


#: (which event, its time in ms) → seconds after the first at which it is due.
_Pace = Callable[[int, int], float]


def _pace(speed: str, rate: float | None) -> _Pace | None:
    """When each event is due; None for at once."""
    if rate is not None:
        if not rate > 0:
            raise CannotReplay(f"--rate {rate:g}: write how many events a second, above 0.")
        return lambda number, _: number / rate
    if speed == "max":
        return None
    try:
        factor = float(speed.removesuffix("x").removesuffix("×"))
    except ValueError:
        factor = math.nan
    if not 0 < factor < math.inf:
        raise CannotReplay(
            f"--speed {speed}: write max, or how many times faster than the events' own time, "
            "as in 60."
        )
    first: list[int] = []

    def due(_: int, ts: int) -> float:
        if not first:
            first.append(ts)
        return (ts - first[0]) / 1000 / factor

    return due


class _Interrupted(Exception):
    """A signal came while a file was read."""


@dataclass(slots=True)
class _Replay:
    settings: Settings
    notes: Console
    sent: _Sent = field(default_factory=_Sent)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    reading: bool = False

    async def run(
        self, events: Path, items: Path | None, pace: _Pace | None, at_most: int | None
    ) -> int:
        read: list[tuple[Path, Messages[Item] | Messages[Event]]] = []
        publisher = Publisher(self.settings)
        # Files are opened first: a wrong name is said before a topic is created.
        with contextlib.ExitStack() as open_files:
            catalogue = open_files.enter_context(open_items(items)) if items else None
            stream = open_files.enter_context(open_events(events))
            await ensure_topics(self.settings)
            with self._until_interrupted(), self._progress() as progress:
                await publisher.start()
                try:
                    if catalogue is not None and items is not None:
                        read.append((items, catalogue))
                        await self._send_items(publisher, catalogue, progress)
                    read.append((events, stream))
                    began = time.perf_counter()
                    await self._send_events(publisher, stream, pace, at_most, progress)
                    self.sent.seconds = time.perf_counter() - began
                finally:
                    await publisher.stop()
        for path, file in read:
            self._report(path, file)
        self._say_sent(items is not None)
        skipped = any(file.faults.count for _, file in read)
        return LINES_SKIPPED if skipped or self.stopped.is_set() else FINE

    # --- producing

    async def _send_items(
        self, publisher: Publisher, file: Messages[Item], progress: Progress
    ) -> None:
        topic = self.settings.topic("items")
        bar = progress.add_task("items", total=file.size, rate="")
        began = time.perf_counter()
        async with _Sender(publisher, topic) as sender:
            messages = (item for _, item in file)
            while batch := self._read(messages, _BATCH):
                records = [Outgoing(item.item_id.encode(), encode(item)) for item in batch]
                await sender.send(records)
                self.sent.items += len(records)
                _show(progress, bar, file, self.sent.items, began)
                if self.stopped.is_set():
                    return

    async def _send_events(
        self,
        publisher: Publisher,
        file: Messages[Event],
        pace: _Pace | None,
        at_most: int | None,
        progress: Progress,
    ) -> None:
        if self.stopped.is_set():
            return
        topic = self.settings.topic("events")
        bar = progress.add_task("events", total=file.size, rate="")
        began = time.perf_counter()
        messages = (event for _, event in islice(file, at_most))
        async with _Sender(publisher, topic) as sender:
            async for batch in self._due(messages, pace):
                records = [Outgoing(event.user_id.encode(), encode(event)) for event in batch]
                await sender.send(records)
                self.sent.events += len(records)
                _show(progress, bar, file, self.sent.events, began)

    async def _due(self, events: Iterator[Event], pace: _Pace | None) -> AsyncIterator[list[Event]]:
        """Batches of events, each when its time has come, until all are or Ctrl-C."""
        if pace is None:
            while not self.stopped.is_set() and (batch := self._read(events, _BATCH)):
                yield batch
            return
        began = time.perf_counter()
        batch = []
        ahead = iter(partial(self._read, events, 1), [])
        for number, (event,) in enumerate(ahead):
            due = began + pace(number, event.ts)
            wait = due - time.perf_counter()
            # Events a moment apart go together: a batch a tick, not a record each.
            if batch and (wait > _TICK_SECONDS or len(batch) >= _BATCH):
                yield batch
                batch = []
            if wait > _TICK_SECONDS:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.stopped.wait(), wait)
            if self.stopped.is_set():
                return
            batch.append(event)
        if batch:
            yield batch

    # --- telling

    @contextlib.contextmanager
    def _until_interrupted(self) -> Iterator[None]:
        """Ctrl-C or SIGTERM ends it cleanly; what was sent stays sent."""
        loop = asyncio.get_running_loop()

        def stop(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.stopped.set)
            if self.reading:  # which may wait for standard input for ever
                raise _Interrupted

        former = {number: signal.signal(number, stop) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def _read(self, messages: Iterator[M], count: int) -> list[M]:
        """The next `count`; fewer at the end and after Ctrl-C."""
        batch: list[M] = []
        try:
            self.reading = True
            batch.extend(islice(messages, count))
        except _Interrupted:
            self.stopped.set()
        finally:
            self.reading = False
        return batch

    def _progress(self) -> Progress:
        return Progress(
            TextColumn("{task.description:<7}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self.notes,
            transient=True,
        )

    def _report(self, path: Path, file: Messages[Item] | Messages[Event]) -> None:
        if file.passed_over:
            self.notes.print(Text(f"{path}: {file.passed_over}"))
        faults = file.faults
        for fault in faults.first:
            self.notes.print(Text(f"{path}:{fault.line}: {fault.reason}", style="yellow"))
        if faults.count:
            self.notes.print(
                Text(f"{path}: {faults.count:,} lines could not be read and were skipped.")
            )

    def _say_sent(self, with_items: bool) -> None:
        sent = self.sent
        what = f"{sent.items:,} items and " if with_items else ""
        speed = f" ({sent.events / sent.seconds:,.0f}/s)" if sent.seconds > 0 else ""
        how = "Interrupted: sent" if self.stopped.is_set() else "Sent"
        self.notes.print(f"{how} {what}{sent.events:,} events{speed}.", highlight=False)


class _Sender:
    """Publishes batches in order while the next is being read."""

    def __init__(self, publisher: Publisher, topic: str) -> None:
        self._publisher, self._topic = publisher, topic
        self._last: asyncio.Task[None] | None = None

    async def __aenter__(self) -> _Sender:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._done()

    async def send(self, records: list[Outgoing]) -> None:
        """Returns when the batch before this one is on the brokers."""
        await self._done()
        self._last = asyncio.create_task(self._publisher.publish(self._topic, records))
        # Let it hand its records over before the next batch is read.
        await asyncio.sleep(0)

    async def _done(self) -> None:
        last, self._last = self._last, None
        if last is not None:
            await last


def _show(
    progress: Progress, bar: TaskID, file: Messages[Event] | Messages[Item], sent: int, began: float
) -> None:
    rate = sent / max(time.perf_counter() - began, 1e-9)
    progress.update(bar, completed=file.bytes_read, rate=f"{sent:,} sent, {rate:,.0f}/s")
