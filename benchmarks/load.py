"""Sends events and sees the lists come, in a process of its own that does little else.

Events are encoded beforehand; one thread sends each when it is due, another notes when a list
arrives, and what the lists say is read afterwards. librdkafka does the rest outside of Python.
`cpu_share` in the result tells how much of a core it all took.
"""

from __future__ import annotations

import argparse
import json
import math
import pickle
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.stream import Record

_LATE_SECONDS = 10.0
#: As Kafka's own clients do by default (since 4.0, KIP-1030). Without it, each event is a request
#: of its own to the broker, which takes as much of this machine as half of the worker.
_LINGER_MS = 5


@dataclass(frozen=True)
class Order:
    """What to send. per_second: at random moments, so many a second on average (a Poisson
    process). window: instead, as fast as lists come, with so many events unanswered. warm: seconds
    at the beginning that are left out of what is told."""

    bootstrap_servers: str
    topic_prefix: str
    seconds: float
    per_second: float = 0.0
    window: int = 0
    warm: float = 2.0


@dataclass(frozen=True)
class Seen:
    """What became of it. answered_per_second: events whose user got a list made after them.

    freshness: for each of these events, seconds from just before it was handed to the producer to
    the arrival of the first such list; sent_at: when that was, since the first.
    """

    sent: int
    answered: int
    lists: int
    answered_per_second: float
    late_ms_p99: float
    cpu_share: float
    freshness: list[float]
    sent_at: list[float]

    def percentile_ms(self, percent: float) -> float:
        """A percentile of the freshness, in ms; NaN where nothing was measured."""
        if not self.freshness:
            return math.nan
        return round(float(np.percentile(self.freshness, percent)) * 1e3, 1)


def load(order: Order, records: Sequence[Record]) -> Seen:
    """Run `order` in a new process, with these records, of which it may not need all."""
    return started(order, records).result()


class started:
    """The process that runs an order."""

    def __init__(self, order: Order, records: Sequence[Record]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._file = Path(self._folder.name) / "records"
        self._file.write_bytes(pickle.dumps((order, list(records))))
        command = [sys.executable, "-m", "benchmarks.load", str(self._file)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)

    def result(self) -> Seen:
        """What it saw, once it is done."""
        told, _ = self.process.communicate()
        self._folder.cleanup()
        if self.process.returncode:
            raise RuntimeError(f"the load ended with {self.process.returncode}")
        return Seen(**json.loads(told))


class _Cause(msgspec.Struct):
    event_id: str | None = None


class _List(msgspec.Struct):
    user_id: str
    cause: _Cause


class _Run:
    def __init__(self, order: Order, records: Sequence[Record]) -> None:
        self._order, self._records = order, records
        servers = {"bootstrap.servers": order.bootstrap_servers, "log_level": 0}
        self._producer = Producer(
            servers | {"partitioner": "murmur2_random", "linger.ms": _LINGER_MS, "acks": "1"}
        )
        self._consumer = Consumer(
            servers | {"group.id": "load", "enable.auto.commit": False, "fetch.min.bytes": 1}
        )
        self._topic = order.topic_prefix + "events"
        self._sent: list[float] = []
        self._late: list[float] = []
        self._arrived: list[tuple[float, bytes]] = []
        self._first = int(json.loads(records[0][1])["event_id"])
        self._unanswered: defaultdict[str, list[int]] = defaultdict(list)
        self._answered = 0
        self._room = threading.Semaphore(order.window)
        self._stop = threading.Event()

    def run(self) -> Seen:
        topic = self._order.topic_prefix + "recommendations"
        partitions = self._consumer.list_topics(topic, 10).topics[topic].partitions
        ends = [
            TopicPartition(
                topic, p, self._consumer.get_watermark_offsets(TopicPartition(topic, p))[1]
            )
            for p in partitions
        ]
        self._consumer.assign(ends)
        self._consumer.poll(1.0)  # connects
        watching = threading.Thread(target=self._watch, daemon=True)
        watching.start()
        cpu, began = time.process_time(), time.perf_counter()
        if self._order.window:
            self._send_as_answered(began)
        else:
            self._send_when_due(began)
        stopped = time.perf_counter()
        cpu = (time.process_time() - cpu) / (stopped - began)
        self._producer.flush(10)
        self._wait_for_the_last()
        self._stop.set()
        watching.join()
        return self._seen(began, stopped, cpu)

    def _send_when_due(self, began: float) -> None:
        chance, due = random.Random(0), 0.0
        for key, value in self._records:
            due += chance.expovariate(self._order.per_second)
            if due > self._order.seconds:
                break
            ahead = began + due - time.perf_counter()
            if ahead > 0:
                time.sleep(ahead)
            self._send(key, value)
            self._late.append(self._sent[-1] - began - due)

    def _send_as_answered(self, began: float) -> None:
        for key, value in self._records:
            if time.perf_counter() - began > self._order.seconds:
                break
            if not self._room.acquire(timeout=60):
                raise SystemExit("no lists come any more")
            self._unanswered[key.decode()].append(self._first + len(self._sent))
            self._send(key, value)

    def _send(self, key: bytes, value: bytes) -> None:
        self._sent.append(time.perf_counter())
        self._producer.produce(self._topic, value, key)
        self._producer.poll(0)

    def _watch(self) -> None:
        while not self._stop.is_set():
            message = self._consumer.poll(0.1)
            if message is not None and message.error() is None and message.value():
                self._arrived.append((time.perf_counter(), message.value()))
                if self._order.window:
                    self._make_room(message.value())

    def _make_room(self, value: bytes) -> None:
        told = msgspec.json.decode(value, type=_List)
        waiting, number = self._unanswered[told.user_id], int(told.cause.event_id or -1)
        while waiting and waiting[0] <= number:
            waiting.pop(0)
            self._room.release()

    def _wait_for_the_last(self) -> None:
        """Until nothing has come for a second."""
        give_up = time.perf_counter() + _LATE_SECONDS
        while time.perf_counter() < give_up:
            if self._arrived and time.perf_counter() - self._arrived[-1][0] > 1:
                break
            time.sleep(0.1)

    def _seen(self, began: float, stopped: float, cpu: float) -> Seen:
        of_user: defaultdict[str, list[int]] = defaultdict(list)
        for number, (key, _) in enumerate(self._records[: len(self._sent)]):
            of_user[key.decode()].append(number)
        begin = began + self._order.warm
        freshness, sent_at, lists, answered_in_time = [], [], 0, 0
        for when, value in self._arrived:
            told = msgspec.json.decode(value, type=_List)
            waiting = of_user[told.user_id]
            number = int(told.cause.event_id or -1) - self._first
            lists += 1
            while waiting and waiting[0] <= number:
                sent = self._sent[waiting.pop(0)]
                answered_in_time += begin <= when <= stopped
                if sent >= begin:
                    freshness.append(when - sent)
                    sent_at.append(sent - began)
        return Seen(
            sent=len(self._sent),
            answered=len(self._sent) - sum(map(len, of_user.values())),
            lists=lists,
            answered_per_second=answered_in_time / (stopped - begin),
            late_ms_p99=float(np.percentile(self._late, 99)) * 1e3 if self._late else 0.0,
            cpu_share=cpu,
            freshness=freshness,
            sent_at=sent_at,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("order", type=Path, help="a pickled Order and its records")
    given, rows = pickle.loads(parser.parse_args().order.read_bytes())
    print(json.dumps(asdict(_Run(given, rows).run())))
