"""What the engine says of itself, told to Prometheus and the log after every turn."""

from __future__ import annotations

import structlog

from models.plugged import Plugged
from models.recommender import Recommender
from streams.metrics import Metrics

log = structlog.get_logger(__name__)


class Quality:
    """Moves the gauges and counters of quality to where the engine is."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._plugin_out = False

    def observe(self, recommender: Recommender) -> None:
        """Call after each turn of the engine, in its thread."""
        self._metrics.model_events.set(recommender.events)
        self._metrics.score(recommender.scoreboard())
        if isinstance(recommender, Plugged):
            self._observe_plugin(recommender)

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
