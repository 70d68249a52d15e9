"""`freshet evaluate`: how good the recommendations are, on a stream of one's own."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from models.catalogue import ItemFacts
from models.compiled import compile as compile_engine
from models.evaluation import (
    FRESHET,
    POPULAR,
    RANDOM,
    TOP,
    Engine,
    EventLog,
    Prequential,
    Ranked,
)
from models.evaluation.late import Late
from models.evaluation.references import Repeats
from models.evaluation.report import Json, Lift, Report, lateness_as_json
from models.evaluation.tally import Estimate
from models.interactions import Interactions
from models.plugged import Plugged, PluginError, engine_of
from models.recommender import Recommender
from models.settings import EngineSettings
from streams.evaluate_plot import PlotUnavailable, check_plot, plot_report
from streams.files import Faults, UnreadableFile, read_columns, read_facts

FINE, LINES_SKIPPED, COULD_NOT_RUN = 0, 1, 2

SHOWN_FAULTS = 3
DEFAULTS = EngineSettings()

LATE_FROM = 0.5
"""Where nothing else is asked, what is learned late is compared on this last part of the stream:
by then even the latest engine has learned something."""

CHUNK = 500
"""Events ranked at once, each before it is learned; what is told of items comes in between."""

COLUMNS = ("recall@10", "recall@50", "mrr", "ndcg@10", "precision@10")
HEADINGS = ("Recall@10", "Recall@50", "MRR", "nDCG@10", "Precision@10")


class CannotEvaluate(Exception):
    """Nothing can be evaluated; the message says why and what to do."""


def run_evaluate(
    events: Path,
    *,
    items: Path | None = None,
    json_path: Path | None = None,
    plot_path: Path | None = None,
    repeats: Repeats = "learn",
    at_most: int | None = None,
    split: str | None = None,
    freeze: bool = False,
    staleness: str | None = None,
    settings: EngineSettings = DEFAULTS,
    seed: int = 0,
) -> int:
    """Evaluate the engine on a file of events, an event at a time: tables, and JSON and a picture.

    split: `time:0.8` learns the first 80 % of the events and scores the rest; with `freeze`, what
    is learned then ends there, each user's own history excepted. staleness: numbers of events, as
    `100,1000`: what the recommendations lose when all but the users' histories is learned so late.
    settings: the engine's; `repeats` takes the place of theirs.
    Returns 0, or 1 when lines of a file had to be skipped, or 2 when nothing could be evaluated:
    the sentence printed says why and what to do.
    """
    out, notes = _console(), Console(stderr=True, markup=False, emoji=False)
    try:
        first = _share(split)
        if freeze and not first:
            raise CannotEvaluate(
                "--freeze needs --split: say what is learned, as --split time:0.8."
            )
        delays = _delays(staleness)
        _check_targets(json_path, plot_path)
        read = read_columns(events, at_most=at_most)
        facts = read_facts(items) if items else None
        for path, passed_over in ((events, read.passed_over), (items, facts and facts.passed_over)):
            if passed_over:
                notes.print(f"{path}: {passed_over}", markup=False, highlight=False)
        log = EventLog.of(read.rows)
        if not len(log):
            why = f"\n{_faults(events, read.faults)}" if read.skipped else ""
            raise CannotEvaluate(f"{events} holds no events: nothing to evaluate.{why}")
        if log.reordered:
            notes.print(
                f"{log.reordered:,} of {len(log):,} events were not in order of time; all are "
                "evaluated in order of time, equal times in the order of the file."
            )
        # What is not available today was when it was taken.
        known = {i: replace(f, available=True) for i, f in facts.items.items()} if facts else {}
        if items and not first and len(log) <= CHUNK:
            notes.print(
                f"{items} has no effect here: what an item is like is told after the {CHUNK} "
                f"events among which it first occurs, and these are {len(log):,} in all.",
                markup=False,
                highlight=False,
            )
        _check_delays(delays, log, first or LATE_FROM)
        run = _Run(log, known, replace(settings, repeats=repeats), seed, freeze)
        with _progress(notes) as progress:
            run.prepare(progress)
            report, seconds, recommender = run.evaluate(progress, first)
            late = {
                delay: run.evaluate(progress, first or LATE_FROM, delay).report
                for delay in ([0, *delays] if delays else [])
            }
    except (CannotEvaluate, PlotUnavailable, PluginError, UnreadableFile) as problem:
        notes.print(str(problem), style="red", markup=False, highlight=False)
        return COULD_NOT_RUN

    skipped = read.skipped + (facts.skipped if facts else 0)
    _print(out, str(events), log, report, seconds, late)
    if isinstance(recommender, Plugged):
        notes.print(_say_of(recommender), markup=False, highlight=False)
    try:
        if json_path:
            found: dict[str, Json] = {
                "stream": str(events),
                "events_per_second": round(len(log) / seconds, 1),
                "seconds": round(seconds, 6),
                "repeats": repeats,
                "seed": seed,
                "skipped_lines": skipped,
                **report.as_json(),
            }
            if isinstance(recommender, Plugged):
                found["plugin"] = {
                    "model": recommender.settings.plugin,
                    "weight": round(recommender.weight, 6),
                    "fault": recommender.fault,
                }
            if late:
                found["staleness"] = lateness_as_json(late)
            json_path.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
        if plot_path:
            plot_report(report, plot_path, f"{events}, {len(log):,} events", late)
    except OSError as fault:
        notes.print(
            f"The tables are whole, but not all files of them could be written ({fault}); make "
            "room, or name another place.",
            style="red",
            markup=False,
            highlight=False,
        )
        return COULD_NOT_RUN
    for path, faults in ((events, read.faults), (items, facts and facts.faults)):
        if faults and faults.count:
            notes.print(_faults(path, faults), style="yellow", markup=False, highlight=False)
    return LINES_SKIPPED if skipped else FINE


def _faults(path: Path | None, faults: Faults) -> str:
    lines = [f"{faults.count:,} lines of {path} could not be read and were skipped:"]
    lines += [f"  line {fault.line}: {fault.reason}" for fault in faults.first[:SHOWN_FAULTS]]
    return "\n".join([*lines, "  …"] if faults.count > SHOWN_FAULTS else lines)


def _say_of(recommender: Plugged) -> str:
    name = recommender.settings.plugin
    if recommender.fault:
        return f"{name} raised and was left out from there on: {recommender.fault}."
    return f"{name}: its opinion weighs {recommender.weight:.2f} beside the engine's score."


def _console() -> Console:
    """As wide as the terminal; wide enough for the table where the output goes to a file."""
    # The names of files and categories are shown as they are, brackets included.
    console = Console(markup=False, emoji=False)
    return console if console.is_terminal else Console(width=120, markup=False, emoji=False)


def _share(split: str | None) -> float:
    """0.8 of `time:0.8`; 0 of nothing."""
    if split is None:
        return 0.0
    kind, _, text = split.partition(":")
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if kind != "time" or not 0.0 < share < 1.0:
        raise CannotEvaluate(
            f"--split {split}: write time: and a share between 0 and 1, as in time:0.8."
        )
    return share


def _delays(text: str | None) -> list[int]:
    """100 and 1000 of `1000,100`."""
    try:
        delays = sorted({int(part) for part in text.split(",")}) if text is not None else []
    except ValueError:
        delays = [0]
    if delays and delays[0] < 1:
        raise CannotEvaluate(
            f"--staleness {text}: write numbers of events, 1 or more, as in 100,1000,10000."
        )
    return delays


def _check_delays(delays: list[int], log: EventLog, first: float) -> None:
    most = round(first * len(log))
    if delays and delays[-1] > most:
        raise CannotEvaluate(
            f"--staleness {delays[-1]}: what is learned late is scored after the first {most:,} of "
            f"{len(log):,} events, so no delay can be longer than that."
        )


def _check_targets(json_path: Path | None, plot_path: Path | None) -> None:
    """Find out now, rather than after a long run, that a result cannot be written."""
    for path in (json_path, plot_path):
        if path and not path.absolute().parent.is_dir():
            raise CannotEvaluate(f"{path} cannot be written: make the folder {path.parent} first.")
        if path and path.is_dir():
            raise CannotEvaluate(f"{path} cannot be written: it is a folder; name a file in it.")
    if plot_path:
        check_plot(plot_path)


@dataclass(slots=True)
class _Timed:
    """An engine, and the seconds spent in it: reading, scoring and printing are not its doing."""

    engine: Engine
    seconds: float = 0.0

    def rank_and_learn(self, chunk: Interactions, *, top: int = 10) -> Ranked:
        began = time.perf_counter()
        ranked = self.engine.rank_and_learn(chunk, top=top)
        self.seconds += time.perf_counter() - began
        return ranked

    def rank_and_remember(self, chunk: Interactions, *, top: int = 10) -> Ranked:
        began = time.perf_counter()
        ranked = self.engine.rank_and_remember(chunk, top=top)
        self.seconds += time.perf_counter() - began
        return ranked

    def upsert_items(self, items: Sequence[ItemFacts]) -> None:
        began = time.perf_counter()
        self.engine.upsert_items(items)
        self.seconds += time.perf_counter() - began

    def item_ids(self, numbers: NDArray[np.int32]) -> list[str]:
        return self.engine.item_ids(numbers)


class _Evaluated(NamedTuple):
    """The seconds are those that the engine took."""

    report: Report
    seconds: float
    recommender: Recommender


@dataclass(frozen=True, slots=True)
class _Run:
    """What all evaluations of one command have in common."""

    log: EventLog
    facts: dict[str, ItemFacts]
    settings: EngineSettings
    seed: int
    freeze: bool

    def prepare(self, progress: Progress) -> None:
        building = progress.add_task("preparing", total=1.0)
        compile_engine(lambda share, _: progress.update(building, completed=share))
        progress.remove_task(building)

    def evaluate(self, progress: Progress, first: float, delay: int = 0) -> _Evaluated:
        recommender = engine_of(self.settings, seed=self.seed)
        engine = _Timed(Late(recommender, delay) if delay else recommender)
        evaluation = Prequential(
            engine,
            self.log,
            facts=self.facts,
            repeats=self.settings.repeats,
            split=first,
            freeze=self.freeze,
            seed=self.seed,
            chunk=CHUNK,
        )
        what = f"learning {delay:,} events late" if delay else "learning and ranking"
        task = progress.add_task(what, total=len(self.log))
        for done in evaluation:
            rate = f"{what}, {done / max(engine.seconds, 1e-9):,.0f} events/s"
            progress.update(task, completed=done, description=rate)
        progress.remove_task(task)
        report = evaluation.report()
        if not report.scored:
            raise CannotEvaluate(
                f"None of {len(self.log):,} events can be scored: an event is, when its kind takes "
                "an item (view, click, add_to_cart, purchase, rating, like) and the item has "
                "occurred before."
                + (" Score more of the stream with a smaller --split." if first else "")
            )
        return _Evaluated(report, engine.seconds, recommender)


def _progress(notes: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=notes,
        transient=True,
    )


def _print(
    out: Console,
    stream: str,
    log: EventLog,
    report: Report,
    seconds: float,
    late: dict[int, Report],
) -> None:
    """Everything a person wants to know, best first."""
    span = " – ".join(
        datetime.fromtimestamp(float(t), UTC).date().isoformat() for t in log.times[[0, -1]]
    )
    out.print(
        Text.assemble(
            (stream, "bold"),
            f": {report.events:,} events of {report.users:,} users with {report.items:,} items, "
            f"{span}. {report.scored:,} scored, each before it was learned; "
            f"{report.events / seconds:,.0f} events/s.",
        )
    )
    out.print()
    out.print(_scores_table(report))
    out.print()
    for metric, heading in (("recall@10", "Recall@10"), ("mrr", "MRR")):
        out.print(_lift(heading, report.lifts[metric]), highlight=False)
    if report.items < 2 * TOP:
        out.print(
            f"With fewer than {2 * TOP} items these figures say little: what a strategy knows "
            f"nothing of stands in the middle, and that is among the first {TOP}.",
            highlight=False,
        )
    out.print()
    out.print(_breakdown_table(report))
    if report.classifications:
        out.print()
        out.print(_classification_table(report))
    if late:
        out.print()
        out.print(_lateness_table(late))
    out.print()
    out.print(
        "± and ranges: 95 % intervals, events grouped by user. docs/evaluation.md says how "
        "everything is measured.",
        style="dim",
        highlight=False,
    )


def _scores_table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for heading in (*HEADINGS, "Coverage@10", "Long tail"):
        table.add_column(heading, justify="right")
    for name in _best_first(report):
        scores = report.scores[name]
        cells = [
            _with_margin(scores.metrics["recall@10"]),
            *(f"{scores.metrics[metric].value:.4f}" for metric in COLUMNS[1:]),
            _percent(scores.coverage),
            _percent(scores.tail_share),
        ]
        table.add_row(name, *cells, style="bold" if name == FRESHET else None)
    return table


def _best_first(report: Report) -> list[str]:
    """Freshet, its sources by Recall@10, then the references."""

    def recall(name: str) -> float:
        return report.scores[name].metrics["recall@10"].value

    sources = [name for name in report.names if name not in (FRESHET, POPULAR, RANDOM)]
    return [FRESHET, *sorted(sources, key=recall, reverse=True), POPULAR, RANDOM]


def _lift(heading: str, lift: Lift) -> str:
    ratio = lift.ratio
    if not np.isfinite(ratio.value):
        return f"{heading}: no single strategy found anything."
    text = f"{heading}: {ratio.value:.2f} × the best single strategy, {lift.best}"
    known = np.isfinite(ratio.low)
    return text + (f" ({ratio.low:.2f} to {ratio.high:.2f})." if known else ".")


def _breakdown_table(report: Report) -> Table:
    best = report.lifts["recall@10"].best
    columns = list(dict.fromkeys((FRESHET, best, POPULAR)))
    table = Table(box=None, pad_edge=False)
    table.add_column("Recall@10 by")
    table.add_column("")
    table.add_column("scored", justify="right")
    for name in columns:
        table.add_column(name, justify="right")
    for kind, part in report.breakdowns.items():
        for k, label in enumerate(part.labels):
            if part.scored[k]:
                cells = [f"{part.values[k, report.names.index(name), 0]:.4f}" for name in columns]
                table.add_row(kind, label, f"{part.scored[k]:,}", *cells)
                kind = ""
    return table


def _classification_table(report: Report) -> Table:
    assert report.classifications is not None
    table = Table(box=None, pad_edge=False)
    table.add_column("Would the user take it?")
    for heading in ("Accuracy", "Precision", "Recall", "F1", "ROC-AUC"):
        table.add_column(heading, justify="right")
    for name in _best_first(report):
        c = report.classifications[name]
        figures = (c.accuracy, c.precision, c.recall, c.f1, c.roc_auc)
        table.add_row(
            name, *(f"{x:.3f}" for x in figures), style="bold" if name == FRESHET else None
        )
    return table


def _lateness_table(late: dict[int, Report]) -> Table:
    """What freshness is worth: the same events, ranked by what was known so many events before."""
    scored = late[0].scored
    fresh = late[0].scores[FRESHET].metrics["recall@10"].value
    table = Table(box=None, pad_edge=False)
    table.add_column(f"Learned … events late ({scored:,} scored)")
    for heading in ("Recall@10", "of fresh", "MRR", "best single", "its Recall@10"):
        table.add_column(heading, justify="right")
    for delay, report in late.items():
        ours, best = report.scores[FRESHET].metrics, report.lifts["recall@10"].best
        table.add_row(
            f"{delay:,}",
            _with_margin(ours["recall@10"]),
            _percent(ours["recall@10"].value / fresh if fresh else float("nan")),
            f"{ours['mrr'].value:.4f}",
            best,
            f"{report.scores[best].metrics['recall@10'].value:.4f}",
        )
    return table


def _with_margin(estimate: Estimate) -> str:
    margin = (estimate.high - estimate.low) / 2
    return f"{estimate.value:.4f}" + (f" ± {margin:.4f}" if np.isfinite(margin) else "")


def _percent(share: float) -> str:
    return f"{share:.1%}" if np.isfinite(share) else "–"
