"""The main job on real input: broker, worker, a replayed stream; rate, freshness, memory.

    python -m benchmarks.main_job EVENTS [--items ITEMS] [--json FILE]

First the whole file at full speed: events per second is the file's events over the time from the
first one produced to the last one learned. Then as many seconds as asked at half of that rate:
freshness is from a record's timestamp to its list acknowledged by the broker, as the worker's own
histogram and, independently, a consumer of `recommendations` see it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from aiokafka import AIOKafkaConsumer

from benchmarks.machine import machine
from benchmarks.scratch import scratch
from benchmarks.worker import Worker
from schemas import decode_recommendation
from streams.ask import ask
from streams.replay import run_replay
from streams.settings import Settings, load

PREFIX_FAST, PREFIX_HALF = "fast-", "half-"


def full_speed(settings: Settings, worker: Worker, events: Path, items: Path | None) -> dict:
    """The whole file as fast as it goes, its catalogue first."""
    cpu, started = worker.cpu_seconds(), time.perf_counter()
    run_replay(settings, events, items=items)
    produced = time.perf_counter() - started
    last, same_since = -1.0, time.perf_counter()
    while time.perf_counter() - same_since < 5:
        now = worker.metric("freshet_model_events")
        if now != last:
            last, same_since = now, time.perf_counter()
        time.sleep(0.1)
    seconds = same_since - started
    cpu = worker.cpu_seconds() - cpu
    return {
        "events": int(last),
        "dead_letters": int(worker.metric("freshet_dead_letters_total")),
        "produced_in_seconds": round(produced, 2),
        "seconds": round(seconds, 2),
        "events_per_second": round(last / seconds),
        "cpu_microseconds_per_event": round(cpu / last * 1e6, 1),
        "lists_published": int(worker.metric("freshet_recommendations_total")),
        "memory_mib": round(worker.resident_mb()),
    }


async def answers(settings: Settings, users: list[str]) -> dict:
    """How long `freshet recommend` waits for its answer, after a first one."""
    took = [(await ask(settings, user)).seconds for user in users]
    return {
        "first_ms": round(took[0] * 1e3, 1),
        "median_ms": round(float(np.median(took[1:])) * 1e3, 1),
        "worst_ms": round(max(took[1:]) * 1e3, 1),
    }


async def seen_by_a_consumer(settings: Settings, process: subprocess.Popen[bytes]) -> list[float]:
    """Arrival of each list at a consumer minus the timestamp of the event that caused it, in s.

    Both stamps are taken on this machine; the event's is found by reading `events` afterwards.
    """
    topic = settings.topic("recommendations")
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=settings.bootstrap_servers, fetch_max_wait_ms=5
    )
    await consumer.start()
    arrived: dict[tuple[int, int], float] = {}
    while process.poll() is None:
        for records in (await consumer.getmany(timeout_ms=20)).values():
            now = time.time()
            for record in records:
                cause = decode_recommendation(record.value).cause
                if cause is not None:
                    arrived[cause.partition, cause.offset] = now
    await consumer.stop()
    stamps = await _timestamps(settings)
    return [now - stamps[cause] for cause, now in arrived.items()]


async def _timestamps(settings: Settings) -> dict[tuple[int, int], float]:
    consumer = AIOKafkaConsumer(
        settings.topic("events"),
        bootstrap_servers=settings.bootstrap_servers,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    stamps = {}
    while fetched := await consumer.getmany(timeout_ms=2000):
        for tp, records in fetched.items():
            for record in records:
                stamps[tp.partition, record.offset] = record.timestamp / 1000
    await consumer.stop()
    return stamps


def half_speed(
    settings: Settings, worker: Worker, events: Path, rate: float, seconds: float
) -> dict:
    """The file's first events at a steady rate."""
    arguments = ["replay", str(events), "--rate", str(rate), "--at-most", str(int(rate * seconds))]
    environment = os.environ | {
        "FRESHET_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "FRESHET_TOPIC_PREFIX": settings.topic_prefix,
    }
    cpu = worker.cpu_seconds()
    replay = subprocess.Popen(
        [sys.executable, "-m", "streams", *arguments], env=environment, stderr=subprocess.DEVNULL
    )
    freshness = asyncio.run(seen_by_a_consumer(settings, replay))
    p50, p90, p99 = np.percentile(np.array(freshness) * 1e3, [50, 90, 99])
    return {
        "events_per_second": round(rate),
        "lists": len(freshness),
        "freshness_p50_ms": round(p50, 1),
        "freshness_p90_ms": round(p90, 1),
        "freshness_p99_ms": round(p99, 1),
        "cpu_share": round((worker.cpu_seconds() - cpu) / seconds, 2),
        "memory_mib": round(worker.resident_mb()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("events", type=Path)
    parser.add_argument("--items", type=Path)
    parser.add_argument("--seconds", type=float, default=30, help="how long at half speed")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = {"machine": machine(), "file": arguments.events.name}
    with scratch() as (folder, broker):
        fast, half = (
            load(options={"bootstrap_servers": broker.bootstrap_servers, "topic_prefix": prefix})
            for prefix in (PREFIX_FAST, PREFIX_HALF)
        )
        worker = Worker(fast, folder)
        result["full_speed"] = full_speed(fast, worker, arguments.events, arguments.items)
        users = _some_users(fast, 20)
        result["recommend"] = asyncio.run(answers(fast, users))
        worker.stop()
        rate = result["full_speed"]["events_per_second"] / 2
        worker = Worker(half, folder)
        result["half_speed"] = half_speed(half, worker, arguments.events, rate, arguments.seconds)
        worker.stop()
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def _some_users(settings: Settings, count: int) -> list[str]:
    async def read() -> list[str]:
        consumer = AIOKafkaConsumer(
            settings.topic("recommendations"),
            bootstrap_servers=settings.bootstrap_servers,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        users: dict[str, None] = {}
        while len(users) < count:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                users |= {record.key.decode(): None for record in records}
        await consumer.stop()
        return list(users)[:count]

    return asyncio.run(read())


if __name__ == "__main__":
    main()
