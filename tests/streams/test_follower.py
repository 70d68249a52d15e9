"""Following a whole topic, also as it grows."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from kafka import Kafka

from streams import follower as module
from streams.follower import Follower
from streams.settings import Settings


class Consumer:
    """Of two partitions with a record each, which come together."""

    def __init__(self, *_: object, **__: object) -> None:
        self.tps = [TopicPartition("events", partition) for partition in (0, 1)]
        self.fetched: dict[TopicPartition, list[Any]] = {
            tp: [SimpleNamespace(offset=0)] for tp in self.tps
        }

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def seek(self, tp: TopicPartition, offset: int) -> None: ...
    def pause(self, *tps: TopicPartition) -> None: ...
    def resume(self, *tps: TopicPartition) -> None: ...

    def assignment(self) -> set[TopicPartition]:
        return {*self.tps}

    async def beginning_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, 0)

    end_offsets = beginning_offsets

    async def position(self, _tp: TopicPartition) -> int:
        return 0

    async def getmany(self, **_: object) -> dict[TopicPartition, list[Any]]:
        await asyncio.sleep(0.01)
        fetched, self.fetched = self.fetched, {}
        return fetched


def test_what_others_took_while_it_waited_is_not_taken_for_a_topic_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "AIOKafkaConsumer", Consumer)
    taken: list[int] = []
    set_back: list[tuple[int, int]] = []

    async def apply(partition: int, _records: Sequence[ConsumerRecord]) -> None:
        if partition == 0:  # and meanwhile a partition is handed over, and comes back
            follower.pause(1)
            follower.resume(1, 5)
        taken.append(partition)

    async def when_set_back(partition: int, offset: int) -> None:
        set_back.append((partition, offset))

    follower = Follower(Settings(), "events", apply, when_set_back=when_set_back)

    async def follow() -> None:
        async with follower, asyncio.timeout(5):
            while len(taken) < 2:
                await asyncio.sleep(0.01)

    asyncio.run(follow())
    assert set_back == []


@pytest.mark.broker
def test_a_topic_is_read_once_more_where_that_is_asked_for(kafka: Kafka, topic_prefix: str) -> None:
    """Also by what is called at the end of the first reading; it is caught up after the last."""
    topic = f"{topic_prefix}again"
    kafka.create(topic, partitions=1)
    kafka.produce(topic, [("k", b"%d" % n) for n in range(5)])
    taken: list[int] = []

    async def apply(_partition: int, records: Sequence[ConsumerRecord]) -> None:
        taken.extend(record.offset for record in records)

    async def once_more() -> None:
        if len(taken) < 10:
            follower.again()

    follower = Follower(
        Settings(bootstrap_servers=kafka.bootstrap_servers), topic, apply, when_caught_up=once_more
    )

    async def follow() -> None:
        async with follower, asyncio.timeout(20):
            assert taken == [*range(5)] * 2
            follower.again()
            await follower.caught_up.wait()
            assert taken == [*range(5)] * 3

    asyncio.run(follow())


@pytest.mark.broker
def test_what_a_topic_that_grows_held_before_is_not_read_again(
    kafka: Kafka, topic_prefix: str
) -> None:
    """And a partition that is left out stays left out, until it is to go on from some place."""
    topic = f"{topic_prefix}grows"
    kafka.create(topic, partitions=2)
    for partition in (0, 1):
        kafka.produce(topic, [("k", b"%d" % n) for n in range(20)], partition=partition)
    taken: list[tuple[int, int]] = []

    async def apply(partition: int, records: Sequence[ConsumerRecord]) -> None:
        taken.extend((partition, record.offset) for record in records)

    async def until(count: int) -> None:
        async with asyncio.timeout(20):
            while len(taken) < count:
                await asyncio.sleep(0.05)

    async def follow() -> None:
        follower = Follower(Settings(bootstrap_servers=kafka.bootstrap_servers), topic, apply)
        async with follower:
            await until(40)
            follower.pause(1)
            await asyncio.to_thread(kafka.grow, topic, partitions=3)
            assert follower._consumer is not None
            while len(follower._consumer.assignment()) < 3:
                await follower._consumer._client.force_metadata_update()
                await asyncio.sleep(0.05)
            for partition in (0, 1, 2):
                kafka.produce(topic, [("k", b"more")], partition=partition)
            await until(42)
            await asyncio.sleep(1)
            assert sorted(taken[40:]) == [(0, 20), (2, 0)]
            follower.resume(1, 20)
            await until(43)
            assert taken[42:] == [(1, 20)]

    asyncio.run(follow())


def test_a_topic_that_was_deleted_and_made_anew_is_read_from_its_beginning(
    kafka: Kafka, topic_prefix: str
) -> None:
    """Also where it holds more by then than it did before."""
    topic = f"{topic_prefix}anew"
    kafka.create(topic, partitions=1)
    kafka.produce(topic, [("k", b"before")] * 5)
    taken: list[tuple[int, bytes | None]] = []

    async def apply(_partition: int, records: Sequence[ConsumerRecord]) -> None:
        taken.extend((record.offset, record.value) for record in records)

    async def follow() -> None:
        follower = Follower(Settings(bootstrap_servers=kafka.bootstrap_servers), topic, apply)
        async with follower, asyncio.timeout(30):
            consumer = follower._consumer
            assert consumer is not None
            assert len(taken) == 5
            await asyncio.to_thread(kafka.delete, topic)
            while consumer.assignment():
                await asyncio.sleep(0.05)
            await asyncio.to_thread(kafka.create, topic, partitions=1)
            kafka.produce(topic, [("k", b"after")] * 8)
            while len(taken) < 13:
                await asyncio.sleep(0.05)
            assert taken[5:] == [(n, b"after") for n in range(8)]

    asyncio.run(follow())
