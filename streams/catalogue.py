"""Every worker follows the whole `items` topic into its own engine.

The topic is compacted, so reading it from the start is how a worker that (re)starts learns the
catalogue. Which records are faulty is the `items` agent's business, once for the group; here
they are passed over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog
from aiokafka import ConsumerRecord

from models.catalogue import ItemFacts
from schemas import Rejected, decode_item
from streams.engine import Engine
from streams.facts import facts_of
from streams.follower import Follower
from streams.metrics import Metrics
from streams.settings import Settings

log = structlog.get_logger(__name__)


#: Also told of a change: by which partition, what is new or different, and what is deleted.
Told = Callable[[int, Sequence[ItemFacts], Sequence[str]], None]


class Catalogue:
    """Tells the engine of every item, from the beginning of `items` and on as it grows.

    told: who is told as well, after the engine.
    """

    def __init__(
        self, settings: Settings, engine: Engine, metrics: Metrics, *, told: Sequence[Told] = ()
    ) -> None:
        self._engine, self._metrics, self._told = engine, metrics, told
        self._known: set[str] = set()
        self.follower = Follower(
            settings, settings.topic("items"), self._apply, when_caught_up=self._loaded
        )

    async def _loaded(self) -> None:
        await self._engine.run(lambda replica: replica.recommender.delete_undescribed())
        log.info("catalogue loaded", items=len(self._known))

    async def _apply(self, partition: int, records: Sequence[ConsumerRecord]) -> None:
        now_ms = int(time.time() * 1000)
        changes: dict[str, ItemFacts | None] = {}
        for record in records:
            item_id = key_text(record)
            if item_id is None:
                continue
            if record.value is None:
                changes[item_id] = None
                continue
            with suppress(Rejected):
                item = decode_item(record.value, record.timestamp, now_ms)
                if item.item_id == item_id:
                    changes[item_id] = facts_of(item, record.offset)
        upserts = [change for change in changes.values() if change is not None]
        deletes = [item_id for item_id, change in changes.items() if change is None]
        await self._engine.run(lambda replica: replica.recommender.upsert_items(upserts))
        await self._engine.run(lambda replica: replica.recommender.delete_items(deletes))
        for tell in self._told:
            tell(partition, upserts, deletes)
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
