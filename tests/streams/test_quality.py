"""What the engine says of itself reaches Prometheus and the log."""

from __future__ import annotations

import pytest

from models.interactions import Interactions, Kind
from models.plugged import Plugged
from models.settings import EngineSettings
from streams.metrics import Metrics
from streams.quality import Quality


class Fails:
    """A model that cannot learn."""

    def learn_one(self, user: str, item: str, y: float) -> None:
        raise ArithmeticError(f"cannot learn {user}, {item}, {y}")

    def predict_one(self, user: str, item: str) -> float:
        return float(len(user + item))


def value(metrics: Metrics, name: str, **labels: str) -> float:
    found = metrics.registry.get_sample_value(name, labels)
    assert found is not None
    return found


def test_a_plugin_that_raises_is_logged_and_counted_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine, metrics = Plugged(EngineSettings(plugin=f"{__name__}:Fails")), Metrics()
    quality = Quality(metrics)
    engine.learn(Interactions.of([("ann", "tea", Kind.VIEW, None, 0.0)]))
    quality.observe(engine)
    quality.observe(engine)
    assert value(metrics, "freshet_failures_total", step="plugin") == 1
    assert value(metrics, "freshet_plugin_weight") == 0
    assert capsys.readouterr().out.count("cannot learn ann, tea") == 1
