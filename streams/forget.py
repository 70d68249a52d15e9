"""Have a user forgotten: a record on `erasures`, and the proof that a worker acted on it."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas import Erasure, encode
from streams.kafka import client_options
from streams.publisher import partition_of
from streams.settings import Settings


class NotForgotten(RuntimeError):
    """No worker confirmed it in time; the text says what is certain and what to look at."""


async def forget(settings: Settings, user_id: str, *, timeout_seconds: float = 10) -> None:
    """Ask the workers to forget a user and wait until the user's published list is gone.

    Raises:
        NotForgotten: that was not seen within the timeout; the wish stands on the topic and will be
            fulfilled when a worker runs.
    """
    key = user_id.encode()
    erasures, lists = settings.topic("erasures"), settings.topic("recommendations")
    producer = AIOKafkaProducer(**client_options(settings), acks="all", linger_ms=0)
    consumer = AIOKafkaConsumer(
        **client_options(settings), enable_auto_commit=False, fetch_max_wait_ms=50
    )
    await asyncio.gather(producer.start(), consumer.start())
    try:
        partitions = len(await producer.partitions_for(lists))
        mine = TopicPartition(lists, partition_of(key, partitions))
        consumer.assign([mine])
        await consumer.seek_to_end(mine)
        await consumer.position(mine)
        await producer.send_and_wait(erasures, value=encode(Erasure(user_id=user_id)), key=key)
        async with asyncio.timeout(timeout_seconds):
            async for record in consumer:
                if record.key == key and record.value is None:
                    return
    except TimeoutError:
        pass
    finally:
        await asyncio.gather(producer.stop(), consumer.stop())
    raise NotForgotten(
        f"the wish stands on {erasures}, but no worker has acted on it within "
        f"{timeout_seconds:g} s. It will be fulfilled as soon as one runs on "
        f"{settings.bootstrap_servers} with the same topic prefix; `freshet doctor` looks."
    )
