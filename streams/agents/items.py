"""The check of the catalogue's records, once for the whole group of workers.

What is sound reaches every worker's engine through `streams.catalogue`.
"""

from __future__ import annotations

import time

from schemas import Rejected, RejectReason, decode_item
from streams.catalogue import key_text
from streams.intake import Intake
from streams.publisher import Publisher
from streams.settings import Settings
from streams.transport import Chunk


class ItemPath:
    """Sets aside what no worker can use."""

    def __init__(self, settings: Settings, intake: Intake, publisher: Publisher) -> None:
        self._settings, self._intake, self._publisher = settings, intake, publisher

    async def process(self, chunk: Chunk) -> None:
        """Take one chunk of one partition; on return its dead letters are on the brokers."""
        now_ms = int(time.time() * 1000)
        described = [record for record in chunk.records if record.value is not None]
        _, dead = self._intake.take(described, decode_item, now_ms)
        nameless = Rejected(
            RejectReason.INVALID,
            "a null value deletes the item named by the record's key, and this record has no "
            "key that is text; send the item_id as the key",
        )
        dead += [
            self._intake.reject(record, nameless, now_ms)
            for record in chunk.records
            if record.value is None and key_text(record) is None
        ]
        if dead:
            await self._publisher.publish(self._settings.topic("dead-letters"), dead)
