"""Saving the model while it learns on, and taking up the newest save at the start."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import os
import signal
import time
from collections.abc import Callable
from typing import NoReturn

import structlog
from mode import Service

from models.saved import LayoutError
from streams.engine import Engine
from streams.erased import Erased
from streams.erasures import Erasures
from streams.metrics import Metrics
from streams.replica import Replica
from streams.settings import Settings
from streams.snapshots import (
    OtherTopicError,
    Snapshot,
    SnapshotError,
    SnapshotStore,
    UnreachableError,
)

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.5
_REST_SECONDS = 60.0
"""From a snapshot to the next that is written for erasures: a whole one covers all that came."""
_WRITE_SECONDS = 600.0
_NICENESS = 10
_FAULT_BYTES = 1000


class SnapshotKeeper(Service):  # type: ignore[misc]  # mode is untyped
    """Saves every `snapshot_seconds`, within a minute of an erasure, and at the end.

    A child process that the engine's thread forks writes the file: it sees the memory as it was at
    that moment, while the parent learns on and the system copies the pages that change. So learning
    pauses for the fork alone (milliseconds, where copying a model of a gigabyte takes a second),
    and a second copy of the model is never held whole. Redis saves the same way.
    """

    def __init__(
        self,
        settings: Settings,
        store: SnapshotStore,
        engine: Engine,
        erasures: Erasures,
        metrics: Metrics,
    ) -> None:
        super().__init__()
        self._store, self._engine = store, engine
        self._erasures, self._metrics = erasures, metrics
        self._every_s = settings.snapshot_seconds
        #: `Replica.changes` that the newest snapshot of ours has.
        self._saved_changes = 0
        self._saved_at = time.monotonic()
        self._written_at = -math.inf
        #: `Erasures.applied` that every snapshot left in the store has.
        self._saved_erasures = 0

    async def on_start(self) -> None:
        """Take up the newest snapshot that can be read.

        Raises:
            SystemExit: snapshots could not be written later; says what to do.
        """
        try:
            await asyncio.to_thread(self._try_to_write)
        except OSError as error:
            raise SystemExit(
                f"cannot save the model in {self._store.root} ({error}); make it writable, name "
                "another place with FRESHET_SNAPSHOTS, or set that to `off`"
            ) from None
        await self._engine.run(self._restore)

    async def on_stop(self) -> None:
        with contextlib.suppress(SnapshotError):
            await self._save_if_new()

    def _try_to_write(self) -> None:
        with self._store.new_file():
            pass

    def _restore(self, replica: Replica) -> None:
        began = time.monotonic()
        for snapshot, arrays in self._store.readable():
            try:
                replica.load(arrays)
            except (LayoutError, KeyError, ValueError) as error:
                log.error(
                    "a snapshot is of another version or other settings, trying the one before",
                    path=snapshot.path,
                    error=str(error),
                )
                replica.unread = replica.unread or f"{snapshot.path}: {error}"
                continue
            self._saved_changes = replica.changes
            self._tell_age(snapshot)
            self._metrics.model_events.set(replica.recommender.events)
            log.info(
                "snapshot loaded",
                path=snapshot.path,
                events=replica.recommender.events,
                seconds=round(time.monotonic() - began, 2),
            )
            return
        log.info("no snapshot to start from: learning all that is on the log", at=self._store.root)

    @Service.task
    async def _keep_saving(self) -> None:
        while not self.should_stop:
            await self.sleep(_LOOK_SECONDS)
            now = time.monotonic()
            erased = self._erasures.applied > self._saved_erasures
            rested = now - self._written_at >= _REST_SECONDS
            if now - self._saved_at >= self._every_s or (erased and rested):
                try:
                    await self._save_if_new()
                except SnapshotError as error:
                    log.error("the model could not be saved", error=str(error))
                    await self.sleep(min(self._every_s, 10.0))

    async def _save_if_new(self) -> None:
        erasures = self._erasures.applied
        changes = await self._engine.run(lambda replica: replica.changes)
        if (changes, erasures) == (self._saved_changes, self._saved_erasures):
            self._saved_at = time.monotonic()
            self._metrics.snapshot_time.set_to_current_time()
            return
        erased = await self._engine.run(lambda replica: replica.erased.copy())
        try:
            snapshot, size = await self._save()
            if erasures > self._saved_erasures:
                await asyncio.to_thread(self._remove_who_hold, erased, snapshot)
        except (OSError, SnapshotError) as error:
            self._metrics.snapshots.labels("failed").inc()
            raise SnapshotError(
                f"{error}; make room in {self._store.root} or name another place with "
                "FRESHET_SNAPSHOTS. Until then the one before is kept, and a start takes longer."
            ) from error
        self._saved_changes, self._saved_erasures = changes, erasures
        self._saved_at = self._written_at = time.monotonic()
        self._metrics.snapshots.labels("written").inc()
        self._tell_age(snapshot)
        self._metrics.snapshot_bytes.set(size)

    def _tell_age(self, snapshot: Snapshot) -> None:
        self._metrics.snapshot_time.set(min(snapshot.created_ms / 1000, time.time()))

    def _remove_who_hold(self, erased: Erased, ours: Snapshot) -> None:
        """Snapshots from before an erasure hold the user's history. What they know of tells which
        they are, as clocks do not; one that cannot be read may be of them."""
        for snapshot in self._store.newest_first():
            if snapshot == ours:
                continue
            try:
                clean = erased.known_to(self._store.read(snapshot, only=Erased.ARRAYS))
            except OtherTopicError:
                continue
            except UnreachableError as error:
                if isinstance(error.__cause__, FileNotFoundError):
                    continue
                raise  # and look again with the next
            except SnapshotError:
                clean = False
            if not clean:
                self._store.remove([snapshot])

    async def _save(self) -> tuple[Snapshot, int]:
        began = time.monotonic()
        with self._store.new_file() as file:
            created_ms = int(time.time() * 1000)

            def begin(replica: Replica) -> Child:
                with self._metrics.snapshot_pause.time():
                    return fork(lambda: self._store.write(file, replica.arrays()))

            child = await self._engine.run(begin)
            await asyncio.to_thread(child.wait, _WRITE_SECONDS)
            size = file.stat().st_size
            snapshot = await asyncio.to_thread(self._store.publish, file, created_ms)
        log.info(
            "model saved",
            path=snapshot.path,
            bytes=size,
            seconds=round(time.monotonic() - began, 2),
        )
        return snapshot, size


class Child:
    """A forked process. pid: its number. faults: the end of a pipe that tells what went wrong."""

    def __init__(self, pid: int, faults: int) -> None:
        self._pid, self._faults = pid, faults
        self._status: int | None = None

    def is_done(self) -> bool:
        """Whether it has ended."""
        if self._status is None:
            ended, status = os.waitpid(self._pid, os.WNOHANG)
            self._status = status if ended else None
        return self._status is not None

    def wait(self, patience_s: float) -> None:
        """Until it has ended.

        Raises:
            SnapshotError: it failed, or had not ended in time.
        """
        give_up = time.monotonic() + patience_s
        try:
            while not self.is_done():
                if time.monotonic() > give_up:
                    os.kill(self._pid, signal.SIGKILL)
                    os.waitpid(self._pid, 0)
                    raise SnapshotError(f"writing took more than {patience_s:g} s")
                time.sleep(0.01)
            if self._status != 0:
                fault = os.read(self._faults, _FAULT_BYTES).decode(errors="replace")
                raise SnapshotError(fault or f"writing ended with status {self._status}")
        finally:
            os.close(self._faults)


def fork(work: Callable[[], None]) -> Child:
    """Do `work` in a copy of this process that has this thread alone; this one goes on."""
    faults, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        _in_the_child(work, tell)
    os.close(tell)
    return Child(pid, faults)


def _in_the_child(work: Callable[[], None], tell: int) -> NoReturn:
    """Nothing here may wait for what another thread of the parent held at the fork: no logging,
    no event loop, no ordinary exit."""
    status = 1
    try:
        gc.disable()  # a collection would touch, and so copy, every page
        os.nice(_NICENESS)
        # The parent's sockets must be free once the parent is gone.
        os.closerange(3, tell)
        os.closerange(tell + 1, os.sysconf("SC_OPEN_MAX"))
        work()
        status = 0
    except BaseException as error:
        os.write(tell, str(error).encode()[:_FAULT_BYTES])
    finally:
        os._exit(status)
