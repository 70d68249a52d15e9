"""Freshness: from an event handed to a producer to the list made after it in a consumer's hands.

    python -m benchmarks.freshness [--events FILE] [--fill 50000] [--seconds 60] [--json FILE]

One worker with everything on, one broker, and a load in a process of its own (`benchmarks.load`),
all on this machine. First the worker learns and answers `--fill` events. Its capacity is what it
then answers with 512 events always waiting: each gets a list, practice and reasons are complete.
Then 10, 50 and 80 % of that, at random moments (a Poisson process). As events cost more the longer
users' histories are, the capacity is measured anew before each.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks.load import Order, Seen, load
from benchmarks.machine import machine, print_machine
from benchmarks.scratch import scratch
from benchmarks.stream import Record, records
from benchmarks.worker import Worker
from streams.broker import EmbeddedBroker
from streams.settings import Settings
from streams.settings import load as settings_of

WAITING = 512
SHARES = (0.1, 0.5, 0.8)
MOST_PER_SECOND = 10_000

Figures = dict[str, float]


class Bench:
    """A broker's worker under load, and what each of them takes of the machine."""

    def __init__(self, settings: Settings, broker: EmbeddedBroker, worker: Worker) -> None:
        self._settings, self._broker, self.worker = settings, broker, worker

    def broker_cpu_seconds(self) -> float:
        """CPU time of the broker so far."""
        java = psutil.Process(self._broker.guard_pid).children()[0].cpu_times()
        return java.user + java.system

    def run(self, stream: Sequence[Record], **order: float) -> tuple[Figures, Seen]:
        """One phase; its records are the first of the stream that are needed."""
        worker, broker = self.worker.cpu_seconds(), self.broker_cpu_seconds()
        servers, prefix = self._settings.bootstrap_servers, self._settings.topic_prefix
        seen = load(Order(servers, prefix, **order), stream)  # type: ignore[arg-type]
        worker = self.worker.cpu_seconds() - worker
        broker = self.broker_cpu_seconds() - broker
        return {
            "events per second": round(seen.answered_per_second),
            "p50 ms": seen.percentile_ms(50),
            "p90 ms": seen.percentile_ms(90),
            "p99 ms": seen.percentile_ms(99),
            "worst ms": seen.percentile_ms(100),
            "lists an event": round(seen.lists / max(1, seen.answered), 3),
            "unanswered": seen.sent - seen.answered,
            "worker cpu us an event": round(worker / seen.sent * 1e6),
            "worker cores": round(worker / order["seconds"], 2),
            "broker cores": round(broker / order["seconds"], 2),
            "load cores": round(seen.cpu_share, 2),
            "sent late ms p99": round(seen.late_ms_p99, 2),
        }, seen

    def capacity(self, stream: list[Record], fill: int, seconds: float) -> Figures:
        """Answer `fill` events, then see how many a second it can be. What was sent is taken off
        the front of the stream."""
        while fill > 0:
            _, seen = self.run(stream[:fill], seconds=600, window=WAITING)
            del stream[: seen.sent]
            fill -= seen.sent
        figures, seen = self.run(stream, seconds=seconds, window=WAITING)
        del stream[: seen.sent]
        return figures


def measure(
    broker: EmbeddedBroker, folder: Path, fill: int, seconds: float, file: Path | None
) -> dict[str, Figures]:
    """By load: the capacity, then the shares of what it is by then."""
    settings = settings_of(
        options={"bootstrap_servers": broker.bootstrap_servers, "topic_prefix": "fresh-"}
    )
    bench = Bench(settings, broker, Worker(settings, folder))
    stream = records(fill + int(3.5 * seconds * MOST_PER_SECOND), file)
    found = {"capacity": bench.capacity(stream, fill, seconds)}
    for share in SHARES:
        most = bench.capacity(stream, 0, max(5, seconds / 4))["events per second"]
        figures, seen = bench.run(stream, seconds=seconds, per_second=share * most)
        del stream[: seen.sent]
        found[f"{share:.0%} of {most:,}"] = figures
    bench.worker.stop()
    return found


def table(found: dict[str, Figures]) -> str:
    """A column for each load."""
    names = next(iter(found.values()))
    lines = [f"{'':>24}" + "".join(f"{load:>14}" for load in found)]
    for name in names:
        lines.append(f"{name:>24}" + "".join(f"{row[name]:>14,}" for row in found.values()))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=Path, help="a file of events; made up where not given")
    parser.add_argument("--fill", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=60, help="how long each load lasts")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    facts = machine()
    with scratch() as (folder, broker):
        found = measure(broker, folder, asked.fill, asked.seconds, asked.events)
    print_machine(facts)
    print("\n" + table(found))
    if asked.json:
        asked.json.write_text(json.dumps({"machine": facts, "freshness": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
