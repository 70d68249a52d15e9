"""Faults at random while events flow; afterwards every event is counted exactly once, everywhere.

The short form is a test like the others. The long form, `make crash-loop`, has 50 faults; a seed is
printed with which it can be run again (CRASH_LOOP_SEED).
"""

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from aiokafka import ConsumerRecord
from confluent_kafka import Producer
from kafka import Kafka
from replicas import counts, histories, saved
from workers import Worker

from schemas import decode_event, decode_recommendation
from streams.broker import EmbeddedBroker, free_port
from streams.intake import Taken
from streams.replica import Place, Replica
from streams.settings import Settings

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(3600)]

FAULTS = int(os.environ.get("CRASH_LOOP_FAULTS", "5"))
SEED = int(os.environ.get("CRASH_LOOP_SEED", time.time_ns() % 10_000))
USERS, ITEMS, RATE = 200, 120, 150.0
SESSION_S = 6


@dataclass
class Clicks(threading.Thread):
    """Produces events until stopped; one in 20 comes twice, under the same event_id."""

    bootstrap_servers: str
    sent: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "linger.ms": 5,
                "log_level": 0,
            }
        )
        chance = random.Random(SEED)
        number = 0
        while not self.stopped.is_set():
            number += 1
            user = chance.randrange(USERS)
            item = (chance.randrange(ITEMS // 2) * 2 + user % 2) % ITEMS
            record = {"user_id": f"u{user}", "item_id": f"i{item}", "type": "click"}
            value = json.dumps(record | {"event_id": f"e{number}"}).encode()
            for _ in range(2 if number % 20 == 0 else 1):
                producer.produce("events", value, f"u{user}", on_delivery=self._delivered)
            producer.poll(0)
            time.sleep(1 / RATE)
        producer.flush(120)

    def _delivered(self, error: object, _message: object) -> None:
        if error is not None:
            self.failures.append(str(error))
        else:
            self.sent += 1


class Crowd:
    """Two or three workers, and what can happen to them and to their broker."""

    def __init__(self, broker: EmbeddedBroker, cache_dir: Path, folder: Path) -> None:
        self.broker, self.cache_dir, self.folder = broker, cache_dir, folder
        self.chance = random.Random(SEED)
        self.workers: list[Worker] = []
        self.log: list[str] = []
        self.started = 0
        for _ in range(2):
            self.join()

    def join(self) -> None:
        folder = self.folder / f"worker-{len(list(self.folder.glob('worker-*')))}"
        folder.mkdir()
        environment = {
            "FRESHET_SNAPSHOTS": str(folder / "snapshots"),
            "FRESHET_SNAPSHOT_SECONDS": "5",
            "FRESHET_SESSION_TIMEOUT_SECONDS": str(SESSION_S),
        }
        worker = Worker(self.broker.bootstrap_servers, "", self.cache_dir, folder, environment)
        self.start(worker)
        self.workers.append(worker)

    def start(self, worker: Worker) -> None:
        worker.start()
        self.started += 1

    def fault(self) -> None:
        worker = self.chance.choice(self.workers)
        kind = self.chance.choice(["kill", "kill", "term", "sleep", "join", "broker"])
        if kind == "join" and len(self.workers) == 3:
            kind = "leave"
        self.log.append(kind)
        if kind == "kill":
            worker.kill()
            self.start(worker)
        elif kind == "term":
            worker.terminate(60)
            self.start(worker)
        elif kind == "sleep":
            os.kill(worker.process.pid, signal.SIGSTOP)
            time.sleep(SESSION_S + 2)
            os.kill(worker.process.pid, signal.SIGCONT)
        elif kind == "join":
            self.join()
        elif kind == "leave":
            worker.kill()
            self.workers.remove(worker)
        else:
            self.broker.kill()
            time.sleep(self.chance.uniform(0.5, 4))
            self.broker.start()

    def revive(self) -> int:
        """Start what ended by itself, as a supervisor would; how many that were."""
        ended = [worker for worker in self.workers if worker.process.poll() is not None]
        for worker in ended:
            self.start(worker)
        return len(ended)

    def all_ready(self) -> bool:
        return all(_answers(worker) for worker in self.workers)


def _answers(worker: Worker) -> bool:
    try:
        return worker.get("/readyz")[0] == 200
    except (OSError, AssertionError):  # nobody listens, or no address is in the log yet
        return False


def reference(kafka: Kafka) -> Replica:
    """A single undisturbed pass over the log."""
    replica = Replica(Settings())
    for record in kafka.consume("events", timeout_s=60):
        event = decode_event(record.value, record.timestamp_ms, int(time.time() * 1000))
        fetched = ConsumerRecord(
            record.topic,
            record.partition,
            record.offset,
            record.timestamp_ms,
            0,
            record.key,
            record.value,
            None,
            0,
            0,
            (),
        )
        then = Place(record.offset + 1, record.timestamp_ms)
        replica.learn([Taken(fetched, event)], {record.partition: then}, practise=False)
    return replica


def test_whatever_is_killed_every_event_counts_once_in_every_worker(
    cache_dir: Path, tmp_path: Path
) -> None:
    broker = EmbeddedBroker(tmp_path / "kafka", cache_dir=cache_dir, port=free_port())
    began = time.monotonic()
    ended_by_themselves = 0
    with broker:
        crowd = Crowd(broker, cache_dir, tmp_path)
        try:
            for worker in crowd.workers:
                worker.wait_until_ready()
            clicks = Clicks(broker.bootstrap_servers)
            clicks.start()
            for _ in range(FAULTS):
                time.sleep(crowd.chance.uniform(0.5, 5))
                crowd.fault()
                ended_by_themselves += crowd.revive()
            time.sleep(2)
            clicks.stopped.set()
            clicks.join()
            assert not clicks.failures
            kafka = Kafka(broker.bootstrap_servers)
            events = kafka.consume("events", clicks.sent, timeout_s=30)
            ends = Counter(record.partition for record in events)
            give_up = time.monotonic() + 120
            while kafka.committed("app", "events") != ends or not crowd.all_ready():
                assert time.monotonic() < give_up, [w.log[-3000:] for w in crowd.workers]
                ended_by_themselves += crowd.revive()
                time.sleep(0.5)
            for worker in crowd.workers:
                assert worker.terminate(60) == 0, worker.log
            expected = reference(kafka)
            lists = kafka.consume("recommendations", timeout_s=60)
        finally:
            for worker in crowd.workers:
                worker.kill()

    assert len(events) == clicks.sent
    distinct = {json.loads(record.value or b"")["event_id"] for record in events}
    assert expected.recommender.events == len(distinct)
    for worker in crowd.workers:
        replica = saved(worker.folder / "snapshots", worker)
        assert {p: place.offset for p, place in replica.applied.items()} == ends
        assert replica.recommender.events == len(distinct)
        assert counts(replica) == counts(expected)
        assert histories(replica) == histories(expected)
    users = {record.key for record in events}
    assert {record.key for record in lists} == users
    ids = [decode_recommendation(record.value or b"").recommendation_id for record in lists]
    stalls = sorted(record.timestamp_ms for record in lists)
    print(
        f"\nseed {SEED}: {FAULTS} faults ({dict(Counter(crowd.log))}) in "
        f"{time.monotonic() - began:.0f} s, {len(events)} records, {len(distinct)} events, "
        f"{len(lists)} lists of which {len(ids) - len(set(ids))} repeats, "
        f"{crowd.started} workers started, {ended_by_themselves} of them for one that ended by "
        f"itself, longest time without a list "
        f"{max(b - a for a, b in pairwise(stalls)) / 1000:.1f} s"
    )
