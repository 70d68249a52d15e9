"""Set-up, a stage at a time, each with what it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


class Stages:
    """Says what is being done now and how long each stage took; keeps the times, in seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self.seconds: dict[str, float] = {}
        #: From the start to the first recommendation.
        self.first: float | None = None

    @property
    def elapsed(self) -> float:
        """Since the start."""
        return time.monotonic() - self._began

    @contextmanager
    def stage(self, what: str) -> Iterator[None]:
        """One stage: the body."""
        started = time.monotonic()
        with self._console.status(f"{what} ..."):
            yield
        self.seconds[what] = took = time.monotonic() - started
        self._say(what, took)

    def first_recommendation(self) -> None:
        """The first recommendation has arrived."""
        self.first = self.elapsed
        self._say("the first recommendation, since the start", self.first)

    def _say(self, what: str, seconds: float) -> None:
        self._console.print(f"  {what:<46}[dim]{seconds:6.1f} s[/dim]", highlight=False)
