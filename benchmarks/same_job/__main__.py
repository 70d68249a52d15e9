"""The same job in four frameworks, one after another on one broker: events answered per second.

    python -m benchmarks.same_job [--events FILE] [--fill 20000] [--seconds 30] [--rounds 2]
                                  [--json FILE]

The job: take events from Kafka, learn from each and rank for its user with the same code
(`models.recommender.Recommender`: full practice, ten items, reasons), keep each user's newest items
as the framework keeps state, write a list for each event. Each worker is one process. As in
`benchmarks.freshness`, so many events always wait for their list, so nobody can skip any.

The same for all: events and their order of sending, topics of four partitions, the message written,
delivery at least once. Not the same: Freshet takes events in chunks, where the documentation of the
others takes one at a time; it keeps users and model in snapshots, and so has both again after a
kill, where the others keep users (changelog, recovery store) and lose the model.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import venv
from hashlib import sha256
from pathlib import Path

import psutil
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.load import Order, load
from benchmarks.machine import machine, print_machine
from benchmarks.scratch import scratch
from benchmarks.stream import Record, records
from benchmarks.worker import Worker
from streams.settings import load as settings_of

WAITING = 1024
MOST_PER_SECOND = 10_000
PARTITIONS = 4
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
#: `FRESHET` first: the others are compared with it.
FRESHET = "Freshet"
FRAMEWORKS = (FRESHET, "faust", "quixstreams", "bytewax")

Figures = dict[str, float]


def environment(cache_dir: Path) -> Path:
    """The Python in which the other frameworks are installed, at first use."""
    digest = sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    folder = cache_dir / f"same-job-{digest}"
    python, finished = folder / "bin" / "python", folder / "finished"
    if not finished.exists():
        print(f"installing quixstreams and bytewax into {folder} ...", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", REQUIREMENTS], check=True)
        finished.touch()
    return python


class Bench:
    """Runs a framework's worker on topics of its own, under load."""

    def __init__(self, servers: str, folder: Path, cache_dir: Path, stream: list[Record]) -> None:
        self._servers, self._folder, self._cache_dir = servers, folder, cache_dir
        self._stream = stream
        self._others = environment(cache_dir)
        self._runs = 0

    def run(self, framework: str, fill: int, seconds: float) -> Figures:
        """Fill the model with `fill` events, then count for so many seconds."""
        self._runs += 1
        prefix = f"{framework.lower()}-{self._runs}-"
        folder = self._folder / prefix
        folder.mkdir()
        worker = self._freshet(prefix, folder) if framework == FRESHET else None
        process = worker.process if worker else self._start(framework, prefix, folder)
        try:
            return self._measure(process.pid, prefix, fill, seconds)
        except BaseException:
            print((worker.log if worker else folder / "log").read_text()[-3000:], file=sys.stderr)
            raise
        finally:
            process.kill()
            process.wait()

    def _measure(self, pid: int, prefix: str, fill: int, seconds: float) -> Figures:
        order = Order(self._servers, prefix, 3600, window=WAITING, warm=0)
        load(order, self._stream[:fill])
        before = _cpu(pid)
        seen = load(
            Order(self._servers, prefix, seconds, window=WAITING, warm=0), self._stream[fill:]
        )
        return {
            "events per second": seen.answered_per_second,
            "cpu us an event": (_cpu(pid) - before) / seen.sent * 1e6,
            "lists an event": seen.lists / seen.answered,
            "p50 ms": seen.percentile_ms(50),
            "load cores": seen.cpu_share,
        }

    def _freshet(self, prefix: str, folder: Path) -> Worker:
        options = {"bootstrap_servers": self._servers, "topic_prefix": prefix}
        return Worker(settings_of(options=options), folder)

    def _start(self, framework: str, prefix: str, folder: Path) -> subprocess.Popen[bytes]:
        topics = [NewTopic(prefix + t, PARTITIONS, 1) for t in ("events", "recommendations")]
        admin = AdminClient({"bootstrap.servers": self._servers})
        for done in admin.create_topics(topics).values():
            done.result(30)
        module = f"benchmarks.same_job.with_{framework}"
        python = sys.executable if framework == "faust" else str(self._others)
        command = [python, "-m", module]
        if framework == "bytewax":
            subprocess.run([python, "-m", "bytewax.recovery", folder, "1"], check=True)
            run = [python, "-m", "bytewax.run", f"{module}:flow"]
            command = [*run, "-r", str(folder), "-s", "10", "-b", "0"]
        told = {
            "SAME_JOB_SERVERS": self._servers,
            "SAME_JOB_PREFIX": prefix,
            "SAME_JOB_FOLDER": str(folder),
            "SAME_JOB_CACHE": str(self._cache_dir),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        with (folder / "log").open("wb") as sink:
            return subprocess.Popen(command, env=os.environ | told, stdout=sink, stderr=sink)


def _cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=Path, help="a file of events; made up where not given")
    parser.add_argument("--fill", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", default=",".join(FRAMEWORKS))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    facts, cache_dir = machine(), settings_of().cache_dir
    stream = records(asked.fill + int(asked.seconds * MOST_PER_SECOND), asked.events)
    runs: dict[str, list[Figures]] = {framework: [] for framework in asked.only.split(",")}
    with scratch() as (folder, broker):
        bench = Bench(broker.bootstrap_servers, folder, cache_dir, stream)
        for _ in range(asked.rounds):
            for framework, figures in runs.items():
                figures.append(bench.run(framework, asked.fill, asked.seconds))
    print_machine(facts)
    names = list(next(iter(runs.values()))[0])
    print(f"\n{'medians':>12}" + "".join(f"{name:>19}" for name in names) + f"{'Freshet is':>12}")
    medians = {
        f: {n: statistics.median(r[n] for r in rows) for n in names} for f, rows in runs.items()
    }
    for framework, row in medians.items():
        times = medians[FRESHET][names[0]] / row[names[0]] if FRESHET in medians else float("nan")
        print(f"{framework:>12}" + "".join(f"{row[n]:>19,.1f}" for n in names) + f"{times:>11.1f}×")
    if asked.json:
        told = {
            "machine": facts,
            "requirements": REQUIREMENTS.read_text().split("\n"),
            "runs": runs,
        }
        asked.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
