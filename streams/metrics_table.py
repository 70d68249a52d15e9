"""Every metric in a table: for `freshet metrics`, and for `docs/metrics.md`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from streams.metrics import Metrics

_SUFFIX = {"counter": "_total", "info": "_info"}


class Row(NamedTuple):
    """One metric as Prometheus names it."""

    name: str
    kind: str
    labels: str
    meaning: str


def rows() -> Iterator[Row]:
    """Freshet's own metrics, in the order they are defined."""
    for metric in vars(Metrics()).values():
        kind = getattr(metric, "_type", None)
        if kind is not None:
            yield Row(
                metric._name + _SUFFIX.get(kind, ""),
                kind,
                ", ".join(metric._labelnames),
                metric._documentation,
            )


def as_markdown() -> str:
    """`docs/metrics.md`."""
    lines = [
        "# Metrics",
        "",
        "Written by `freshet metrics --markdown`; the words stand in `streams/metrics.py`. Beside",
        "these there are the usual `process_*` and `python_*` ones. A counter whose labels are",
        "known beforehand shows each at 0 from the start, so that `rate` and `increase` see its",
        "first count.",
        "",
        "| metric | kind | labels | meaning |",
        "|---|---|---|---|",
    ]
    lines += [f"| `{r.name}` | {r.kind} | {r.labels} | {r.meaning} |" for r in rows()]
    lines += [
        "",
        "## Questions worth asking",
        "",
        "| question | PromQL |",
        "|---|---|",
    ]
    lines += [f"| {question} | `{query}` |" for question, query in _QUESTIONS.items()]
    return "\n".join(lines) + "\n"


_QUESTIONS = {
    "How fresh are recommendations (p99)?": (
        "histogram_quantile(0.99, sum by (le) (rate(freshet_freshness_seconds_bucket[5m])))"
    ),
    "Events per second?": "sum(rate(freshet_events_total[1m]))",
    "Are workers keeping up?": "sum(freshet_lag_records)",
    "Live Recall@10, by source?": (
        "sum by (source) (rate(freshet_prequential_hits_total[15m])) "
        "/ sum by (source) (rate(freshet_prequential_scored_total[15m]))"
    ),
    "What is set aside, and why?": "sum by (topic, reason) (rate(freshet_dead_letters_total[5m]))",
}
