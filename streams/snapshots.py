"""Where the model is saved: a folder or an object store of checksummed files, newest first."""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import socket
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fsspec
import numpy as np
import structlog
from fsspec.implementations.local import LocalFileSystem
from numpy.typing import NDArray

from models.saved import Arrays
from streams.settings import Settings

log = structlog.get_logger(__name__)

_META = "meta"
#: `1790000000000-0a1b2c3d-events.freshet`; without the topic, what was saved before it stood there.
_NAME = re.compile(r"(?P<created>[0-9]+)-[^-]*(?:-(?P<topic>.+))?\.freshet")
#: Files of a write that was cut short elsewhere are removed after this long.
_ABANDONED_SECONDS = 3600


class SnapshotError(RuntimeError):
    """A snapshot cannot be written or read; the text says which and why."""


class UnreachableError(SnapshotError):
    """A snapshot cannot be read now, which says nothing of what is in it."""


class OtherTopicError(SnapshotError):
    """A snapshot is of another installation."""


@dataclass(frozen=True, slots=True, order=True)
class Snapshot:
    """One file of the store. created_ms: when what it holds was current, ms since epoch; or later,
    where the one before it is dated ahead."""

    created_ms: int
    path: str


class SnapshotStore:
    """The snapshots of one installation.

    A snapshot is a NumPy archive (`.npz`, a ZIP file: every array has a CRC-32) of the replica's
    arrays, with a `meta` array of JSON beside them: the topic it was learned from. It appears under
    its name whole or not at all.

    Other installations may save in the same place. A name ends with the topic, so what is theirs is
    known without reading it, damaged or not, and is neither counted nor removed.
    """

    def __init__(self, settings: Settings) -> None:
        where = settings.snapshots or str(settings.data_dir / "snapshots" / settings.app_id)
        try:
            self._files, self.root = fsspec.core.url_to_fs(where)
        except (ImportError, ValueError) as error:
            raise SnapshotError(
                f"cannot save the model at {where}: {error}; name another place with "
                "FRESHET_SNAPSHOTS"
            ) from None
        self._topic = settings.topic("events")
        self._kept = settings.snapshots_kept
        #: By path: whether those whose names do not tell it are ours.
        self._ours: dict[str, bool] = {}

    def newest_first(self) -> list[Snapshot]:
        """What is there of this installation."""
        self._files.invalidate_cache()
        try:
            entries = self._files.ls(self.root, detail=True)
        except FileNotFoundError:
            return []
        found = []
        for entry in entries:
            path = entry["name"]
            named = _NAME.fullmatch(path.rsplit("/", 1)[-1])
            if named is None or entry["type"] == "directory":
                continue
            snapshot = Snapshot(int(named["created"]), path)
            if named["topic"] == self._topic or (not named["topic"] and self._is_ours(snapshot)):
                found.append(snapshot)
        return sorted(found, reverse=True)

    def _is_ours(self, snapshot: Snapshot) -> bool:
        """Of what was saved when names did not end with the topic, by what it says itself."""
        if (known := self._ours.get(snapshot.path)) is not None:
            return known
        try:
            self.read(snapshot, only=())
            ours = True
        except OtherTopicError:
            ours = False
        except UnreachableError:
            return False  # and look again
        except SnapshotError as error:
            log.error(
                "whose snapshot this is cannot be told, so it is let be; delete it if it is yours",
                error=str(error),
            )
            ours = False
        self._ours[snapshot.path] = ours
        return ours

    def read(self, snapshot: Snapshot, *, only: Collection[str] | None = None) -> Arrays:
        """All arrays of one snapshot, or those of these names that it has, verified against their
        checksums.

        Raises:
            SnapshotError: it is damaged, or out of reach, or of another topic.
        """
        try:
            with self._files.open(snapshot.path, "rb") as file, np.load(file) as archive:
                wanted = [n for n in archive.files if only is None or n in {_META, *only}]
                arrays = {name: archive[name] for name in wanted}
            topic = json.loads(arrays.pop(_META).tobytes())["topic"]
        except OSError as error:
            raise UnreachableError(f"{snapshot.path} cannot be read: {error}") from error
        # Of a damaged file, zipfile, NumPy and its tokenizer raise what they like.
        except Exception as error:
            raise SnapshotError(f"{snapshot.path} is damaged: {error!r}") from error
        if topic != self._topic:
            raise OtherTopicError(
                f"{snapshot.path} was learned from the topic {topic}, not {self._topic}"
            )
        return arrays

    @contextmanager
    def new_file(self) -> Iterator[Path]:
        """Where to write the next one, during the body: beside the others if that is a local
        folder, as moving it there must not copy it. What writes that were cut short left goes
        first, to make room.

        Locked, it is told from what a process left that is gone.
        """
        if isinstance(self._files, LocalFileSystem):
            Path(self.root).mkdir(parents=True, exist_ok=True)
            self._tidy()
            file = Path(self.root) / f".part-{secrets.token_hex(8)}-{_host()}"
        else:
            handle, name = tempfile.mkstemp(prefix="freshet-")
            os.close(handle)
            file = Path(name)
        with file.open("wb") as held:
            with suppress(OSError):  # of a file system without locks
                fcntl.flock(held, fcntl.LOCK_EX)
            try:
                yield file
            finally:
                file.unlink(missing_ok=True)

    def write(self, file: Path, arrays: Arrays) -> None:
        """Write these arrays; whole and on the disk on return."""
        meta: NDArray[Any] = np.frombuffer(json.dumps({"topic": self._topic}).encode(), np.uint8)
        everything: dict[str, Any] = arrays | {_META: meta}
        with file.open("wb") as out:
            np.savez(out, **everything)
            out.flush()
            os.fsync(out.fileno())

    def publish(self, file: Path, created_ms: int) -> Snapshot:
        """Give a written file its name, after all there are, and let the oldest go."""
        # A clock may have gone wrong: nothing that was saved before may count as newer.
        created_ms = max([created_ms, *(other.created_ms + 1 for other in self.newest_first())])
        path = f"{self.root}/{created_ms:013d}-{secrets.token_hex(4)}-{self._topic}.freshet"
        if isinstance(self._files, LocalFileSystem):
            file.replace(path)
        else:
            self._files.put_file(str(file), path)
        others = [other for other in self.newest_first() if other.path != path]
        self.remove(others[self._kept - 1 :])
        return Snapshot(created_ms, path)

    def remove(self, snapshots: list[Snapshot]) -> None:
        """Delete these; one that is gone already is no fault."""
        for snapshot in snapshots:
            with suppress(FileNotFoundError):
                self._files.rm_file(snapshot.path)

    def readable(self) -> Iterator[tuple[Snapshot, Arrays]]:
        """The newest snapshot that can be read, then the one before, and so on."""
        for snapshot in self.newest_first():
            try:
                yield snapshot, self.read(snapshot)
            except SnapshotError as error:
                log.error("a snapshot cannot be used, trying the one before", error=str(error))

    def _tidy(self) -> None:
        for part in Path(self.root).glob(".part-*"):
            with suppress(OSError):  # gone already, or another's
                if time.time() - part.stat().st_mtime > _ABANDONED_SECONDS or _is_left(part):
                    part.unlink()


def _host() -> str:
    return quote(socket.gethostname(), safe="")


def _is_left(part: Path) -> bool:
    """Whether whoever wrote this is gone: it was on this host, where locks tell.

    Raises:
        OSError: somebody holds it, or that cannot be told.
    """
    if part.name.split("-", 2)[2:] != [_host()]:
        return False
    with part.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return True
