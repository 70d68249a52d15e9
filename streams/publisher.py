"""Producing to Kafka in batches, one builder a partition, placed by the key as aiokafka would."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
from aiokafka.partitioner import murmur2
from aiokafka.producer.message_accumulator import BatchBuilder
from mode import Service

from streams.kafka import client_options, once_a_broker_answers
from streams.settings import Settings
from streams.topics import DEAD_LETTER_HEADROOM_BYTES

log = structlog.get_logger(__name__)

_BATCH_BYTES = 256 << 10
_RETRY_SECONDS = 1.0

T = TypeVar("T")


class Outgoing(NamedTuple):
    """One record to produce."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    #: By the key where not given.
    partition: int | None = None
    #: Now where not given.
    timestamp_ms: int | None = None


class PublishError(RuntimeError):
    """A record could not be produced for as long as the settings allow."""


class Publisher(Service):  # type: ignore[misc]  # mode is untyped
    """A producer that acknowledges only what all in-sync replicas have.

    `send_batch` with one builder a partition costs half of aiokafka's `send` (see
    `docs/decisions/0003-chunk-transport.md`).
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        #: One at a time hands batches over: of many that wait for the same partition, all but one
        #: are woken in vain each time, and aiokafka 0.14 counts their waits several times over and
        #: gives up early (`MessageAccumulator.add_batch`).
        self._handing_over: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        #: Held around publishing lists, or an older one could replace a newer one.
        self.one_at_a_time = asyncio.Lock()

    async def on_start(self) -> None:
        self._producer = AIOKafkaProducer(
            **client_options(self._settings),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=_BATCH_BYTES,
            max_request_size=self._settings.max_record_bytes + 2 * DEAD_LETTER_HEADROOM_BYTES,
        )
        # One that went away since the topics were looked at is waited for, as it is later on.
        await once_a_broker_answers(self._settings, self._producer.start)

    async def on_stop(self) -> None:
        if self._producer is not None:
            # A broker that is gone must not keep the process from ending.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(10):
                    await self._producer.stop()

    async def partitions(self, topic: str) -> int:
        """How many the topic has; a broker that is away is waited for, as in `publish`."""
        producer = self._producer
        assert producer is not None, "the publisher is not started"
        return len(await self._patiently(topic, lambda: producer.partitions_for(topic)))

    async def publish(self, topic: str, records: Iterable[Outgoing]) -> None:
        """Produce `records` and wait until the brokers have them.

        A broker that is away is waited for; after `stall_seconds` raises `PublishError`. A repeat
        is possible after an outage, a loss is not.
        """
        pending = list(records)
        if pending:
            await self._patiently(topic, lambda: self._send(topic, pending))

    async def _patiently(self, topic: str, step: Callable[[], Awaitable[T]]) -> T:
        deadline = asyncio.get_running_loop().time() + self._settings.stall_seconds
        while True:
            try:
                # An idempotent producer itself tries for ever.
                async with asyncio.timeout_at(deadline):
                    return await step()
            except TimeoutError:
                raise PublishError(
                    f"cannot produce to {topic}: no broker took it in "
                    f"{self._settings.stall_seconds:g} s"
                ) from None
            except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
                raise PublishError(
                    f"{topic} does not take a record of this size: {error}"
                ) from error
            except KafkaError as error:
                if not error.retriable or asyncio.get_running_loop().time() > deadline:
                    raise PublishError(f"cannot produce to {topic}: {error!r}") from error
                log.warning("producing failed, trying again", topic=topic, error=repr(error))
                await asyncio.sleep(_RETRY_SECONDS)

    async def _send(self, topic: str, records: Sequence[Outgoing]) -> None:
        producer = self._producer
        assert producer is not None, "the publisher is not started"
        partitions = len(await producer.partitions_for(topic))
        builders: dict[int, BatchBuilder] = {}
        full: list[tuple[int, BatchBuilder]] = []
        for number, (key, value, headers, partition, timestamp) in enumerate(records):
            if partition is None or partition >= partitions:
                partition = number % partitions if key is None else partition_of(key, partitions)
            builder = builders.get(partition)
            if builder is None:
                builder = builders[partition] = producer.create_batch()
            fits = builder.append(key=key, value=value, timestamp=timestamp, headers=list(headers))
            if fits is None:
                full.append((partition, builder))
                builder = builders[partition] = producer.create_batch()
                builder.append(key=key, value=value, timestamp=timestamp, headers=list(headers))
        async with self._handing_over[topic]:
            delivered = [
                await producer.send_batch(builder, topic, partition=partition)
                for partition, builder in (*full, *builders.items())
            ]
        await asyncio.gather(*delivered)


def partition_of(key: bytes, partitions: int) -> int:
    """Where Kafka's default partitioner places `key`."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions
