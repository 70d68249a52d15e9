"""Following a whole topic, also as it grows."""

import asyncio
from collections.abc import Sequence

import pytest
from aiokafka import ConsumerRecord
from kafka import Kafka

from streams.follower import Follower
from streams.settings import Settings

pytestmark = pytest.mark.broker


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
