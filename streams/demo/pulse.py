"""What the demo measures from outside: events per second, and freshness."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.simulator import Act

_FORGET_AFTER_S: Final = 60.0
_STEP: Final = 1.01
_SMALLEST_S: Final = 1e-4
_BINS: Final = 1600  # up to about 800 s


class Latencies:
    """Percentiles of any number of latencies, each within 1 %, in little memory."""

    def __init__(self) -> None:
        self._bins = np.zeros(_BINS, np.int64)
        self.count = 0
        self.largest = 0.0

    def add(self, seconds: float) -> None:
        place = math.log(max(seconds, _SMALLEST_S) / _SMALLEST_S) / math.log(_STEP)
        self._bins[min(int(place), _BINS - 1)] += 1
        self.count += 1
        self.largest = max(self.largest, seconds)

    def quantile(self, q: float) -> float:
        """Seconds; NaN before the first."""
        if not self.count:
            return math.nan
        place = int(np.searchsorted(np.cumsum(self._bins), q * self.count))
        return min(_SMALLEST_S * float(_STEP ** (place + 0.5)), self.largest)


@dataclass(frozen=True, slots=True)
class Freshness:
    """Seconds from event produced to recommendation consumed; NaN before the first."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Answered:
    """What a list is the answer to, and the seconds from event produced to list consumed."""

    act: Act | None
    seconds: float


class Pulse:
    """Counts events and lists as they pass, and matches each list with the event behind it.

    window_s  the view shows the last so many seconds
    """

    def __init__(self, *, window_s: float = 10.0) -> None:
        self.events = 0
        self.lists = 0
        self.overall = Latencies()
        self._window_s = window_s
        self._sent: dict[str, tuple[float, Act | None]] = {}  # oldest first
        self._event_times: deque[float] = deque()
        self._recent: deque[tuple[float, float]] = deque()  # (consumed, latency)

    def sent(self, event_id: str, now: float, act: Act | None = None) -> None:
        """An event is being produced, because of `act`."""
        self.events += 1
        self._sent[event_id] = now, act
        self._event_times.append(now)
        while self._event_times[0] < now - self._window_s:
            self._event_times.popleft()
        while (oldest := next(iter(self._sent))) != event_id:
            if self._sent[oldest][0] > now - _FORGET_AFTER_S:
                break
            del self._sent[oldest]

    def received(self, event_id: str | None, now: float) -> Answered | None:
        """A list was consumed that names `event_id` as its cause; what that was, the first time."""
        self.lists += 1
        found = self._sent.pop(event_id, None) if event_id is not None else None
        if found is None:
            return None
        sent, act = found
        self.overall.add(now - sent)
        self._recent.append((now, now - sent))
        return Answered(act, now - sent)

    def events_per_second(self, now: float) -> float:
        """Over the window, or since the first event where that is shorter."""
        while self._event_times and self._event_times[0] < now - self._window_s:
            self._event_times.popleft()
        if not self._event_times:
            return 0.0
        return len(self._event_times) / max(1.0, min(self._window_s, now - self._event_times[0]))

    def freshness(self, now: float) -> Freshness:
        """Over the window."""
        while self._recent and self._recent[0][0] < now - self._window_s:
            self._recent.popleft()
        if not self._recent:
            return Freshness(math.nan, math.nan)
        p50, p99 = np.quantile([latency for _, latency in self._recent], (0.5, 0.99))
        return Freshness(float(p50), float(p99))
