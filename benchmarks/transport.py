"""Stock Faust against the chunk transport: the same trivial job, side by side on a real broker.

    python -m benchmarks.transport [--rounds N] [--json FILE]

The job decodes each event, counts it for its user and writes one record for every five events.

Rate: the events wait in the topic; from the first one taken to the last one done, its output
acknowledged by the broker. The two take turns, each time in a new process and consumer group.
Latency: events are written one at a time at a steady rate; from just before an event is written
to its arrival in the agent. CPU is what the worker's process used over the same time.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.machine import machine, print_machine
from benchmarks.scratch import scratch
from schemas import Event, EventType, decode_event, encode
from streams.broker import EmbeddedBroker
from streams.publisher import Outgoing, Publisher
from streams.settings import load
from streams.transport import ChunkApp, Fetched

PARTITIONS = 4
USERS = 1000
EVENTS_PER_OUTPUT = 5
WARM_UP = 0.2  # of the latencies, left out
FETCHES_IN_HAND = 3  # one is published while the next is decoded

Transport = Literal["stock", "chunk"]
TRANSPORTS: Final[tuple[Transport, ...]] = ("stock", "chunk")


@dataclass(frozen=True)
class Job:
    """What a worker process is told."""

    transport: Transport
    bootstrap_servers: str
    topic: str
    output: str
    events: int
    result: str


@dataclass(frozen=True)
class Result:
    """What it measured."""

    events: int
    deliveries: int  # Faust events: records, or chunks
    outputs: int
    seconds: float
    cpu_seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        return self.events / self.seconds

    @property
    def cpu_us(self) -> float:
        return self.cpu_seconds / self.events * 1e6


class Meter:
    """Does the job on the values of events, and writes the result once all are done."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.counts: Counter[str] = Counter()
        self.latencies_ms: list[float] = []
        self.deliveries = self.taken = self.done = self.outputs = 0
        self.started = self.cpu_at_start = 0.0

    def take(self, values: Iterable[bytes]) -> list[Outgoing]:
        """Decode and count; the records to write."""
        arrived_ms = time.time() * 1000
        if not self.deliveries:
            self.started, self.cpu_at_start = time.perf_counter(), time.process_time()
        self.deliveries += 1
        outgoing = []
        for value in values:
            event = decode_event(value, int(arrived_ms), int(arrived_ms))
            self.counts[event.user_id] += 1
            self.latencies_ms.append(arrived_ms - 1000 * float((event.context or {})["written"]))
            self.taken += 1
            if self.taken % EVENTS_PER_OUTPUT == 0:
                outgoing.append(Outgoing(event.user_id.encode(), value))
        self.outputs += len(outgoing)
        return outgoing

    def finish(self, events: int) -> None:
        """What these events led to is on the broker."""
        self.done += events
        if self.done < self.job.events:
            return
        steady = self.latencies_ms[int(WARM_UP * len(self.latencies_ms)) :]
        p50, p99 = np.percentile(steady, [50, 99])
        result = Result(
            events=self.done,
            deliveries=self.deliveries,
            outputs=self.outputs,
            seconds=time.perf_counter() - self.started,
            cpu_seconds=time.process_time() - self.cpu_at_start,
            p50_ms=float(p50),
            p99_ms=float(p99),
        )
        Path(self.job.result).write_text(json.dumps(asdict(result)))
        os.kill(os.getpid(), signal.SIGTERM)


def run_worker(job: Job) -> None:
    """A worker process: ends by itself when all events are done."""
    import uvloop
    from faust.worker import Worker

    uvloop.install()
    services = stock_services(job) if job.transport == "stock" else chunk_services(job)
    Worker(*services, loglevel="ERROR", quiet=True).execute_from_commandline()


def stock_services(job: Job) -> list[Any]:
    """As Faust's documentation does it; turned off is only what has nothing to do with the job."""
    import faust

    app = faust.App(
        f"bench-{job.output}",
        broker=f"kafka://{job.bootstrap_servers}",
        datadir=str(Path(job.result).with_suffix(".data")),
        topic_disable_leader=True,
        web_enabled=False,
    )
    events = app.topic(job.topic, value_type=bytes, value_serializer="raw")
    outputs = app.topic(job.output, key_serializer="raw", value_serializer="raw")
    meter = Meter(job)

    @app.agent(events)
    async def count(stream: Any) -> None:
        async for value in stream:
            for outgoing in meter.take([value]):
                await outputs.send(key=outgoing.key, value=outgoing.value)
            if meter.taken == job.events:
                await app.producer.flush()
            meter.finish(1)

    return [app]


def chunk_services(job: Job) -> list[Any]:
    """As Freshet does it."""
    app = ChunkApp(f"bench-{job.output}", broker=f"kafka://{job.bootstrap_servers}")
    publisher = Publisher(load(options={"bootstrap_servers": job.bootstrap_servers}))
    meter = Meter(job)

    @app.agent(app.chunk_topic(job.topic))
    async def count(stream: Any) -> None:
        places = asyncio.Semaphore(FETCHES_IN_HAND)

        async def publish(fetched: Fetched, outgoing: list[Outgoing]) -> None:
            await publisher.publish(job.output, outgoing)
            fetched.ack()
            places.release()
            meter.finish(len(fetched.records))

        async with asyncio.TaskGroup() as group:
            async for fetched in stream:
                await places.acquire()
                values = [record.value or b"" for record in fetched.records]
                group.create_task(publish(fetched, meter.take(values)))

    return [app, publisher]


class Bench:
    """Topics, events and workers on one broker."""

    def __init__(self, broker: EmbeddedBroker, folder: Path) -> None:
        self.bootstrap_servers = broker.bootstrap_servers
        self.folder = folder
        self.runs = 0

    def create(self, topic: str) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        for done in admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
            done.result(30)

    def write(self, topic: str, events: int, per_second: float | None = None) -> None:
        """Write events by turns to each partition, at once or at a steady rate."""
        producer = Producer({"bootstrap.servers": self.bootstrap_servers, "linger.ms": 0})
        started = time.perf_counter()
        for n in range(events):
            if per_second is not None:
                time.sleep(max(0.0, started + n / per_second - time.perf_counter()))
            event = Event(
                user_id=f"user-{n % USERS}",
                item_id=f"item-{n % 997}",
                type=EventType.VIEW,
                ts=int(time.time() * 1000),
                context={"written": time.time()},
            )
            while True:
                try:
                    producer.produce(topic, encode(event), event.user_id, partition=n % PARTITIONS)
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        producer.flush()

    def start(self, transport: Transport, topic: str, events: int) -> tuple[Job, Any]:
        self.runs += 1
        output = f"output-{self.runs}"
        self.create(output)
        result = str(self.folder / f"{output}.json")
        job = Job(transport, self.bootstrap_servers, topic, output, events, result)
        command = [
            sys.executable,
            "-m",
            "benchmarks.transport",
            "--worker",
            json.dumps(asdict(job)),
        ]
        return job, subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def rate(self, transport: Transport, topic: str, events: int) -> Result:
        return self.result(*self.start(transport, topic, events))

    def latency(self, transport: Transport, per_second: float, seconds: float) -> Result:
        topic, events = f"steady-{transport}", int(per_second * seconds)
        self.create(topic)
        worker = self.start(transport, topic, events)
        time.sleep(5)  # until it has joined its group
        self.write(topic, events, per_second)
        return self.result(*worker)

    def result(self, job: Job, worker: Any) -> Result:
        try:
            if worker.wait(180) != 0:
                raise RuntimeError(f"the {job.transport} worker ended with {worker.returncode}")
        finally:
            worker.kill()
        result = Result(**json.loads(Path(job.result).read_text()))
        assert result.outputs == job.events // EVENTS_PER_OUTPUT
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--stock-events", type=int, default=20_000)
    parser.add_argument("--chunk-events", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steady-rate", type=float, default=500, help="events/s for the latency")
    parser.add_argument("--steady-seconds", type=float, default=20)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        run_worker(Job(**json.loads(options.worker)))
        return

    facts = machine()
    print_machine(facts)
    events = {"stock": options.stock_events, "chunk": options.chunk_events}
    rates: dict[Transport, list[Result]] = {transport: [] for transport in TRANSPORTS}
    latencies: dict[Transport, Result] = {}
    with scratch() as (folder, broker):
        bench = Bench(broker, folder)
        for transport in events:
            bench.create(f"waiting-{transport}")
            bench.write(f"waiting-{transport}", events[transport])
        print("\nrate        events/s   CPU µs/event   events/delivery")
        for _ in range(options.rounds):
            for transport in TRANSPORTS:
                run = bench.rate(transport, f"waiting-{transport}", events[transport])
                rates[transport].append(run)
                size = run.events / run.deliveries
                print(
                    f"{transport:8} {run.rate:11,.0f} {run.cpu_us:14.1f} {size:17.1f}", flush=True
                )
        print(f"\nlatency at {options.steady_rate:,.0f}/s   p50 ms   p99 ms   CPU %")
        for transport in TRANSPORTS:
            steady = bench.latency(transport, options.steady_rate, options.steady_seconds)
            latencies[transport] = steady
            cpu = steady.cpu_seconds / steady.seconds
            print(
                f"{transport:18} {steady.p50_ms:8.1f} {steady.p99_ms:8.1f} {cpu:7.0%}", flush=True
            )

    medians = {name: statistics.median(r.rate for r in runs) for name, runs in rates.items()}
    ratio = medians["chunk"] / medians["stock"]
    print(
        f"\nmedians: stock {medians['stock']:,.0f}/s, chunk {medians['chunk']:,.0f}/s, "
        f"ratio {ratio:.1f}"
    )
    if options.json:
        figures = {
            "machine": facts,
            "rate": {name: [asdict(run) for run in runs] for name, runs in rates.items()},
            "latency": {name: asdict(run) for name, run in latencies.items()},
            "median_events_per_second": medians,
            "ratio": ratio,
        }
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
