"""How soon a new item is in somebody's list, and one that is switched off in nobody's any more.

    python -m benchmarks.new_items --events FILE --items FILE [--seconds 120] [--json FILE]

One worker that reads what items say, one broker, and a load in a process of its own, all on this
machine. The worker encodes `--known` of the items, learns and answers `--fill` events of users in
turns at random, and shows its capacity (`benchmarks.freshness`). Then half of that, at most 5,000
events a second, go through, and every second an item is described that no event is about.
SHOWN_SECONDS after its first list, it is switched off.

`until shown`: from just before the item's record is handed to a producer to the arrival of the
first list of anybody that holds it; an item that is never listed counts as without end. `until
gone`: from its being switched off to the arrival of the last list that holds it, 0 where none does.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import threading
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.freshness import Bench, Figures
from benchmarks.load import Order, started
from benchmarks.machine import machine, print_machine
from benchmarks.scratch import scratch
from benchmarks.stream import Record, records
from benchmarks.worker import Worker
from schemas import Item, encode
from streams.broker import EmbeddedBroker
from streams.files import open_items
from streams.settings import Settings
from streams.settings import load as settings_of

MOST_PER_SECOND = 5_000
PER_SECOND = 1.0
SHOWN_SECONDS = 10.0
_SINGLY = 1.0


class _Listed(msgspec.Struct):
    item_id: str


class _List(msgspec.Struct):
    items: list[_Listed]


@dataclass
class _New:
    """One item's moments, of `time.perf_counter`; told of is what was produced last."""

    item: Item
    told: float
    off: float = math.inf
    listed: list[float] = field(default_factory=list)

    @property
    def until_shown(self) -> float:
        return self.listed[0] - self.told if self.listed else math.inf

    @property
    def until_gone(self) -> float:
        return max(0.0, self.listed[-1] - self.off)

    @property
    def shown_until_off(self) -> bool:
        """Whether it was still in lists in the second before it was switched off."""
        return any(self.off - _SINGLY < at < self.off for at in self.listed)


class Newcomers:
    """Describes one new item after the other, and sees in which lists they are."""

    def __init__(self, settings: Settings, items: Sequence[Item]) -> None:
        self._settings, self._items = settings, items
        servers = settings.bootstrap_servers
        self._producer = producer_of(servers)
        self._consumer = Consumer({"bootstrap.servers": servers, "group.id": "new", "log_level": 0})
        self.new: dict[str, _New] = {}
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._watch, self._tell)]

    def __enter__(self) -> Newcomers:
        topic = self._settings.topic("recommendations")
        for partition in self._consumer.list_topics(topic, 10).topics[topic].partitions:
            here = TopicPartition(topic, partition)
            here.offset = self._consumer.get_watermark_offsets(here)[1]
            self._consumer.incremental_assign([here])
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._consumer.close()

    def _tell(self) -> None:
        began = time.perf_counter()
        for n, item in enumerate(self._items):
            if self._stop.wait(max(0, began + n / PER_SECOND - time.perf_counter())):
                break
            self.new[item.item_id] = _New(item, time.perf_counter())
            produce(self._producer, self._settings, item)
            for each in [*self.new.values()]:
                now = time.perf_counter()
                if each.off == math.inf and each.listed and now - each.listed[0] > SHOWN_SECONDS:
                    each.off = now
                    off = msgspec.structs.replace(each.item, available=False)
                    produce(self._producer, self._settings, off)
        self._producer.flush(10)

    def _watch(self) -> None:
        while not self._stop.is_set():
            message = self._consumer.poll(0.1)
            if message is None or message.error() is not None or not message.value():
                continue
            now = time.perf_counter()
            for listed in msgspec.json.decode(message.value(), type=_List).items:
                new = self.new.get(listed.item_id)
                if new is not None:
                    new.listed.append(now)


def producer_of(servers: str) -> Producer:
    """One that sends at once, to the partitions that every client would choose."""
    return Producer(
        {
            "bootstrap.servers": servers,
            "partitioner": "murmur2_random",
            "linger.ms": 0,
            "log_level": 0,
        }
    )


def produce(producer: Producer, settings: Settings, item: Item) -> None:
    """Put the item on `items`."""
    producer.produce(settings.topic("items"), encode(item), item.item_id.encode())
    producer.poll(0)


def catalogue(file: Path, known: int, new: int) -> tuple[list[Item], list[Item]]:
    """Items of the file, at random: those known from the beginning and those that come."""
    with open_items(file) as messages:
        items = [item for _, item in messages]
    random.Random(0).shuffle(items)
    return items[new : new + known], items[:new]


def interleaved(stream: Sequence[Record], without: Sequence[Item]) -> list[Record]:
    """The events that are about none of these, numbered anew, of all users in turns at random: a
    file in which a user's events stand together would be answered with a list for all of them."""
    gone = {item.item_id for item in without}
    of_user: defaultdict[bytes, deque[dict[str, object]]] = defaultdict(deque)
    turns: list[bytes] = []
    for key, value in stream:
        event = msgspec.json.decode(value)
        if event["item_id"] not in gone:
            of_user[key].append(event)
            turns.append(key)
    random.Random(0).shuffle(turns)
    return [
        (user, msgspec.json.encode(of_user[user].popleft() | {"event_id": str(number)}))
        for number, user in enumerate(turns)
    ]


def quantiles(seconds: Sequence[float]) -> Figures:
    """Of times in seconds, some without end."""
    ordered = sorted(seconds) or [math.nan]
    at = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "longest": 1.0}
    return {
        name: round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 2)
        for name, share in at.items()
    }


def measure(
    broker: EmbeddedBroker,
    folder: Path,
    events: Path,
    items: Path,
    known: int,
    fill: int,
    seconds: float,
) -> dict[str, Figures]:
    """Figures by what they are about."""
    servers = broker.bootstrap_servers
    settings = settings_of(options={"bootstrap_servers": servers, "topic_prefix": "new-"})
    bench = Bench(settings, broker, Worker(settings, folder, more={"FRESHET_CONTENT": "on"}))
    worker = bench.worker
    old, new = catalogue(items, known, int(seconds * PER_SECOND))
    began = time.perf_counter()
    producer = producer_of(servers)
    for item in old:
        produce(producer, settings, item)
    producer.flush(60)
    while worker.metric("freshet_linked_items_total") < known:
        time.sleep(0.5)
    found = {"known": {"items": known, "encoded and linked in s": time.perf_counter() - began}}

    stream = interleaved(records(fill + int(seconds * 2 * MOST_PER_SECOND), events), new)
    found["capacity"] = bench.capacity(stream, fill, 10)
    half = min(MOST_PER_SECOND, found["capacity"]["events per second"] / 2)
    encoding = worker.metric("freshet_encode_seconds_total")
    load = started(Order(servers, "new-", seconds + SHOWN_SECONDS, half), stream)
    with Newcomers(settings, new) as newcomers:
        seen = load.result()
    found["load"] = {
        "events per second": seen.answered_per_second,
        "unanswered": seen.sent - seen.answered,
        "p50 ms": seen.percentile_ms(50),
        "p99 ms": seen.percentile_ms(99),
        "encoding, share of the time": (worker.metric("freshet_encode_seconds_total") - encoding)
        / seconds,
    }
    all_new = [*newcomers.new.values()]
    off = [each for each in all_new if each.off < math.inf]
    shown = [each for each in all_new if each.listed]
    found["new items"] = {
        "told of": len(all_new),
        "listed": len(shown),
        "lists each, median": float(np.median([len(each.listed) for each in all_new])),
        "switched off": len(off),
        "of these in lists until then": sum(each.shown_until_off for each in off),
    }
    found["until shown, s"] = quantiles([each.until_shown for each in all_new])
    found["until gone, s"] = quantiles([each.until_gone for each in off])
    worker.stop()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=Path, required=True)
    parser.add_argument("--items", type=Path, required=True)
    parser.add_argument("--known", type=int, default=2_000)
    parser.add_argument("--fill", type=int, default=30_000)
    parser.add_argument("--seconds", type=float, default=120, help="for how long new items come")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    facts = machine()
    with scratch() as (folder, broker):
        found = measure(
            broker,
            folder,
            asked.events,
            asked.items,
            asked.known,
            asked.fill,
            asked.seconds,
        )
    print_machine(facts)
    for about, figures in found.items():
        print(f"\n{about}")
        for name, value in figures.items():
            print(f"{name:>34}  {round(value, 3):,}")
    if asked.json:
        asked.json.write_text(json.dumps({"machine": facts, "found": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
