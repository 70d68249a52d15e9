"""Freshet and its references on the same streams.

    python -m benchmarks.quality --streams DIR --out docs/quality [--at-most 20000] [--only EASE]

DIR holds a folder per stream with `events.csv` or `events.csv.gz`. Every finished run is a file
below OUT/results; what is there is not run again, so a run can be stopped and resumed at any time.
The table, OUT/README.md, is written anew after each run.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from benchmarks.quality.grid import references
from benchmarks.quality.reference import Builder, Outcome, evaluate
from benchmarks.quality.results import Result, as_markdown, load, machine, path_of
from models.compiled import compile as compile_engine
from models.evaluation import FRESHET, EventLog, Prequential
from models.recommender import Recommender
from streams.files import read_columns

Tell = Callable[[int], None]
Work = Callable[[Tell], Outcome]


def main() -> int:
    """Run what is missing and write the table. 1 where a reference could not run."""
    options = _options()
    results = options.out / "results"
    console = Console(stderr=True)
    threadpool_limits(1)  # every figure is of one thread
    warnings.filterwarnings("ignore", message="Method expects CSR input")
    compile_engine()
    left_out = False
    for folder, path in _streams(options.streams):
        log = EventLog.of(read_columns(path, at_most=options.at_most).rows)
        stream = folder if options.at_most is None else f"{folder}-first-{len(log)}"
        begun: Counter[str] = Counter()
        for reference, run, start in _jobs(log, results / stream / "scored.npy"):
            begun[reference] += 1
            due = not options.only or reference in (*options.only, "Freshet")
            due = due and begun[reference] <= (options.runs or begun[reference])
            if not due or path_of(results, stream, reference, run).exists():
                continue
            label = f"{stream}: {reference} {run}"
            try:
                work = start()
            except ImportError as missing:
                console.print(f"{label} left out, {missing}: pip install -e '.\\[bench]'")
                left_out = True
                continue
            found, seconds = _timed(work, len(log), label, console)
            result = Result(stream, reference, run, len(log), found.scored, seconds, found.metrics)
            result.store(results)
            (options.out / "README.md").write_text(as_markdown(load(results), machine()))
            best = max(row["recall@10"] for row in found.metrics.values())
            console.print(f"{label}: Recall@10 {best:.4f}, {seconds:,.0f} s", highlight=False)
    return int(left_out)


def _jobs(log: EventLog, scored: Path) -> Iterator[tuple[str, str, Callable[[], Work]]]:
    """Reference, run, and what starts it (ImportError: not installed). Freshet comes first: what
    its evaluation scores is what every reference is scored on."""
    yield "Freshet", "default", lambda: partial(_freshet, log, scored)
    for reference, run, builder in references():
        yield reference, run, partial(_reference, log, scored, builder)


def _freshet(log: EventLog, scored: Path, tell: Tell) -> Outcome:
    """Freshet as `freshet evaluate` runs it; stores which events were scored."""
    evaluation = Prequential(Recommender(), log)
    for done in evaluation:
        tell(done)
    scored.parent.mkdir(parents=True, exist_ok=True)
    np.save(scored, evaluation.scored)
    report = evaluation.report()
    scores = report.scores[FRESHET].metrics
    figures = {metric: estimate.value for metric, estimate in scores.items()}
    return Outcome(report.scored, {"as it comes": figures})


def _reference(log: EventLog, scored: Path, builder: Callable[[], Builder]) -> Work:
    build = builder()
    return lambda tell: evaluate(log, np.load(scored), build, tell)


def _timed(work: Work, events: int, label: str, console: Console) -> tuple[Outcome, float]:
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(label, total=events)
        began = time.perf_counter()
        found = work(lambda done: progress.update(task, completed=done))
        return found, round(time.perf_counter() - began, 1)


def _streams(folder: Path) -> Iterator[tuple[str, Path]]:
    """Name and events file of every stream below a folder."""
    for path in sorted(folder.glob("*/events.csv*")):
        yield path.parent.name, path


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--streams", type=Path, required=True, help="a folder per stream")
    parser.add_argument("--out", type=Path, required=True, help="where results and table go")
    parser.add_argument("--at-most", type=int, help="only the first N events of each stream")
    parser.add_argument("--only", action="append", help="only this reference (may be repeated)")
    parser.add_argument("--runs", type=int, help="only the first N settings of each reference")
    options = parser.parse_args()
    if not any(_streams(options.streams)):
        parser.error(f"{options.streams} holds no folder with an events.csv or events.csv.gz")
    return options


if __name__ == "__main__":
    sys.exit(main())
