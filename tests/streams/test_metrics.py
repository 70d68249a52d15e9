from pathlib import Path

from streams.metrics import Metrics
from streams.metrics_table import as_markdown, rows


def test_quality_counters_move_to_the_engines_running_totals() -> None:
    metrics = Metrics()
    metrics.score({"freshet": (2, 10)})
    metrics.score({"freshet": (5, 12)})

    def total(name: str) -> float | None:
        return metrics.registry.get_sample_value(name, {"source": "freshet"})

    assert total("freshet_prequential_hits_total") == 5
    assert total("freshet_prequential_scored_total") == 12


def test_a_step_that_raises_is_still_timed() -> None:
    metrics = Metrics()
    try:
        with metrics.timed("learn"):
            raise ValueError
    except ValueError:
        pass
    count = metrics.registry.get_sample_value("freshet_step_seconds_count", {"step": "learn"})
    assert count == 1


def test_every_metric_is_in_the_docs() -> None:
    assert all(row.meaning for row in rows())
    assert Path("docs/metrics.md").read_text() == as_markdown()
