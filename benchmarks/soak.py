"""Half an hour at a steady load: whether memory grows, and whether freshness stays.

    python -m benchmarks.soak [--minutes 30] [--load 0.8] [--events FILE] [--json FILE]

The same `--known` events come again and again, and of each user the newest 64 are kept: after four
rounds nothing of the model can grow any more, in size or in what a list costs. Only then the
capacity is measured, as in `benchmarks.freshness`, and the worker gets that share of it. Memory is
the worker's resident set, every five seconds; its slope is that of a least-squares line over the
second half.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from benchmarks.freshness import Bench
from benchmarks.machine import machine, print_machine
from benchmarks.scratch import scratch
from benchmarks.stream import ITEMS, Record, records
from benchmarks.worker import Worker
from schemas import Event, EventType, decode_event, encode
from streams.settings import load as settings_of

LOOK_SECONDS = 5.0
HISTORY, ROUNDS = 64, 4
CAPACITY_SECONDS = 20.0
MOST_PER_SECOND = 6_000


class Memory(threading.Thread):
    """Notes a worker's resident memory until stopped."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(daemon=True)
        self._worker, self._stopped = worker, threading.Event()
        self.seconds: list[float] = []
        self.mib: list[float] = []

    def run(self) -> None:
        began = time.monotonic()
        while not self._stopped.wait(LOOK_SECONDS):
            self.seconds.append(time.monotonic() - began)
            self.mib.append(self._worker.resident_mb())

    def stop(self) -> None:
        """No more."""
        self._stopped.set()
        self.join()

    def slope(self) -> float:
        """MiB per hour over the second half."""
        half = len(self.mib) // 2
        return float(np.polyfit(self.seconds[half:], self.mib[half:], 1)[0]) * 3600


def repeated(known: list[Record], begin: int, count: int) -> list[Record]:
    """`count` events of those that come again and again, each with its own `event_id` (its number,
    from `begin` on)."""
    now_ms = int(time.time() * 1000)
    return [
        (key, encode(Event(e.user_id, e.item_id, EventType.CLICK, event_id=str(n))))
        for n, (key, value) in enumerate(islice(cycle(known), begin, begin + count), begin)
        for e in (decode_event(value, now_ms, now_ms),)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--load", type=float, default=0.8, help="share of the measured capacity")
    parser.add_argument("--known", type=int, default=50_000, help="events that come again")
    parser.add_argument("--events", type=Path, help="a file of events; made up where not given")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    facts, seconds = machine(), asked.minutes * 60
    known = records(ITEMS + asked.known, asked.events)[-asked.known :]
    fill = ROUNDS * asked.known
    before = fill + int(CAPACITY_SECONDS * MOST_PER_SECOND)
    with scratch() as (folder, broker):
        settings = settings_of(
            options={"bootstrap_servers": broker.bootstrap_servers, "topic_prefix": "soak-"}
        )
        worker = Worker(settings, folder, more={"FRESHET_ENGINE__MAX_HISTORY": str(HISTORY)})
        bench = Bench(settings, broker, worker)
        found = bench.capacity(repeated(known, 0, before), fill, CAPACITY_SECONDS)
        most = found["events per second"]
        memory = Memory(bench.worker)
        memory.start()
        stream = repeated(known, before, int(seconds * most * asked.load * 1.05))
        figures, seen = bench.run(stream, seconds=seconds, per_second=most * asked.load)
        memory.stop()
        bench.worker.stop()
    minute = (np.array(seen.sent_at) // 60).astype(int)
    freshness = np.array(seen.freshness) * 1e3
    rows = [
        {
            "minute": int(m),
            "events": int((minute == m).sum()),
            "p50 ms": round(float(np.percentile(freshness[minute == m], 50)), 1),
            "p99 ms": round(float(np.percentile(freshness[minute == m], 99)), 1),
            "MiB": round(float(np.interp(60 * m + 30, memory.seconds, memory.mib))),
        }
        for m in np.unique(minute)
    ]
    print_machine(facts)
    print(f"\ncapacity {most:,} events/s, load {asked.load:.0%}")
    print("".join(f"{name:>10}" for name in rows[0]))
    for row in rows:
        print("".join(f"{value:>10,}" for value in row.values()))
    print(f"memory {memory.slope():+.1f} MiB an hour; all of it:", figures)
    if asked.json:
        told = {
            "machine": facts,
            "capacity": most,
            "all": figures,
            "minutes": rows,
            "memory_mib_per_hour": round(memory.slope(), 1),
        }
        asked.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
