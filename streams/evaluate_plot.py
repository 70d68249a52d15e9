"""The picture of an evaluation: how good over time, and which sources decide."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.evaluation import FRESHET, POPULAR, Report
from models.evaluation.metrics import RECALL_10

FORMATS = (".png", ".svg", ".pdf")


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
            "A picture needs matplotlib: pip install 'freshet[plots]', or leave out --plot."
        ) from None


def plot_report(report: Report, path: Path, title: str) -> None:
    """Write the learning curve and, where the engine tells them, the shares of the sources.

    Top: Recall@10 by number of events learned, for Freshet, the best single source and the most
    popular items. Bottom: each source's mean share in the decision, stacked.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    curve = report.curve
    events = curve.events / 1000.0
    panels = 1 if curve.shares is None else 2
    figure = Figure(figsize=(9.0, 4.0 * panels), layout="constrained")
    axes = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]

    best = report.lifts["recall@10"].best
    lines = {FRESHET: "Freshet", best: f"{best} (best single)", POPULAR: "most popular"}
    for (name, label), colour in zip(
        lines.items(), ("#0b6e4f", "#d1495b", "#8d99ae"), strict=False
    ):
        column = curve.values[:, report.names.index(name), RECALL_10]
        axes[0].plot(events, column, label=label, color=colour, lw=2 if name == FRESHET else 1.3)
    axes[0].set(ylabel="Recall@10", title=title, ylim=(0, None))
    axes[0].grid(alpha=0.3)
    axes[0].legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))

    if curve.shares is not None:
        shares = np.nan_to_num(curve.shares).T
        names = report.names[1 : 1 + len(shares)]
        order = np.argsort(-shares.sum(axis=1))
        axes[1].stackplot(
            events, shares[order], labels=[names[k] for k in order], colors=_palette(len(order))
        )
        axes[1].set(ylabel="share in the decision", ylim=(0, 1), xlim=(events[0], events[-1]))
        axes[1].legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    axes[-1].set_xlabel("events learned, thousands")
    figure.savefig(path, dpi=144)


def _palette(size: int) -> list[tuple[float, float, float, float]]:
    from matplotlib import colormaps

    return [colormaps["tab20"](k % 20) for k in range(size)]
