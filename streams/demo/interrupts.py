"""Ctrl-C and SIGTERM, once: to end in order, and never half-way through ending."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Final, Self

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While open, the first signal raises `KeyboardInterrupt`, or calls what was asked instead.

    Later ones are passed over: by then everything is being ended, each part in bounded time.
    """

    def __init__(self) -> None:
        self._over = False
        self._call: Callable[[], object] | None = None

    @contextmanager
    def calling(
        self, function: Callable[[], None], loop: asyncio.AbstractEventLoop
    ) -> Iterator[None]:
        """In the body a signal calls `function` in `loop`; after it, signals do nothing."""
        self._call = lambda: loop.call_soon_threadsafe(function)
        try:
            yield
        finally:
            self._over = True
            self._call = None

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._over:
            return
        self._over = True
        if self._call is not None:
            self._call()
        else:
            raise KeyboardInterrupt
