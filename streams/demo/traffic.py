"""The demo's side of Kafka: an ordinary producer and consumer, as a shop would have them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from schemas import (
    Event,
    EventType,
    Item,
    Recommendation,
    decode_recommendation,
    encode,
)
from schemas.dead_letter import DETAIL, REASON
from streams.demo.pulse import Answered, Pulse
from streams.kafka import client_options
from streams.settings import Settings
from streams.simulator import Act, Product

_POLL_MS: Final = 200
_CLOSE_S: Final = 5.0


class Traffic:
    """Produces events and items; consumes recommendations and dead letters. Async context manager.

    on_list  called with each recommendation, and what it is the answer to
    """

    def __init__(
        self,
        settings: Settings,
        pulse: Pulse,
        on_list: Callable[[Recommendation, Answered | None], None],
    ) -> None:
        self._settings, self._pulse, self._on_list = settings, pulse, on_list
        self._events, self._items = settings.topic("events"), settings.topic("items")
        self._lists, self._dead = settings.topic("recommendations"), settings.topic("dead-letters")
        self._number = 0
        self._following: asyncio.Task[None] | None = None
        #: Dead letters so far, and what the newest says.
        self.dead_letters = 0
        self.newest_dead_letter = ""
        #: Events and items that the broker did not take.
        self.failures = 0

    async def __aenter__(self) -> Self:
        options = client_options(self._settings)
        self._producer = AIOKafkaProducer(**options)
        self._consumer = AIOKafkaConsumer(
            **options, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await self._producer.start()
        try:
            await self._consumer.start()
            self._consumer.assign(
                [
                    TopicPartition(topic, partition)
                    for topic in (self._lists, self._dead)
                    for partition in range(self._settings.partitions)
                ]
            )
        except BaseException:
            await self._close()
            raise
        self._following = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._close()

    def check(self) -> None:
        """Raise what ended the consumer, if anything did."""
        if self._following is not None and self._following.done():
            self._following.result()

    async def describe(self, products: Iterable[Product], *, available: bool = True) -> None:
        """Put products on `items`, on the shelves or off them."""
        for product in products:
            item = Item(
                item_id=product.item_id,
                title=product.title,
                text=product.text,
                categories=list(product.categories),
                attributes={"price": product.price},
                available=available,
                ts=int(time.time() * 1000),
            )
            await self._send(self._items, product.item_id, encode(item))

    async def tell(self, acts: Iterable[Act]) -> None:
        """Put what shoppers did on `events`, now."""
        for act in acts:
            self._number += 1
            event_id = f"demo-{self._number}"
            event = Event(
                user_id=act.user_id,
                item_id=act.item_id,
                type=EventType(act.kind),
                ts=int(time.time() * 1000),
                event_id=event_id,
                recommendation_id=act.recommendation_id,
                position=act.position,
            )
            value = encode(event)
            self._pulse.sent(event_id, time.perf_counter(), act)
            await self._send(self._events, act.user_id, value)

    async def flush(self) -> None:
        """Until the broker has everything."""
        await self._producer.flush()

    async def _send(self, topic: str, key: str, value: bytes) -> None:
        delivered = await self._producer.send(topic, value, key=key.encode())
        delivered.add_done_callback(self._note_failure)

    def _note_failure(self, delivered: asyncio.Future[object]) -> None:
        if delivered.cancelled() or delivered.exception() is not None:
            self.failures += 1

    async def _follow(self) -> None:
        while True:
            batches = await self._consumer.getmany(timeout_ms=_POLL_MS)
            now = time.perf_counter()
            for records in batches.values():
                for record in records:
                    self._take(record, now)

    def _take(self, record: ConsumerRecord, now: float) -> None:
        if record.topic == self._dead:
            headers = dict(record.headers)
            self.dead_letters += 1
            said = (headers.get(name, b"").decode(errors="replace") for name in (REASON, DETAIL))
            self.newest_dead_letter = ": ".join(said)
            return
        found = decode_recommendation(record.value)
        self._on_list(
            found, self._pulse.received(found.cause.event_id if found.cause else None, now)
        )

    async def _close(self) -> None:
        closing = [asyncio.create_task(c.stop()) for c in (self._consumer, self._producer)]
        _, late = await asyncio.wait(closing, timeout=_CLOSE_S)
        for task in late:
            task.cancel()
        # Without a broker neither can end in order; that it has gone is told elsewhere.
        await asyncio.gather(*closing, return_exceptions=True)
