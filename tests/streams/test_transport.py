"""The chunk transport on a real broker: order, acknowledgement, rebalances, crashes."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import IllegalStateError
from aiokafka.protocol.fetch import FetchRequest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from kafka import Kafka

from streams.broker import EmbeddedBroker
from streams.transport import Chunk, ChunkApp, ChunkConsumer, _ConsumerThread, _paced

QUICK_TO_NOTICE = {"broker_session_timeout": 2.0, "broker_heartbeat_interval": 0.3}
"""A group that notices a dead member after two seconds instead of ten."""


class ChunkWorker:
    """A worker process, and what it has written into its journal."""

    def __init__(self, kafka: Kafka, folder: Path, **told: Any) -> None:
        self.journal = folder / f"{time.monotonic_ns()}.jsonl"
        self.journal.touch()
        self.errors = self.journal.with_suffix(".err")
        options = {"broker_commit_interval": 0.1, **QUICK_TO_NOTICE, **told.pop("options", {})}
        told = {
            "bootstrap_servers": kafka.bootstrap_servers,
            "journal": str(self.journal),
            "behaviour": "note_and_ack",
            "ordinary": False,
            **told,
            "options": options,
        }
        script = Path(__file__).with_name("chunk_worker.py")
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(script), json.dumps(told)],
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )

    def noted(self, what: str = "chunk") -> list[dict[str, Any]]:
        # A killed worker may leave half a line.
        lines = self.journal.read_text().split("\n")[:-1]
        return [line for line in map(json.loads, lines) if line["what"] == what]

    def values(self, what: str = "chunk") -> list[str]:
        return [value for chunk in self.noted(what) for value in chunk["values"]]

    def owns(self) -> list[int]:
        assignments = self.noted("assigned")
        return assignments[-1]["partitions"] if assignments else []

    def leave(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    give_up = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def start(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> Iterator[Callable[..., ChunkWorker]]:
    """Starts workers of one group on one topic of its own, and ends them after the test."""
    workers: list[ChunkWorker] = []

    def start(**told: Any) -> ChunkWorker:
        names = {"topic": f"{topic_prefix}events", "group": f"{topic_prefix}group"}
        workers.append(ChunkWorker(kafka, tmp_path, **(names | told)))
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()


@pytest.fixture
def topic(kafka: Kafka, topic_prefix: str) -> str:
    name = f"{topic_prefix}events"
    kafka.create(name, config={"max.message.bytes": str(20 << 20)})
    return name


@pytest.fixture
def group(topic_prefix: str) -> str:
    return f"{topic_prefix}group"


def produce_numbers(kafka: Kafka, topic: str, n: int, partitions: int = 4, start: int = 0) -> None:
    for partition in range(partitions):
        numbers = range(start + partition, start + n, partitions)
        kafka.produce(topic, [(None, b"%d" % i) for i in numbers], partition=partition)


def committed(kafka: Kafka, group: str, topic: str) -> int:
    """Records of the topic the group need not see again."""
    return sum(kafka.committed(group, topic).values())


@pytest.mark.broker
def test_chunks_keep_the_order_and_the_offsets_of_their_partition(kafka, topic, group, start):
    produce_numbers(kafka, topic, 4000)
    worker = start(options={"broker_max_poll_records": 300})
    until(lambda: len(worker.values()) == 4000)

    for partition in range(4):
        chunks = [chunk for chunk in worker.noted() if chunk["partition"] == partition]
        assert [offset for chunk in chunks for offset in chunk["offsets"]] == list(range(1000))
        assert [chunk["first"] for chunk in chunks] == [chunk["offsets"][0] for chunk in chunks]
        assert [chunk["last"] for chunk in chunks] == [chunk["offsets"][-1] for chunk in chunks]
        values = [value for chunk in chunks for value in chunk["values"]]
        assert values == [str(i) for i in range(partition, 4000, 4)]
        assert chunks[-1]["lag"] == 0
        assert chunks[0]["lag"] == 999 - chunks[0]["last"]
        assert max(len(chunk["offsets"]) for chunk in chunks) <= 300
    until(lambda: committed(kafka, group, topic) == 4000)
    assert not any(chunk["kept_by_faust"] for chunk in worker.noted())  # it would grow for ever


@pytest.mark.broker
def test_a_chunk_that_is_not_acknowledged_holds_back_all_behind_it(kafka, topic, group, start):
    produce_numbers(kafka, topic, 1000, partitions=1)
    hesitant = {
        "behaviour": "ack_the_first_chunk_last",
        "options": {"broker_max_poll_records": 100},
    }
    worker = start(**hesitant, in_the_end=False)
    until(lambda: len(worker.values()) == 1000)
    time.sleep(0.5)  # some commit intervals
    assert committed(kafka, group, topic) == 0
    worker.kill()

    second = start(**hesitant, in_the_end=True)
    until(lambda: committed(kafka, group, topic) == 1000)
    assert second.values() == [str(i) for i in range(1000)]


@pytest.mark.broker
def test_an_agent_that_raises_ends_the_process_and_its_chunk_comes_again(
    kafka, topic, group, start
):
    produce_numbers(kafka, topic, 100, partitions=1)
    options = {"broker_max_poll_records": 10}
    broken = start(behaviour="raise_at_the_third_chunk", options=options)

    assert broken.process.wait(60) != 0
    assert "this agent has a bug" in broken.errors.read_text()
    assert broken.values() == [str(i) for i in range(20)]
    assert committed(kafka, group, topic) == 20  # what was acknowledged, and not a record more
    repaired = start(options=options)
    until(lambda: len(repaired.values()) == 80)
    assert repaired.values()[0] == "20"


@pytest.mark.broker
def test_workers_that_join_and_leave_in_order_repeat_nothing(kafka, topic, group, start):
    work = {
        "behaviour": "work_a_while",
        "seconds": 0.05,
        "options": {"broker_max_poll_records": 20},
    }
    produce_numbers(kafka, topic, 1200)
    first = start(**work)
    until(lambda: len(first.values()) > 100)
    second = start(**work)
    until(lambda: len(first.owns()) == len(second.owns()) == 2)
    produce_numbers(kafka, topic, 1200, start=1200)
    until(lambda: len(second.values()) > 100)
    assert second.leave() == 0
    until(lambda: len(first.owns()) == 4)
    until(lambda: committed(kafka, group, topic) == 2400)

    times = Counter(first.values() + second.values())
    assert len(times) == 2400
    assert max(times.values()) == 1


@pytest.mark.broker
def test_work_that_takes_longer_than_a_fetch_waits_is_finished_before_partitions_move(
    kafka, topic, group, start
):
    produce_numbers(kafka, topic, 10, partitions=1)
    work = {"behaviour": "work_a_while", "options": {"drain_timeout_s": 20}}
    first = start(**work, seconds=8)
    until(lambda: len(first.owns()) == 4)
    second = start(**work, seconds=0)
    until(lambda: len(first.owns()) == len(second.owns()) == 2)

    assert committed(kafka, group, topic) == 10
    assert len(first.values()) == 10
    assert second.values() == []
    assert first.process.poll() is None


@pytest.mark.broker
def test_a_batch_of_chunks_is_finished_before_its_worker_leaves(kafka, topic, group, start):
    produce_numbers(kafka, topic, 400)
    worker = start(behaviour="ack_in_batches")
    until(lambda: len(worker.values()) == 400)
    assert committed(kafka, group, topic) == 0
    assert worker.leave() == 0
    assert sorted(worker.values("finished")) == sorted(worker.values())
    assert committed(kafka, group, topic) == 400


@pytest.mark.broker
def test_a_killed_worker_loses_nothing(kafka, topic, group, start):
    work = {
        "behaviour": "work_a_while",
        "seconds": 0.05,
        "options": {"broker_max_poll_records": 20},
    }
    first, second = start(**work), start(**work)
    until(lambda: len(first.owns()) == len(second.owns()) == 2)
    produce_numbers(kafka, topic, 2400)
    until(lambda: len(second.values()) > 100)
    second.kill()
    until(lambda: committed(kafka, group, topic) == 2400)

    assert set(first.values() + second.values()) == {str(i) for i in range(2400)}


@pytest.mark.broker
@pytest.mark.parametrize("behaviour", ["work_a_while", "block_the_loop"])
def test_an_agent_slower_than_the_session_timeout_keeps_its_partitions(
    kafka, topic, group, start, behaviour
):
    produce_numbers(kafka, topic, 40, partitions=1)
    worker = start(behaviour=behaviour, seconds=1.5 * QUICK_TO_NOTICE["broker_session_timeout"])
    until(lambda: committed(kafka, group, topic) > 0)

    assert len(worker.noted("assigned")) == 1
    assert max(Counter(worker.values()).values()) == 1


@pytest.mark.broker
@pytest.mark.parametrize("idle_partitions", [0, 3])
def test_back_pressure_bounds_what_waits_and_costs_no_seconds(
    kafka, topic_prefix, group, start, idle_partitions
):
    topic = f"{topic_prefix}busy"
    kafka.create(topic, partitions=1 + idle_partitions)
    produce_numbers(kafka, topic, 2000, partitions=1)
    options = {"broker_max_poll_records": 10, "stream_buffer_maxsize": 4}
    worker = start(topic=topic, behaviour="work_a_while", seconds=0.01, options=options)
    until(lambda: len(worker.values()) > 0)
    started = time.monotonic()
    until(lambda: len(worker.values()) == 2000)
    took = time.monotonic() - started

    # Two hundred chunks of 10 ms; stock Faust waits for a second each time the queue was full.
    assert took < 20
    until(lambda: committed(kafka, group, topic) == 2000)
    assert max(chunk["waiting"] for chunk in worker.noted()) < 50


@pytest.mark.broker
def test_a_record_larger_than_a_fetch_comes_through(kafka, topic, start):
    kafka.produce(
        topic, [(None, b"small"), (None, b"x" * (10 << 20)), (None, b"after")], partition=0
    )
    worker = start()
    until(lambda: len(worker.values()) == 3)
    assert worker.values() == ["small", "x" * 20, "after"]


@pytest.mark.broker
@pytest.mark.usefixtures("topic")
def test_an_ordinary_topic_is_refused_with_a_sentence(start):
    worker = start(ordinary=True)
    assert worker.process.wait(60) != 0
    assert "declare" in worker.errors.read_text()
    assert "app.chunk_topic(...)" in worker.errors.read_text()


@pytest.mark.broker
@pytest.mark.slow
def test_a_broker_that_goes_away_and_comes_back_costs_nothing(tmp_path, cache_dir):
    quick = {"broker.session.timeout.ms": "1500", "broker.heartbeat.interval.ms": "500"}
    with EmbeddedBroker(tmp_path / "kafka", cache_dir=cache_dir, config=quick) as broker:
        kafka = Kafka(broker.bootstrap_servers)
        kafka.create("events")
        produce_numbers(kafka, "events", 400)
        worker = ChunkWorker(kafka, tmp_path, topic="events", group="group")
        until(lambda: committed(kafka, "group", "events") == 400)
        broker.kill()
        time.sleep(1)
        broker.start()
        produce_numbers(kafka, "events", 400, start=400)
        until(lambda: committed(kafka, "group", "events") == 800)

        assert worker.process.poll() is None
        assert set(worker.values()) == {str(i) for i in range(800)}
        assert worker.leave() == 0


class Row:
    timestamp, timestamp_type = 0, 0

    def __init__(self, offset: int) -> None:
        self.offset = offset


def chunk_of(*offsets: int, high_watermark: int) -> Chunk:
    return Chunk(
        [Row(offset) for offset in offsets],
        topic="events",
        partition=3,
        high_watermark=high_watermark,
        received_at=0.0,
    )


def test_lag_counts_what_lies_behind_the_last_record():
    assert chunk_of(5, 6, 9, high_watermark=10).lag == 0
    assert chunk_of(5, 6, 9, high_watermark=25).lag == 15


def test_a_chunk_may_be_acknowledged_twice():
    calls = []
    chunk = chunk_of(1, high_watermark=2)
    chunk.on_ack = lambda: calls.append(chunk.acked)
    assert not chunk.acked
    chunk.ack()
    chunk.ack()
    assert chunk.acked
    assert calls == [True, True]


def consumer_of(fetched: dict[TP, list[int]]) -> Any:
    """A consumer that gets these offsets with its next fetch."""

    async def wait(_timeout):
        return {tp: [Row(offset) for offset in offsets] for tp, offsets in fetched.items()}, None

    consumer = object.__new__(ChunkConsumer)
    consumer.__dict__ |= {
        "app": SimpleNamespace(
            consumer_generation_id=1,
            in_recovery=False,
            monitor=SimpleNamespace(track_tp_end_offset=lambda *_: None, stream_inbound_time={}),
        ),
        "flow_active": True,
        "unanswered": 0,
        "highwater": lambda _tp: 10,
        "assignment": lambda: set(fetched),
        "_stopped": asyncio.Event(),
        "_crashed": asyncio.Event(),
        "_unanswered": {},
        "_in_flight": defaultdict(deque),
        "_some_acked": asyncio.Event(),
        "_may_fetch": asyncio.Event(),
        "_thread": SimpleNamespace(look_again=lambda: None),
        "_read_offset": {},
        "_active_partitions": set(fetched),
        "_buffered_partitions": set(),
        "_wait_next_records": wait,
    }
    return consumer


THREE = {TP("events", 0): [1, 2], TP("items", 0): [5], TP("events", 3): [7]}


async def getmany(consumer: Any) -> list[Any]:
    return [message async for _, message in consumer.getmany(1.0)]


def test_what_a_fetch_brought_of_a_topic_comes_at_once_and_is_acknowledged_by_partition():
    consumer = consumer_of(THREE)
    events, items = asyncio.run(getmany(consumer))
    assert [record.offset for record in events.value.records] == [1, 2, 7]
    assert [chunk.partition for chunk in events.value.chunks] == [0, 3]
    assert [record.offset for record in items.value.records] == [5]
    assert consumer._read_offset == {TP("events", 0): 2, TP("items", 0): 5, TP("events", 3): 7}
    assert consumer.app.monitor.stream_inbound_time.keys() == set(THREE)
    assert consumer.unanswered == 4
    events.value.chunks[1].ack()
    assert consumer.unanswered == 3
    assert consumer._new_offset(TP("events", 0)) is None
    assert consumer._new_offset(TP("events", 3)) == 8
    events.value.ack()  # one of the two for the second time
    assert consumer.unanswered == 1
    assert consumer._new_offset(TP("events", 0)) == 3


@pytest.mark.parametrize("gone", [None, IllegalStateError(), AssertionError()])
def test_what_a_fetch_brings_while_partitions_move_comes_again_and_nothing_is_forgotten(
    monkeypatch, gone
):
    sought = []

    async def perform_seek(consumer):
        sought.append(consumer)
        if gone is not None:
            raise gone

    monkeypatch.setattr(driver.Consumer, "perform_seek", perform_seek)
    consumer = consumer_of(THREE)
    events, _ = asyncio.run(getmany(consumer))
    events.tracked = True
    consumer.flow_active = False
    assert asyncio.run(getmany(consumer)) == []
    assert sought == [consumer]
    assert consumer._being_worked_on() == [*events.value.chunks]


def test_a_fetch_that_brings_nothing_while_partitions_move_seeks_nothing():
    consumer = consumer_of({})
    consumer.flow_active = False
    assert asyncio.run(getmany(consumer)) == []


def test_a_topic_whose_agent_is_behind_is_fetched_no_more_and_the_others_are():
    consumer = consumer_of(THREE)
    consumer.on_buffer_full(TP("events", 0))
    assert consumer._active_partitions == {TP("items", 0)}
    consumer.on_buffer_drop(TP("events", 0))
    assert consumer._active_partitions == set(THREE)
    assert consumer._may_fetch.is_set()


def test_all_chunks_that_an_agent_has_taken_are_waited_for_at_a_rebalance():
    consumer = consumer_of(THREE)
    events, _ = asyncio.run(getmany(consumer))
    events.tracked = True
    events.value.chunks[0].ack()
    assert consumer._being_worked_on() == [events.value.chunks[1]]


def test_what_is_revoked_or_sought_anew_is_unanswered_no_more(monkeypatch):
    async def nothing(*_):
        pass

    monkeypatch.setattr(driver.Consumer, "on_partitions_revoked", nothing)
    monkeypatch.setattr(driver.Consumer, "perform_seek", nothing)
    consumer = object.__new__(ChunkConsumer)
    consumer._in_flight, consumer._some_acked = defaultdict(deque), asyncio.Event()
    here, there = TP("events", 0), TP("events", 1)
    consumer._unanswered = {(here, 4): 5, (there, 2): 3}
    consumer.unanswered = 8
    asyncio.run(consumer.on_partitions_revoked({here}))
    assert (consumer.unanswered, consumer._unanswered) == (3, {(there, 2): 3})
    consumer._on_ack(here, 4)  # late
    assert consumer.unanswered == 3
    asyncio.run(consumer.perform_seek())
    consumer._on_ack(there, 2)
    assert (consumer.unanswered, consumer._unanswered) == (0, {})


def test_fetches_rest_the_longer_the_more_records_are_unanswered():
    rests = [_ConsumerThread._rest_s(SimpleNamespace(consumer=SimpleNamespace(unanswered=n)))
             for n in (0, 100, 10_000)]  # fmt: skip
    assert rests == pytest.approx([0.008, 0.018, 0.05])


def fetch_of(*topics: str) -> FetchRequest:
    return FetchRequest(100, 1, 1 << 20, 0, [(topic, [(0, 0, 1 << 20)]) for topic in topics])


def test_topics_seldom_written_are_in_a_fetch_now_and_then_and_in_one_of_their_own(monkeypatch):
    sent = []

    async def send(_node_id, request):
        sent.append([topic for topic, _ in request.topics])

    async def fetch_thrice() -> None:
        paced = _paced(send, lambda: 0.0, {"items"})
        await paced(0, fetch_of("events", "items"))
        await paced(0, fetch_of("events", "items"))
        await paced(0, fetch_of("items"))
        monkeypatch.setattr("streams.transport._SELDOM_EVERY_S", 0.0)
        await paced(0, fetch_of("events", "items"))

    asyncio.run(fetch_thrice())
    assert sent == [["events", "items"], ["events"], ["items"], ["events", "items"]]


def test_a_broker_rests_between_two_fetches_and_for_nothing_else():
    async def send(_node_id, _request):
        return time.monotonic()

    async def times() -> list[float]:
        paced = _paced(send, lambda: 0.2, ())
        requests = (fetch_of("events"), fetch_of("events"), "a heartbeat")
        return [await paced(0, request) for request in requests]

    first, second, other = asyncio.run(times())
    assert second - first >= 0.19
    assert other - second < 0.1


def test_a_start_that_waits_for_a_silent_broker_can_be_ended() -> None:
    async def work() -> float:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            app = ChunkApp("silence", broker=f"kafka://127.0.0.1:{silent.getsockname()[1]}")
            thread = app.consumer._new_consumer_thread()
            starting = asyncio.create_task(thread.start())
            await asyncio.sleep(0.5)
            began = time.monotonic()
            await thread.stop()
            await starting
            return time.monotonic() - began

    assert asyncio.run(work()) < 10  # a request's 90 s otherwise
