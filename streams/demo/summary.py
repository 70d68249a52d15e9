"""What came of a demo: for a person, and as JSON for a program."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from streams.simulator import Arm, ClickThrough, Lift

_LABELS = {Arm.FRESHET: "Freshet", Arm.POPULAR: "popular items", Arm.RANDOM: "random items"}


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything worth keeping of one demo. Times in seconds."""

    ran: float
    set_up: Mapping[str, float]
    ready: float
    first_recommendation: float | None
    events: int
    recommendations: int
    freshness_p50: float
    freshness_p99: float
    freshness_max: float
    freshness_measured: int
    arms: Mapping[Arm, ClickThrough]
    recent: Mapping[Arm, float]
    lifts: Mapping[Arm, Lift]
    missed: int
    dead_letters: int
    failures: int
    options: Mapping[str, float]
    fault: str | None = None

    @property
    def exit_code(self) -> int:
        """0 when recommendations were received and nothing died, else 1."""
        return 0 if self.recommendations and self.fault is None else 1


def show(summary: Summary, console: Console) -> None:
    """Print it."""
    console.print()
    console.print(
        f"[bold]{summary.events:,} events in {summary.ran:.0f} s[/bold], "
        f"{summary.recommendations:,} lists received, {summary.dead_letters:,} dead letters.",
        highlight=False,
    )
    if summary.first_recommendation is not None:
        console.print(
            f"Set-up took {summary.ready:.1f} s, "
            f"the first recommendation came {summary.first_recommendation:.1f} s after the start.",
            highlight=False,
        )
    if summary.freshness_measured:
        console.print(
            f"Freshness, event produced to list consumed: p50 {1000 * summary.freshness_p50:.0f} "
            f"ms, p99 {1000 * summary.freshness_p99:.0f} ms.",
            highlight=False,
        )
    if not any(arm.impressions for arm in summary.arms.values()):
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("click-through", no_wrap=True)
    for heading in ("clicks", "impressions", "rate", "95 %", "last 30 s"):
        table.add_column(heading, justify="right")
    for arm, estimate in summary.arms.items():
        table.add_row(
            f"[bold]{_LABELS[arm]}[/bold]" if arm is Arm.FRESHET else _LABELS[arm],
            f"{estimate.clicks:,}",
            f"{estimate.impressions:,}",
            _percent(estimate.rate),
            f"{_percent(estimate.low)} to {_percent(estimate.high)}",
            _percent(summary.recent[arm]),
        )
    console.print(table)
    for arm, lift in summary.lifts.items():
        if not math.isnan(lift.ratio):
            console.print(
                f"Freshet is clicked [bold]{lift.ratio:.2f}×[/bold] as often as {_LABELS[arm]} "
                f"(95 %: {lift.low:.2f} to {lift.high:.2f}).",
                highlight=False,
            )


def write(summary: Summary, path: Path) -> None:
    """Write it as one JSON object; what is not known is null."""
    content = {
        "seconds": summary.ran,
        "options": dict(summary.options),
        "set_up_seconds": dict(summary.set_up),
        "ready_seconds": summary.ready,
        "first_recommendation_seconds": summary.first_recommendation,
        "events": summary.events,
        "events_per_second": summary.events / summary.ran if summary.ran else None,
        "recommendations": summary.recommendations,
        "freshness_seconds": {
            "p50": summary.freshness_p50,
            "p99": summary.freshness_p99,
            "max": summary.freshness_max,
            "measured": summary.freshness_measured,
        },
        "click_through": {
            arm.value: {
                "clicks": estimate.clicks,
                "impressions": estimate.impressions,
                "rate": estimate.rate,
                "low": estimate.low,
                "high": estimate.high,
                "last_30_seconds": summary.recent[arm],
            }
            for arm, estimate in summary.arms.items()
        },
        "freshet_over": {
            arm.value: {"ratio": lift.ratio, "low": lift.low, "high": lift.high}
            for arm, lift in summary.lifts.items()
        },
        "shelves_missed": summary.missed,
        "dead_letters": summary.dead_letters,
        "events_not_taken": summary.failures,
        "fault": summary.fault,
        "exit_code": summary.exit_code,
    }
    path.write_text(json.dumps(_without_nan(content), indent=2) + "\n", encoding="utf-8")


def _percent(rate: float) -> str:
    return "–" if math.isnan(rate) else f"{100 * rate:.2f} %"


def _without_nan(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 6)
    return value
