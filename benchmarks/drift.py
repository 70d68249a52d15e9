"""Which of River's detectors tells best that recommendations get worse.

    python -m benchmarks.drift [--streams DIR] [--seeds 6]

Made-up streams of 24,000 events, on which everybody keeps to one of eight groups of items: steady
ones, and such on which at event 12,000 everybody turns to another group. Each detector is told, one
event after another, whether the item taken stood among the first ten, or the share of such events
in blocks; falls it reports in steady times are false alarms. On real streams, where nobody knows
what is true, the table says how often it would have spoken.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river.drift import ADWIN, PageHinkley

from models.interactions import Interactions, Kind
from models.recommender import Recommender
from streams.files import read_columns

EVENTS, CHANGE = 24_000, 12_000
USERS, GROUPS, ITEMS = 400, 8, 60

#: By name: a new detector, and the events of a block.
DETECTORS: dict[str, tuple[Callable[[], Any], int]] = {
    "ADWIN, δ = .002": (lambda: ADWIN(0.002), 1),
    "ADWIN, δ = 1e-4": (lambda: ADWIN(1e-4), 1),
    "ADWIN, δ = 1e-6": (lambda: ADWIN(1e-6), 1),
    "ADWIN, δ = .002, blocks of 10": (lambda: ADWIN(0.002), 10),
    "ADWIN, δ = .002, blocks of 50": (lambda: ADWIN(0.002), 50),
    "Page-Hinkley, λ = 50": (lambda: PageHinkley(1000, 0.005, 50, mode="down"), 1),
    "Page-Hinkley, λ = 1, blocks of 50": (lambda: PageHinkley(30, 0.005, 1, mode="down"), 50),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--streams", type=Path, help="a folder of folders with an events.csv.gz")
    parser.add_argument("--seeds", type=int, default=6, help="made-up streams of each kind")
    options = parser.parse_args()
    steady = [hits_of(made_up(seed, None)) for seed in range(options.seeds)]
    changed = [hits_of(made_up(seed, CHANGE)) for seed in range(options.seeds)]
    paths = sorted(options.streams.glob("*/events.csv.gz")) if options.streams else []
    real = [hits_of(read_columns(path, at_most=100_000).rows) for path in paths]
    names = " | ".join(path.parent.name for path in paths)
    print(f"| detector | found after, events | false falls in 100k events | {names} |")
    print("|" + "---|" * (3 + len(paths)))
    for name, (new, block) in DETECTORS.items():
        false = sum(len(falls(new(), *hits, block)) for hits in steady)
        first = [
            next((at - CHANGE for at in falls(new(), *hits, block) if at >= CHANGE), None)
            for hits in changed
        ]
        found = [at for at in first if at is not None]
        after = f"{np.median(found):.0f} (at most {max(found)})" if found else "–"
        missed = f", {len(first) - len(found)} missed" if len(found) < len(first) else ""
        rate = f"{false * 100_000 / (EVENTS * len(steady)):.1f}"
        cells = [str(len(falls(new(), *hits, block))) for hits in real]
        print("| " + " | ".join([name, after + missed, rate, *cells]) + " |", flush=True)


def made_up(seed: int, change: int | None) -> Interactions:
    rng = np.random.default_rng(seed)
    rows = []
    for t in range(EVENTS):
        user = int(rng.integers(USERS))
        group = user % GROUPS if change is None or t < change else user // GROUPS % GROUPS
        item = f"i{group}.{min(int(rng.zipf(1.3)), ITEMS)}"
        rows.append((f"u{user}", item, Kind.VIEW, None, 1.6e9 + 60.0 * t))
    return Interactions.of(rows)


def hits_of(rows: Interactions) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Which events were scored, and whether the item stood among the first ten."""
    ranks = Recommender().rank_and_learn(rows).ranks[:, 0]
    events = np.flatnonzero(~np.isnan(ranks))
    return events, ranks[events] < 10


def falls(
    detector: Any, events: NDArray[np.int64], hits: NDArray[np.bool_], block: int
) -> list[int]:
    """The events at which the detector says that quality fell."""
    found = []
    for at in range(0, len(hits) - block + 1, block):
        before = getattr(detector, "estimation", 1.0)
        detector.update(float(hits[at : at + block].mean()))
        if detector.drift_detected and getattr(detector, "estimation", 0.0) < before:
            found.append(int(events[at + block - 1]))
    return found


if __name__ == "__main__":
    main()
