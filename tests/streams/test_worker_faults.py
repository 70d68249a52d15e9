"""What a worker does when what it stands on goes away."""

import json
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Producer
from kafka import Kafka
from workers import Worker

from streams.broker import EmbeddedBroker, free_port

pytestmark = [pytest.mark.broker, pytest.mark.slow]


def events(first: int, count: int) -> list[tuple[str, bytes]]:
    return [
        (
            f"u{n % 20}",
            json.dumps(
                {"user_id": f"u{n % 20}", "item_id": f"i{n % 33}", "type": "click"}
            ).encode(),
        )
        for n in range(first, first + count)
    ]


@pytest.fixture
def broker(tmp_path: Path, cache_dir: Path) -> EmbeddedBroker:
    return EmbeddedBroker(tmp_path / "kafka", cache_dir=cache_dir, port=free_port())


def until(status: int, worker: Worker, timeout_s: float) -> None:
    give_up = time.monotonic() + timeout_s
    while worker.get("/readyz")[0] != status:
        assert worker.process.poll() is None, worker.log[-4000:]
        assert time.monotonic() < give_up, worker.log[-4000:]
        time.sleep(0.1)


@pytest.fixture
def learned(broker: EmbeddedBroker, cache_dir: Path, tmp_path: Path) -> Iterator[Worker]:
    """A worker that has learned 200 events; its broker runs too."""
    with broker, Worker(broker.bootstrap_servers, "", cache_dir, tmp_path) as worker:
        Kafka(broker.bootstrap_servers).produce("events", events(0, 200))
        worker.wait_for_metric("freshet_model_events", 200)
        yield worker


def test_a_worker_waits_for_a_broker_that_went_away_and_loses_nothing(
    broker: EmbeddedBroker, learned: Worker
) -> None:
    broker.kill()
    until(503, learned, timeout_s=15)
    assert learned.get("/livez")[0] == 200
    assert "no Kafka broker answers" in learned.get("/readyz")[1]
    broker.start()
    until(200, learned, timeout_s=40)
    kafka = Kafka(broker.bootstrap_servers)
    kafka.produce("events", events(200, 200))
    learned.wait_for_metric("freshet_model_events", 400, timeout_s=40)
    lists = kafka.consume("recommendations", at_least=20)
    assert {record.key for record in lists} == {f"u{n}".encode() for n in range(20)}
    assert learned.terminate() == 0


def test_a_worker_is_ended_also_while_its_broker_is_away(
    broker: EmbeddedBroker, learned: Worker
) -> None:
    broker.kill()  # what was learned last is not committed yet
    assert learned.terminate(timeout_s=30) == 0


def test_a_worker_is_ended_also_while_its_broker_is_silent(
    broker: EmbeddedBroker, learned: Worker
) -> None:
    (java,) = psutil.Process(broker.guard_pid).children()
    java.send_signal(signal.SIGSTOP)
    try:
        assert learned.terminate(timeout_s=30) == 0
    finally:
        java.send_signal(signal.SIGCONT)
    assert "model saved" in learned.log
    assert "Traceback" not in learned.log


def test_a_worker_started_before_its_broker_waits_for_it(
    broker: EmbeddedBroker, cache_dir: Path, tmp_path: Path
) -> None:
    worker = Worker(f"127.0.0.1:{broker.port}", "", cache_dir, tmp_path)
    worker.start()
    try:
        time.sleep(2)
        with broker:
            worker.wait_until_ready()
            assert worker.terminate() == 0
    finally:
        worker.kill()


def test_a_worker_ends_with_a_sentence_where_no_broker_comes(
    cache_dir: Path, tmp_path: Path
) -> None:
    address = f"127.0.0.1:{free_port()}"
    worker = Worker(address, "", cache_dir, tmp_path, {"FRESHET_STALL_SECONDS": "5"})
    worker.start()
    assert worker.process.wait(40) == 2
    assert "freshet broker" in worker.log


def test_a_port_that_is_taken_is_named(kafka: Kafka, cache_dir: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        environment = {"FRESHET_HTTP_PORT": port}
        worker = Worker(kafka.bootstrap_servers, "port-", cache_dir, tmp_path, environment)
        worker.start()
        assert worker.process.wait(40) != 0
        assert port in worker.log
        assert "FRESHET_HTTP_HOST and FRESHET_HTTP_PORT" in worker.log


def test_a_dead_letter_is_cut_where_its_topic_would_not_take_it_whole(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path
) -> None:
    """Topics with the broker's own limits, and a record that is small only while compressed."""
    kafka.create(*(f"{topic_prefix}{name}" for name in ("events", "dead-letters")))
    bomb = b'{"user_id": "' + b"u" * 5_000_000 + b'"}'
    producer = Producer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "compression.type": "gzip",
            "message.max.bytes": 64 << 20,
        }
    )
    producer.produce(f"{topic_prefix}events", key=b"u", value=bomb)
    assert producer.flush(30) == 0
    with Worker(kafka.bootstrap_servers, topic_prefix, cache_dir, tmp_path) as worker:
        worker.wait_for_metric("freshet_dead_letters_total", 1)
        (letter,) = kafka.consume(f"{topic_prefix}dead-letters", at_least=1)
        assert letter.value is not None
        assert len(letter.value) > 500_000
        assert bomb.startswith(letter.value)
        assert letter.headers["freshet-cut-from-bytes"] == str(len(bomb)).encode()
        kafka.produce(f"{topic_prefix}events", events(0, 10))
        worker.wait_for_metric("freshet_model_events", 10)


@pytest.mark.parametrize("name", ["events", "requests"])
def test_a_worker_whose_topic_is_deleted_says_so_and_ends(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path, name: str
) -> None:
    topic = f"{topic_prefix}{name}"
    with Worker(kafka.bootstrap_servers, topic_prefix, cache_dir, tmp_path) as worker:
        kafka.produce(f"{topic_prefix}events", events(0, 100))
        worker.wait_for_metric("freshet_model_events", 100)
        kafka.delete(topic)
        give_up = time.monotonic() + 15
        answers = set()
        while worker.process.poll() is None:
            with suppress(OSError):
                answers.add(worker.get("/readyz"))
            assert time.monotonic() < give_up, worker.log[-4000:]
            time.sleep(0.1)
        assert worker.process.returncode != 0
        # While the group finds itself anew, none is assigned; that may be said first.
        assert (503, f"{topic} is gone from the brokers\n") in answers
        assert f"{topic} is gone from the brokers" in worker.log.splitlines()[-1]


def test_a_worker_whose_events_are_deleted_and_made_anew_at_once_says_so_and_ends(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path
) -> None:
    """Nothing is missing then, and the first records would seem to be learned already."""
    topic = f"{topic_prefix}events"
    with Worker(kafka.bootstrap_servers, topic_prefix, cache_dir, tmp_path) as worker:
        kafka.produce(topic, events(0, 200))
        worker.wait_for_metric("freshet_model_events", 200)
        kafka.delete(topic)
        kafka.create(topic)
        give_up = time.monotonic() + 45
        while worker.process.poll() is None:
            assert time.monotonic() < give_up, worker.log[-4000:]
            kafka.produce(topic, events(0, 20))
            time.sleep(2)
        assert worker.process.returncode != 0
        assert "was made anew" in worker.log.splitlines()[-1]
