"""The picture of an evaluation: how good over time, and what the sources give."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.evaluation import FRESHET, POPULAR, Report
from models.evaluation.metrics import RECALL_10

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".png", ".svg", ".pdf")

COLOURS = ("#0b6e4f", "#d1495b", "#8d99ae")


class PlotUnavailable(Exception):
    """A picture cannot be made; the message says what to do about it."""


def check_plot(path: Path) -> None:
    """Raise PlotUnavailable now rather than after a long run."""
    if path.suffix.lower() not in FORMATS:
        raise PlotUnavailable(f"{path}: name the picture *.png, *.svg or *.pdf.")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise PlotUnavailable(
            "A picture needs matplotlib: pip install -e '.[plots]' in Freshet's folder, or leave "
            "out --plot."
        ) from None


def plot_report(
    report: Report, path: Path, title: str, late: Mapping[int, Report] | None = None
) -> None:
    """Write the learning curve, what each source gives, and what freshness is worth.

    Top: Recall@10 by number of events learned, for Freshet, the best single source and the most
    popular items. Then what each family of sources gives to the lists, stacked, where that was
    asked. Then, given `late` (reports by delay, 0 first), Recall@10 by how late all was learned.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    asked = bool(np.isfinite(report.curve.shares).any())
    panels = 1 + asked + bool(late)
    figure = Figure(figsize=(9.0, 3.6 * panels), layout="constrained")
    axes = figure.subplots(panels, 1, squeeze=False)[:, 0]
    axes[0].set_title(title)
    _draw_quality(axes[0], report)
    if asked:
        _draw_shares(axes[1], report)
    if late:
        _draw_lateness(axes[-1], late)
    for axis in axes:
        axis.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=144)


def _draw_quality(axis: Axes, report: Report) -> None:
    curve = report.curve
    best = report.lifts["recall@10"].best
    lines = {FRESHET: "Freshet", best: f"{best} (best single)", POPULAR: "most popular"}
    for (name, label), colour in zip(lines.items(), COLOURS, strict=False):
        column = curve.values[:, report.names.index(name), RECALL_10]
        width = 2 if name == FRESHET else 1.3
        axis.plot(curve.events / 1000.0, column, label=label, color=colour, lw=width)
    axis.set(ylabel="Recall@10", xlabel="events learned, thousands", ylim=(0, None))
    axis.grid(alpha=0.3)


def _draw_shares(axis: Axes, report: Report) -> None:
    curve = report.curve
    told = np.isfinite(curve.shares[:, 0])
    shares, events = curve.shares[told].T, curve.events[told] / 1000.0
    order = np.argsort(-shares.sum(axis=1))
    names = [curve.families[k] for k in order]
    axis.stackplot(events, shares[order], labels=names, colors=_palette(len(order)))
    axis.set(ylabel="given to the lists by", xlabel="events learned, thousands", ylim=(0, 1))
    axis.margins(x=0)


def _draw_lateness(axis: Axes, late: Mapping[int, Report]) -> None:
    places = np.arange(len(late))
    for name, label, colour in ((FRESHET, "Freshet", COLOURS[0]), ("", "best single", COLOURS[1])):
        found = [
            report.scores[name or report.lifts["recall@10"].best].metrics["recall@10"]
            for report in late.values()
        ]
        axis.plot(places, [e.value for e in found], "o-", label=label, color=colour)
        if name:
            low, high = ([getattr(e, end) for e in found] for end in ("low", "high"))
            axis.fill_between(places, low, high, color=colour, alpha=0.15, lw=0)
    axis.set_xticks(places, [f"{delay:,}" for delay in late])
    axis.set(ylabel="Recall@10", xlabel="learned … events late", ylim=(0, None))
    axis.grid(alpha=0.3)


def _palette(size: int) -> list[tuple[float, float, float, float]]:
    from matplotlib import colormaps

    return [colormaps["tab20"](k % 20) for k in range(size)]
