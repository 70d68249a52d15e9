"""The encoder in a process of its own: encoding a batch of texts takes the processor for half a
second, and would hold up every event behind Python's lock."""

from __future__ import annotations

import asyncio
import importlib
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from models.content.encoder import SentenceEncoder
from models.content.images import PicturedEncoder
from streams.settings import Settings

log = structlog.get_logger(__name__)

_NICENESS = 5
_KEPT_SECONDS = 3600.0
"""After the last batch. It holds half a gigabyte, but to start it takes longer than a new item, or
who asks in words, should wait."""

_encoder: SentenceEncoder | PicturedEncoder | None = None


class _Options(NamedTuple):
    model: str
    image_model: str
    device: str
    threads: int


class EncoderProcess:
    """Starts with the first text, ends when it has had nothing to do for a while (`rest`), and is
    ended when a batch takes longer than `encoder_seconds`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool: ProcessPoolExecutor | None = None
        self._kept_until = 0.0
        #: Of its vectors; 0 until it has made some.
        self.dimensions = 0
        #: One batch at a time, so that none is blamed for the seconds of the one before.
        self._turn = asyncio.Lock()

    async def encode(
        self, texts: Sequence[str], images: Sequence[bytes]
    ) -> tuple[NDArray[np.float32], list[int]]:
        """float32 [items, dimensions], rows of length 1, and which images could not be read.

        images: files, empty where there is none; used where the settings want images.

        Raises:
            EncoderUnavailable: the model cannot be loaded; says what to do.
            BrokenProcessPool: the process was killed, perhaps for its memory, or took too long and
                was ended; the next call starts another.
        """
        # Also while it starts: what is idle may be looked at meanwhile.
        self._kept_until = math.inf
        async with self._turn:
            try:
                return await self._encode(texts, images)
            finally:
                self._kept_until = time.monotonic() + _KEPT_SECONDS

    async def _encode(
        self, texts: Sequence[str], images: Sequence[bytes]
    ) -> tuple[NDArray[np.float32], list[int]]:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                1, mp_context=multiprocessing.get_context("spawn"), initializer=_begin
            )
        pool, settings = self._pool, self._settings
        options = _Options(
            settings.encoder,
            settings.image_encoder if settings.images == "on" else "",
            settings.encoder_device,
            settings.encoder_threads,
        )
        loop = asyncio.get_running_loop()
        deadline = loop.call_later(settings.encoder_seconds, self._end_hung, pool, len(texts))
        try:
            vectors, unreadable = await loop.run_in_executor(
                pool, _encode, options, list(texts), list(images)
            )
            self.dimensions = vectors.shape[1]
            return vectors, unreadable
        except BrokenProcessPool:
            if self._pool is pool:  # and not another one, started since
                self.rest()
            raise
        finally:
            deadline.cancel()

    def _end_hung(self, pool: ProcessPoolExecutor, texts: int) -> None:
        log.error(
            "the encoder took too long and is ended; where it needs the time, allow it more with "
            "FRESHET_ENCODER_SECONDS",
            seconds=self._settings.encoder_seconds,
            texts=texts,
        )
        _kill(pool)

    def rest_if_idle(self) -> None:
        """End the process if nothing more is to be expected."""
        if time.monotonic() > self._kept_until:
            self.rest()

    def rest(self) -> None:
        """End the process, if there is one."""
        pool, self._pool = self._pool, None
        if pool is not None:
            # It has nothing to save, and if it hangs it would not hear that it should end.
            _kill(pool)
            pool.shutdown(wait=False, cancel_futures=True)


def _kill(pool: ProcessPoolExecutor) -> None:
    """What Python 3.14 has as `kill_workers`; who waits gets a BrokenProcessPool."""
    for process in [*(pool._processes or {}).values()]:
        process.kill()


def _begin() -> None:
    """In the new process: the worker ends it, not Ctrl-C, and events go first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.nice(_NICENESS)
    threading.Thread(target=_end_with_the_worker, daemon=True).start()
    # Bars are for a terminal, not for the worker's log. Their lock is one between processes, of
    # which Python would complain in the end: this process is killed and cannot give it back.
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    with suppress(ImportError):
        importlib.import_module("tqdm").tqdm.set_lock(threading.RLock())


def _end_with_the_worker() -> None:
    """A worker that was killed cannot end this process, which would keep its memory for ever."""
    if worker := multiprocessing.parent_process():
        worker.join()
        os._exit(1)


def _encode(
    options: _Options, texts: Sequence[str], images: Sequence[bytes]
) -> tuple[NDArray[np.float32], list[int]]:
    """In the new process."""
    global _encoder
    if _encoder is None:
        device = options.device
        _encoder = SentenceEncoder(options.model, device=device, threads=options.threads)
        if options.image_model:
            _encoder = PicturedEncoder(_encoder, options.image_model, device=device)
    if isinstance(_encoder, PicturedEncoder):
        return _encoder.encode_items(texts, images)
    return _encoder.encode(texts), []
