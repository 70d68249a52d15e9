"""What has been measured, one small file per stream, reference and run: a run can be resumed."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

METRICS = ("recall@10", "recall@50", "mrr", "ndcg@10")
VERSIONS = ("numpy", "numba", "scipy", "river", "implicit", "torch", "faiss-cpu")

INTRODUCTION = """\
Prequential: for every event, rank all items known so far, then learn. The same events are scored
for everyone. Each figure of a reference is the best that any of its settings reached on that
stream, chosen in hindsight, with consumed items left out or kept, whichever was better. Freshet has
one setting. ×: Freshet over the reference. Seconds: one run, one thread, ranking at every event.

Made by `python -m benchmarks.quality --streams DIR --out docs/quality`."""


@dataclass(frozen=True, slots=True)
class Result:
    """One run of one reference on one stream. metrics: setting → metric → mean."""

    stream: str
    reference: str
    run: str
    events: int
    scored: int
    seconds: float
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)

    def path(self, folder: Path) -> Path:
        return path_of(folder, self.stream, self.reference, self.run)

    def store(self, folder: Path) -> None:
        """Write whole or not at all, so that a killed run leaves nothing half done."""
        path = self.path(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".part")
        draft.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")
        draft.replace(path)


def path_of(folder: Path, stream: str, reference: str, run: str) -> Path:
    return folder / stream / reference.replace(" ", "-") / f"{run}.json"


def load(folder: Path) -> list[Result]:
    """All results below a folder, in order of path."""
    return [Result(**json.loads(path.read_text())) for path in sorted(folder.glob("*/*/*.json"))]


def machine() -> dict[str, str]:
    """What the figures were measured on and with."""
    found = {"python": platform.python_version(), "processor": _processor()}
    for package in VERSIONS:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _processor() -> str:
    """The processor's name where the system tells it, and the number of cores."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (cpuinfo.read_text().splitlines() if cpuinfo.exists() else ())
        if line.startswith("model name")
    ]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def as_markdown(results: Iterable[Result], versions: dict[str, str]) -> str:
    """One table per stream: each metric of a reference is the best any of its settings reached."""
    by_stream: dict[str, dict[str, list[Result]]] = {}
    for result in results:
        by_stream.setdefault(result.stream, {}).setdefault(result.reference, []).append(result)

    lines = ["# Quality beside other recommenders", ""]
    lines += [INTRODUCTION, ""]
    for stream, references in by_stream.items():
        lines += _table(stream, references)
    lines += ["## Measured with", ""]
    lines += [f"- {name}: {version}" for name, version in versions.items()]
    return "\n".join(lines) + "\n"


def _table(stream: str, references: dict[str, list[Result]]) -> list[str]:
    best = {
        name: {
            metric: max(
                (row[metric], setting) for run in runs for setting, row in run.metrics.items()
            )
            for metric in METRICS
        }
        for name, runs in references.items()
    }
    one = next(iter(references.values()))[0]
    ours = best.get("Freshet")
    lines = [f"## {stream}", "", f"{one.events:,} events, {one.scored:,} scored.", ""]
    lines.append("| | " + " | ".join(f"{m} | ×" for m in ("Recall@10", "MRR")))
    lines[-1] += " | Recall@50 | nDCG@10 | settings tried | best setting (Recall@10) | seconds |"
    lines.append("|---|" + "---:|" * 7 + "---|---:|")
    for name in sorted(best, key=lambda n: -best[n]["recall@10"][0]):
        row, runs = best[name], references[name]
        cells = []
        for metric in ("recall@10", "mrr"):
            lift = f"{ours[metric][0] / row[metric][0]:.2f}" if ours and row[metric][0] else "–"
            cells += [f"{row[metric][0]:.4f}", lift]
        cells += [f"{row[metric][0]:.4f}" for metric in ("recall@50", "ndcg@10")]
        tried = sum(len(run.metrics) for run in runs)
        seconds = sum(run.seconds for run in runs) / len(runs)
        cells += [str(tried), row["recall@10"][1], f"{seconds:,.0f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return [*lines, ""]
