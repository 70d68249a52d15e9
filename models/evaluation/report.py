"""What an evaluation found out, and its JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.evaluation.metrics import METRICS
from models.evaluation.split import Classification
from models.evaluation.tally import Estimate

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True, slots=True)
class Scores:
    """One recommender: its metrics with intervals, and what its top 10 showed (NaN if unknown)."""

    metrics: dict[str, Estimate]
    coverage: float = float("nan")
    tail_share: float = float("nan")


@dataclass(frozen=True, slots=True)
class Lift:
    """How many times the best single strategy Freshet reaches, in one metric."""

    best: str
    ratio: Estimate


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Means by bucket. values: [buckets, recommenders, metrics], NaN where nothing was scored."""

    labels: tuple[str, ...]
    scored: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """Means by window, windows of equally many events.

    events: events seen by each window's end. times: seconds since epoch there. scored: [windows].
    values: [windows, recommenders, metrics]. shares: what each of the `families` of sources gave to
    the lists, as a share of all, [windows, families]; NaN in windows where it was not asked.
    """

    events: NDArray[np.int64]
    times: NDArray[np.float64]
    scored: NDArray[np.int64]
    values: NDArray[np.float64]
    families: tuple[str, ...]
    shares: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one evaluation. names: recommenders, Freshet first, then its sources, then
    the references; every [.., recommenders, ..] array is in that order. deepening: events that
    were not scored as they only deepen (a click on what the user viewed a moment ago)."""

    events: int
    scored: int
    users: int
    items: int
    reordered: int
    deepening: int
    names: tuple[str, ...]
    scores: dict[str, Scores]
    lifts: dict[str, Lift]
    breakdowns: dict[str, Breakdown]
    curve: Curve
    learned_first: int = 0
    classifications: dict[str, Classification] | None = None

    def as_json(self) -> dict[str, Json]:
        """Plain values only; what is not known is null."""
        found: dict[str, Json] = {
            "events": self.events,
            "scored": self.scored,
            "users": self.users,
            "items": self.items,
            "reordered": self.reordered,
            "deepening": self.deepening,
            "learned_first": self.learned_first,
            "results": {name: _scores(scores) for name, scores in self.scores.items()},
            "lift": {
                metric: {"best": lift.best, **_estimate("ratio", lift.ratio)}
                for metric, lift in self.lifts.items()
            },
            "by": {kind: self._breakdown(part) for kind, part in self.breakdowns.items()},
            "curve": self._curve(),
        }
        if self.classifications is not None:
            found["classification"] = {
                name: {
                    "accuracy": number(c.accuracy),
                    "precision": number(c.precision),
                    "recall": number(c.recall),
                    "f1": number(c.f1),
                    "roc_auc": number(c.roc_auc),
                    "cut": number(c.cut),
                }
                for name, c in self.classifications.items()
            }
        return found

    def _breakdown(self, part: Breakdown) -> Json:
        return [
            {
                "bucket": label,
                "scored": int(part.scored[k]),
                "results": {
                    name: {m: number(part.values[k, n, j]) for j, m in enumerate(METRICS)}
                    for n, name in enumerate(self.names)
                },
            }
            for k, label in enumerate(part.labels)
        ]

    def _curve(self) -> Json:
        curve = self.curve
        return {
            "events": [int(x) for x in curve.events],
            "times": [float(x) for x in curve.times],
            "scored": [int(x) for x in curve.scored],
            "recall@10": {
                name: [number(x) for x in curve.values[:, k, METRICS.index("recall@10")]]
                for k, name in enumerate(self.names)
            },
            "shares": {
                name: [number(x) for x in curve.shares[:, k]]
                for k, name in enumerate(curve.families)
            },
        }


def lateness_as_json(late: Mapping[int, Report]) -> Json:
    """By how many events late all was learned: Freshet, and the best single strategy by metric."""
    return [
        {
            "events_late": delay,
            "scored": report.scored,
            "freshet": _scores(report.scores[report.names[0]]),
            "best": {metric: lift.best for metric, lift in report.lifts.items()},
            "lift": {metric: number(lift.ratio.value) for metric, lift in report.lifts.items()},
        }
        for delay, report in late.items()
    ]


def number(x: float) -> float | None:
    """JSON has no NaN: what is not known is null. Six significant digits say all there is."""
    return float(f"{x:.6g}") if math.isfinite(x) else None


def _scores(scores: Scores) -> Json:
    values: dict[str, Json] = {m: number(e.value) for m, e in scores.metrics.items()}
    values["coverage@10"] = number(scores.coverage)
    values["tail_share@10"] = number(scores.tail_share)
    values["interval"] = {m: [number(e.low), number(e.high)] for m, e in scores.metrics.items()}
    return values


def _estimate(name: str, estimate: Estimate) -> dict[str, Json]:
    return {
        name: number(estimate.value),
        "interval": [number(estimate.low), number(estimate.high)],
    }
