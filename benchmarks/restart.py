"""How soon a worker is ready again when there are many items that it understands.

    python -m benchmarks.restart [--items 100000]

A broker holds `items` and, on `vectors`, a made-up vector for each as if it had been encoded. A
worker starts on that and links every item to what it is like; then it is ended and started again,
from its snapshot: nothing may be encoded or linked anew. Wall-clock seconds until /readyz says
ready, the start of Python included. The machine should be idle.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
from aiokafka import AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.index import clustered
from benchmarks.machine import machine, print_machine
from models.catalogue import ItemFacts
from models.content.text import content_key, text_of
from schemas import Event, EventType, Item, encode
from streams.broker import EmbeddedBroker
from streams.kafka import client_options
from streams.publisher import partition_of
from streams.settings import Settings
from streams.topics import ensure_topics
from streams.vectors import pack

PORT = 19464
PATIENCE_SECONDS = 900


async def fill(settings: Settings, count: int) -> None:
    """Put items and their vectors on the topics."""
    await ensure_topics(settings)
    vectors = clustered(count)
    producer = AIOKafkaProducer(**client_options(settings), linger_ms=50, max_batch_size=1 << 20)
    await producer.start()
    partitions = {
        name: len(await producer.partitions_for(settings.topic(name)))
        for name in ("items", "vectors")
    }
    for k in range(count):
        item, title = f"item-{k}", f"The item of number {k}"
        content = content_key(text_of(ItemFacts(item, title)), settings.encoder)
        for name, value in (
            ("vectors", pack(settings.encoder, content, vectors[k])),
            ("items", encode(Item(item_id=item, title=title))),
        ):
            partition = partition_of(item.encode(), partitions[name])
            await producer.send(settings.topic(name), value, key=item.encode(), partition=partition)
    await producer.stop()


async def click(settings: Settings) -> None:
    """Produce one event."""
    async with AIOKafkaProducer(**client_options(settings)) as producer:
        event = Event(user_id="ann", item_id="item-0", type=EventType.CLICK)
        await producer.send_and_wait(settings.topic("events"), encode(event), key=b"ann")


class Started:
    """A worker in a process of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streams", "worker"],
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def until(self, reached: Callable[[], bool]) -> float:
        """Seconds from the start until `reached()` is true."""
        while time.perf_counter() - self.began < PATIENCE_SECONDS:
            if self.process.poll() is not None:
                raise SystemExit("the worker ended")
            try:
                if reached():
                    return round(time.perf_counter() - self.began, 1)
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.1)
        raise SystemExit("the worker did not get that far")

    def is_ready(self) -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=5) as answer:
            return answer.status == 200

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        )

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)


def measure(count: int, folder: Path, cache: Path) -> dict[str, object]:
    found: dict[str, object] = {"items": count}
    with EmbeddedBroker(folder / "broker", cache_dir=cache) as broker:
        settings = Settings(bootstrap_servers=broker.bootstrap_servers)
        asyncio.run(fill(settings, count))
        environment = {
            "FRESHET_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "FRESHET_CACHE_DIR": str(cache),
            "FRESHET_DATA_DIR": str(folder),
            "FRESHET_HTTP_PORT": str(PORT),
            "FRESHET_CONTENT": "on",
        }
        worker = Started(environment)
        found["first start: ready, s"] = worker.until(worker.is_ready)
        found["first start: all linked, s"] = worker.until(
            lambda: worker.metric("freshet_linked_items_total") >= count
        )
        asyncio.run(click(settings))  # a model that learned nothing is not saved again
        worker.until(lambda: worker.metric("freshet_model_events") >= 1)
        worker.end()
        worker = Started(environment)
        found["restart: ready, s"] = worker.until(worker.is_ready)
        time.sleep(5)
        found["restart: vectors read"] = worker.metric("freshet_vectors")
        found["restart: encoded"] = worker.metric("freshet_encoded_items_total")
        found["restart: linked anew"] = worker.metric("freshet_linked_items_total")
        found["restart: memory, MB"] = round(
            psutil.Process(worker.process.pid).memory_info().rss / 1e6
        )
        worker.end()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    facts = machine()
    print_machine(facts)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(asked.items, Path(folder), Settings().cache_dir)
    for name, value in found.items():
        print(f"{name:>30}  {value:,}")
    if asked.json:
        asked.json.write_text(json.dumps({"machine": facts, "results": found}, indent=1))


if __name__ == "__main__":
    main()
