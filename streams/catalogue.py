"""Every worker follows the whole `items` topic into its own engine.

The topic is compacted, so reading it from the start is how a worker that (re)starts learns the
catalogue. Which records are faulty is the `items` agent's business, once for the group; here
they are passed over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaError
from mode import Service

from models.catalogue import ItemFacts
from schemas import Item, Rejected, decode_item
from streams.engine import Engine
from streams.kafka import client_options
from streams.metrics import Metrics
from streams.settings import Settings

log = structlog.get_logger(__name__)

_POLL_MS = 200


class CatalogueFollower(Service):  # type: ignore[misc]  # mode is untyped
    """Reads `items` outside of any consumer group, from its beginning and on as it grows."""

    def __init__(self, settings: Settings, engine: Engine, metrics: Metrics) -> None:
        super().__init__()
        self._settings, self._engine, self._metrics = settings, engine, metrics
        self._known: set[str] = set()
        #: Set when everything that stood on the topic at the start has been applied.
        self.caught_up = asyncio.Event()

    @Service.task
    async def _follow(self) -> None:
        # Without a group, a consumer is assigned all partitions of its topic.
        consumer = AIOKafkaConsumer(
            self._settings.topic("items"),
            **client_options(self._settings),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            behind = await consumer.end_offsets(consumer.assignment())
            while not self.should_stop:
                try:
                    fetched = await consumer.getmany(timeout_ms=_POLL_MS)
                except KafkaError as error:
                    log.warning("cannot read the catalogue, trying again", error=repr(error))
                    await self.sleep(1.0)
                    continue
                records = [record for chunk in fetched.values() for record in chunk]
                if records:
                    await self._apply(records)
                if behind:
                    behind = {
                        tp: end for tp, end in behind.items() if await consumer.position(tp) < end
                    }
                    if not behind:
                        log.info("catalogue loaded", items=len(self._known))
                        self.caught_up.set()
        finally:
            await consumer.stop()

    async def _apply(self, records: Sequence[ConsumerRecord]) -> None:
        now_ms = int(time.time() * 1000)
        changes: dict[str, ItemFacts | None] = {}
        for record in records:
            item_id = key_text(record)
            if record.value is None:
                if item_id is not None:
                    changes[item_id] = None
                continue
            try:
                item = decode_item(record.value, record.timestamp, now_ms)
            except Rejected:
                continue
            changes[item.item_id] = facts(item)
        upserts = [change for change in changes.values() if change is not None]
        deletes = [item_id for item_id, change in changes.items() if change is None]
        await self._engine.run(lambda recommender: recommender.upsert_items(upserts))
        await self._engine.run(lambda recommender: recommender.delete_items(deletes))
        self._known.update(change.item_id for change in upserts)
        self._known.difference_update(deletes)
        self._metrics.items.labels("upsert").inc(len(upserts))
        self._metrics.items.labels("delete").inc(len(deletes))
        self._metrics.catalogue_items.set(len(self._known))


def key_text(record: ConsumerRecord) -> str | None:
    """The record's key as text, None where there is none that can be one."""
    if not record.key:
        return None
    try:
        return str(record.key, "utf-8")
    except UnicodeDecodeError:
        return None


def facts(item: Item) -> ItemFacts:
    """The part of an `Item` that the engine learns from."""
    return ItemFacts(
        item_id=item.item_id,
        title=item.title,
        text=item.text,
        categories=tuple(item.categories),
        available=item.available,
    )
