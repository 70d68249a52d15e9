"""100,000 damaged records through a running worker: it stays up, and accounts for every one."""

import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka import Kafka
from workers import Worker

from schemas import EventType

pytestmark = [pytest.mark.broker, pytest.mark.slow]

RECORDS = 100_000

#: What may be put in the place of any value.
ODD_VALUES = [
    None, True, -1, 0, 1e308, 2**63, 2**70, "", " ", "\x00", "é", "💧" * 3, "x" * 300, [], {},
    -62e12, {"a": {"b": []}}, "2026-02-30T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"
]  # fmt: skip


def sound(rng: random.Random) -> dict[str, object]:
    return {
        "user_id": f"u{rng.randrange(200)}",
        "item_id": f"i{rng.randrange(500)}",
        "type": rng.choice(list(EventType)),
        "value": rng.random(),
        "event_id": f"e{rng.random()}",
        "position": rng.randrange(10),
        "context": {"page": "home"},
    }


def left_alone(message: dict[str, object], _: random.Random) -> bytes:
    return json.dumps(message).encode()


def with_an_odd_value(message: dict[str, object], rng: random.Random) -> bytes:
    message[rng.choice([*message, "ts", "recommendation_id"])] = rng.choice(ODD_VALUES)
    return json.dumps(message).encode()


def without_a_field(message: dict[str, object], rng: random.Random) -> bytes:
    del message[rng.choice(list(message))]
    return json.dumps(message).encode()


def with_flipped_bytes(message: dict[str, object], rng: random.Random) -> bytes:
    value = bytearray(json.dumps(message).encode())
    for _ in range(rng.randrange(1, 4)):
        value[rng.randrange(len(value))] = rng.randrange(256)
    return bytes(value)


def cut_short(message: dict[str, object], rng: random.Random) -> bytes:
    value = json.dumps(message).encode()
    return value[: rng.randrange(len(value))]


def noise(_: dict[str, object], rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(200))


def nested(_: dict[str, object], rng: random.Random) -> bytes:
    depth = rng.randrange(1, 3000)
    return b'{"context":' * depth + b"1" + b"}" * depth


def in_another_encoding(message: dict[str, object], rng: random.Random) -> bytes:
    message["item_id"] = "é"
    return json.dumps(message, ensure_ascii=False).encode(rng.choice(["utf-16", "latin-1"]))


DAMAGE: list[Callable[[dict[str, object], random.Random], bytes]] = [
    left_alone, with_an_odd_value, with_an_odd_value, without_a_field, with_flipped_bytes,
    with_flipped_bytes, cut_short, noise, nested, in_another_encoding,
]  # fmt: skip


def damaged(seed: int) -> Iterator[tuple[str | bytes | None, bytes | None]]:
    rng = random.Random(seed)
    for _ in range(RECORDS):
        message = sound(rng)
        key = rng.choice([str(message["user_id"]), None, b"\xff\xfe", b""])
        yield key, rng.choice(DAMAGE)(message, rng) if rng.random() > 0.01 else None


@pytest.mark.timeout(600)
def test_every_one_of_100_000_damaged_records_is_processed_or_set_aside(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path
) -> None:
    with Worker(kafka.bootstrap_servers, topic_prefix, cache_dir, tmp_path) as worker:
        topic = f"{topic_prefix}events"
        kafka.produce(topic, damaged(seed=3))

        assert settled(worker, topic) == RECORDS, worker.log[-3000:]
        assert worker.metric("freshet_failures_total") == 0
        dead = int(worker.metric("freshet_dead_letters_total", topic=topic))
        assert 0 < dead < RECORDS
        assert len(kafka.consume(f"{topic_prefix}dead-letters", at_least=dead)) == dead
        assert worker.terminate() == 0


def settled(worker: Worker, topic: str) -> float:
    """Records processed or set aside, once that number stands still."""
    now, last = 0.0, -1.0
    while last < now < RECORDS:
        time.sleep(3)
        last, now = (
            now,
            (
                worker.metric("freshet_dead_letters_total", topic=topic)
                + worker.metric("freshet_events_total")
            ),
        )
    return now
