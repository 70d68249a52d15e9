import re
from pathlib import Path

from schemas import RejectReason
from streams.metrics import FAILING_STEPS, TIMED_STEPS, Metrics
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


def test_what_is_still_to_be_counted_is_there_at_0() -> None:
    metrics = Metrics()
    metrics.tell_of_topics(["events"])

    def total(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    code = "".join(path.read_text() for path in Path("streams").rglob("*.py"))
    failing = re.findall(r"""failures\.labels\("(\w+)"\)""", code)
    timed = re.findall(r"""\.timed\("(\w+)"\)""", code)
    assert {*failing} == {*FAILING_STEPS}
    assert {*timed} == {*TIMED_STEPS}
    assert all(total("freshet_failures_total", step=step) == 0 for step in failing)
    assert all(total("freshet_step_seconds_count", step=step) == 0 for step in timed)
    for reason in RejectReason:
        assert total("freshet_dead_letters_total", topic="events", reason=reason.value) == 0
    assert total("freshet_events_total", type="purchase") == 0
    assert total("freshet_snapshots_total", outcome="failed") == 0


def test_every_metric_is_in_the_docs() -> None:
    assert all(row.meaning for row in rows())
    assert Path("docs/metrics.md").read_text() == as_markdown()
