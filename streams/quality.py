"""What the engine says of itself, told to Prometheus and the log after every turn."""

from __future__ import annotations

import structlog

from models.drift import Change, QualityDrift
from models.plugged import Plugged
from models.recommender import Recommender
from streams.metrics import Metrics

log = structlog.get_logger(__name__)


class Quality:
    """Moves the gauges and counters of quality to where the engine is."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._board: dict[str, tuple[int, int]] = {}
        self._drift: QualityDrift | None = None
        self._plugin_out = False

    def observe(self, recommender: Recommender) -> None:
        """Call after each turn of the engine, in its thread."""
        self._metrics.model_events.set(recommender.events)
        board = recommender.scoreboard()
        if board != self._board:  # in most short turns no event is measured
            self._board = board
            self._metrics.score(board)
            self._observe_drift(*board["freshet"])
        if isinstance(recommender, Plugged):
            self._observe_plugin(recommender)

    def _observe_drift(self, hits: int, scored: int) -> None:
        if self._drift is None:
            self._drift = QualityDrift()
            self._drift.begin_at(hits, scored)
            return
        before = self._drift.rate
        change = self._drift.update(hits, scored)
        self._metrics.drift_hit_rate.set(self._drift.rate)
        self._metrics.drift_window.set(self._drift.events)
        if change:
            self._metrics.drift.labels(change).inc()
            tell = log.warning if change is Change.DOWN else log.info
            tell(
                "live quality changed",
                direction=change.value,
                hit_rate_before=round(before, 4),
                hit_rate=round(self._drift.rate, 4),
                events=self._drift.events,
            )

    def _observe_plugin(self, recommender: Plugged) -> None:
        self._metrics.plugin_weight.set(recommender.weight)
        if recommender.fault and not self._plugin_out:
            log.error(
                "the plugged-in model raised and is left out until the next start",
                plugin=recommender.settings.plugin,
                error=recommender.fault,
            )
            self._metrics.failures.labels("plugin").inc()
        self._plugin_out = recommender.fault is not None
