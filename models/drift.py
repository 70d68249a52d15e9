"""Whether live quality changes: River's ADWIN on the hits of the lists."""

from __future__ import annotations

from enum import StrEnum

from river.drift import ADWIN

CONFIDENCE = 1e-6
"""ADWIN's δ. Hits come in runs, as one user's events resemble each other, so it is far below the
usual .002: `python -m benchmarks.drift` compares."""


class Change(StrEnum):
    """Which way quality went."""

    UP = "up"
    DOWN = "down"


class QualityDrift:
    """Tells when the share of events whose item stood among the first ten rises or falls.

    ADWIN (Bifet & Gavaldà 2007) keeps a window of hits (1) and misses (0) and drops its older part
    as soon as the means of two parts differ by more than chance would let them, with confidence
    1 − δ. Its memory is logarithmic in the window.

    rate: the share of hits in the window. events: its length.

    >>> watch = QualityDrift()
    >>> watch.update(hits=400, scored=1000)
    >>> watch.update(hits=420, scored=1200)
    <Change.DOWN: 'down'>
    >>> watch.rate < 0.3
    True
    """

    def __init__(self, delta: float = CONFIDENCE) -> None:
        self._adwin = ADWIN(delta=delta)
        self._hits, self._scored = 0, 0

    @property
    def rate(self) -> float:
        return float(self._adwin.estimation)

    @property
    def events(self) -> int:
        return int(self._adwin.width)

    def update(self, hits: int, scored: int) -> Change | None:
        """Totals so far, as `Recommender.scoreboard` has them; the latest change since, if any.

        Which of the new events were the hits is not known, so they count as evenly spread.
        """
        n, found = scored - self._scored, hits - self._hits
        self._hits, self._scored = hits, scored
        change = None
        for k in range(n):
            before = self.rate
            self._adwin.update((k + 1) * found // n - k * found // n)
            if self._adwin.drift_detected:
                change = Change.UP if self.rate > before else Change.DOWN
        return change

    def begin_at(self, hits: int, scored: int) -> None:
        """Take these totals for known, as after loading: what led to them was no one's to watch."""
        self._hits, self._scored = hits, scored
