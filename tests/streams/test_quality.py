"""What the engine says of itself reaches Prometheus and the log."""

from __future__ import annotations

from typing import cast

import pytest

from models.interactions import Interactions, Kind
from models.plugged import Plugged
from models.recommender import Recommender
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


class Board:
    """Stands for an engine of which nothing but its totals is asked."""

    events = 0

    def __init__(self) -> None:
        self.hits = self.scored = 0

    def scoreboard(self) -> dict[str, tuple[int, int]]:
        return {"freshet": (self.hits, self.scored)}


def test_a_fall_of_live_quality_is_counted_and_logged(capsys: pytest.CaptureFixture[str]) -> None:
    metrics, board = Metrics(), Board()
    quality = Quality(metrics)
    for rate in (8, 2):
        for _ in range(100):
            quality.observe(cast(Recommender, board))
            board.hits, board.scored = board.hits + rate, board.scored + 10
    assert value(metrics, "freshet_drift_total", direction="down") >= 1
    assert value(metrics, "freshet_drift_total", direction="up") == 0
    assert value(metrics, "freshet_drift_hit_rate") == pytest.approx(0.2, abs=0.05)
    assert 500 < value(metrics, "freshet_drift_window_events") < 1_200
    assert "live quality changed" in capsys.readouterr().out


def test_what_a_snapshot_brought_is_no_news(capsys: pytest.CaptureFixture[str]) -> None:
    metrics, board = Metrics(), Board()
    quality = Quality(metrics)
    board.hits, board.scored = 9_000, 10_000
    for _ in range(100):
        quality.observe(cast(Recommender, board))
        board.hits, board.scored = board.hits + 2, board.scored + 10
    assert value(metrics, "freshet_drift_total", direction="down") == 0
    assert capsys.readouterr().out == ""
