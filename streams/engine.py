"""The engine in a thread of its own, so that the event loop keeps fetching, beating and serving."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import TypeVar

from streams.replica import Replica

T = TypeVar("T")


class Engine:
    """Runs functions of the replica one after another, in the order they were asked for.

    The engine's kernels release the interpreter's lock while they compute.
    """

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._busy_since: float | None = None

    def run(self, work: Callable[[Replica], T]) -> asyncio.Future[T]:
        """What `work` returns, computed in the engine's thread; it is in the queue at once."""
        return asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    def busy_seconds(self) -> float:
        """For how long the work in hand has been running; 0 when idle."""
        since = self._busy_since
        return 0.0 if since is None else monotonic() - since

    def close(self) -> None:
        """Let the work in hand finish and drop what waits."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _run(self, work: Callable[[Replica], T]) -> T:
        self._busy_since = monotonic()
        try:
            return work(self._replica)
        finally:
            self._busy_since = None
