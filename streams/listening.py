"""Telling the workers something and hearing what they publish for the user it is about."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas import Erasure, Rejected, Request, encode
from streams.intake import Decode
from streams.kafka import client_options
from streams.publisher import partition_of
from streams.settings import Settings
from streams.topics import check_there


class Untaken(ValueError):
    """No worker would take the message; the text says why."""


def told(message: Request | Erasure, decode: Decode[Any]) -> bytes:
    """The message as it is sent, read once as a worker will: `decode`.

    Raises:
        Untaken: they would refuse it.
    """
    now_ms = int(time.time() * 1000)
    try:
        value = encode(message)
        decode(value, now_ms, now_ms)
    except UnicodeEncodeError as fault:
        raise Untaken(f"{fault.object!r} is not UTF-8") from None
    except Rejected as fault:
        raise Untaken(fault.detail) from None
    return value


@asynccontextmanager
async def listening(
    settings: Settings, key: bytes, *, to: str
) -> AsyncIterator[tuple[AIOKafkaProducer, AIOKafkaConsumer]]:
    """A producer for the topic `to`, and a consumer of what is published from now on where this
    key's lists are.

    Raises:
        TopicError: there is no such topic: waiting would not bring it.
    """
    lists = settings.topic("recommendations")
    producer = AIOKafkaProducer(**client_options(settings), acks="all", linger_ms=0)
    consumer = AIOKafkaConsumer(
        **client_options(settings), enable_auto_commit=False, fetch_max_wait_ms=50
    )
    try:
        await asyncio.gather(producer.start(), consumer.start())
        check_there([to, lists], await consumer.topics())
        partitions = len(await producer.partitions_for(lists))
        mine = TopicPartition(lists, partition_of(key, partitions))
        consumer.assign([mine])
        await consumer.seek_to_end(mine)
        await consumer.position(mine)
        yield producer, consumer
    finally:
        await asyncio.gather(producer.stop(), consumer.stop())
