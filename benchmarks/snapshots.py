"""What saving and restoring the model costs, with many users.

    python -m benchmarks.snapshots --users 1000000 [--events-per-user 3] [--items 100000]

A replica learns from synthetic events (users in turn, items by Zipf's law), then learns on while a
snapshot is written, as a worker does; then another replica is restored from it. `stall` is how long
learning stood still for the fork; `longest chunk` compares the slowest chunk of 500 events while a
snapshot is written with the slowest without one. Wall-clock seconds; the machine should be idle.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import platformdirs

from benchmarks.machine import machine, print_machine
from models import compiled
from models.interactions import Interactions
from streams.replica import Replica
from streams.settings import Settings
from streams.snapshot_keeper import fork
from streams.snapshots import SnapshotStore

CHUNK = 500
START = 1.6e9


class Stream:
    """Endless chunks: users in a random order, all before any comes again."""

    def __init__(self, users: int, items: int) -> None:
        self._random = np.random.default_rng(0)
        self._users, self._done = users, 0
        self._odds = np.cumsum(1.0 / np.arange(1, items + 1))

    def chunk(self) -> Interactions:
        numbers = (self._done + np.arange(CHUNK)) * 7919 % self._users
        drawn = np.searchsorted(self._odds, self._random.random(CHUNK) * self._odds[-1])
        self._done += CHUNK
        return Interactions(
            users=[f"user-{number}" for number in numbers.tolist()],
            items=[f"item-{number}" for number in drawn.tolist()],
            kinds=np.ones(CHUNK, np.int8),
            values=np.full(CHUNK, np.nan, np.float32),
            times=START + self._done + np.arange(CHUNK, dtype=np.float64),
        )


def measure(users: int, items: int, events: int, folder: Path) -> dict[str, float]:
    settings = Settings(snapshots=str(folder))
    replica, store, stream = Replica(settings), SnapshotStore(settings), Stream(users, items)

    def learn() -> float:
        chunk = stream.chunk()
        began = time.perf_counter()
        replica.recommender.learn(chunk, practise=False)
        return time.perf_counter() - began

    filling = [learn() for _ in range(-(-events // CHUNK))]
    quiet = [learn() for _ in range(100)]

    with store.new_file() as file:
        began = time.perf_counter()
        child = fork(lambda: store.write(file, replica.arrays()))
        stall = time.perf_counter() - began
        busy = []
        while not child.is_done():
            busy.append(learn())
        child.wait(600)
        written = time.perf_counter() - began
        size = file.stat().st_size
        snapshot = store.publish(file, 1)

    restored = Replica(settings)
    began = time.perf_counter()
    restored.load(store.read(snapshot))
    restore = time.perf_counter() - began
    return {
        "users": users,
        "items": items,
        "events learned": len(filling) * CHUNK,
        "learned per second": round(len(filling) * CHUNK / sum(filling)),
        "snapshot MB": round(size / 1e6),
        "stall ms": round(1000 * stall, 1),
        "seconds to write": round(written, 2),
        "longest chunk ms, without": round(1000 * max(quiet), 1),
        "longest chunk ms, while writing": round(1000 * max(busy, default=0.0), 1),
        "learned per second, while writing": round(len(busy) * CHUNK / max(sum(busy), 1e-9)),
        "seconds to restore": round(restore, 2),
        "users restored per second": round(users / restore),
        "peak memory GB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--events-per-user", type=float, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    compiled.use_cache(platformdirs.user_cache_path("freshet") / "engine")
    facts = machine()
    with tempfile.TemporaryDirectory() as folder:
        events = int(asked.users * asked.events_per_user)
        figures = measure(asked.users, asked.items, events, Path(folder))
    print_machine(facts)
    for name, value in figures.items():
        print(f"{name:>34}  {value:,}")
    if asked.json:
        asked.json.write_text(json.dumps({"machine": facts, "results": figures}, indent=1))


if __name__ == "__main__":
    main()
