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
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from benchmarks.quality.grid import references
from benchmarks.quality.reference import Outcome, evaluate
from benchmarks.quality.results import Result, as_markdown, load, machine, path_of
from models.evaluation import FRESHET, EventLog, Prequential
from models.recommender import Recommender
from streams.files import read_columns

Run = Callable[[EventLog, Callable[[int], None]], Outcome]


def main() -> int:
    """Run what is missing and write the table. 1 where a reference could not run."""
    options = _options()
    console = Console(stderr=True)
    threadpool_limits(1)  # every figure is of one thread
    warnings.filterwarnings("ignore", message="Method expects CSR input")
    left_out = False
    for stream, path in _streams(options.streams):
        log = EventLog.of(read_columns(path, at_most=options.at_most).rows)
        name = stream if options.at_most is None else f"{stream}-first-{len(log)}"
        for reference, setting, start in _jobs():
            if options.only and reference not in options.only:
                continue
            if path_of(options.out / "results", name, reference, setting).exists():
                continue
            label = f"{name}: {reference} {setting}"
            try:
                run = start()
            except ImportError as missing:
                console.print(f"{label} left out ({missing}): pip install 'freshet\\[bench]'")
                left_out = True
                continue
            with Progress(console=console, transient=True) as progress:
                task = progress.add_task(label, total=len(log))
                began = time.perf_counter()
                found = run(log, lambda done, p=progress, t=task: p.update(t, completed=done))
                seconds = round(time.perf_counter() - began, 1)
            result = Result(
                name, reference, setting, len(log), found.scored, seconds, found.metrics
            )
            result.store(options.out / "results")
            (options.out / "README.md").write_text(
                as_markdown(load(options.out / "results"), machine())
            )
            best = max(row["recall@10"] for row in found.metrics.values())
            console.print(f"{label}: Recall@10 {best:.4f}, {seconds:,.0f} s", highlight=False)
    return int(left_out)


def _jobs() -> Iterator[tuple[str, str, Callable[[], Run]]]:
    """Everything to run on a stream: name, run, and what starts it (ImportError: not installed)."""
    yield "Freshet", "default", lambda: lambda log, tell: _own(log, FRESHET, tell)
    for reference, setting, builder in references():

        def start(builder: Callable[[], object] = builder) -> Run:
            build = builder()
            return lambda log, tell: evaluate(log, build, tell)  # type: ignore[arg-type]

        yield reference, setting, start


def _own(log: EventLog, name: str, tell: Callable[[int], None]) -> Outcome:
    """Freshet as `freshet evaluate` runs it."""
    evaluation = Prequential(Recommender(), log)
    for done in evaluation:
        tell(done)
    report = evaluation.report()
    figures = {metric: estimate.value for metric, estimate in report.scores[name].metrics.items()}
    return Outcome(report.scored, {"as it comes": figures})


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
    options = parser.parse_args()
    if not any(_streams(options.streams)):
        parser.error(f"{options.streams} holds no folder with an events.csv or events.csv.gz")
    return options


if __name__ == "__main__":
    sys.exit(main())
