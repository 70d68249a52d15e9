"""The path of an erasure: the user's published list goes too, once for the whole group.

Every worker forgets the user by itself, through `streams.erasures`.
"""

from __future__ import annotations

import time

import structlog

from schemas import decode_erasure
from streams.engine import Engine
from streams.intake import Intake
from streams.publisher import Outgoing, Publisher
from streams.replica import Replica
from streams.settings import Settings
from streams.transport import Chunk

log = structlog.get_logger(__name__)


class ErasurePath:
    """Replaces the newest list of each user erased by a null value."""

    def __init__(
        self, settings: Settings, intake: Intake, engine: Engine, publisher: Publisher
    ) -> None:
        self._settings, self._intake = settings, intake
        self._engine, self._publisher = engine, publisher

    async def process(self, chunk: Chunk) -> None:
        """Take one chunk of one partition; on return its users' lists are gone."""
        taken, dead = self._intake.take(chunk.records, decode_erasure, int(time.time() * 1000))

        def forget(replica: Replica) -> None:
            for record, erasure in taken:
                replica.erase(erasure.user_id, record.timestamp)

        await self._engine.run(forget)
        # From here on no list made before the erasure is published.
        async with self._publisher.one_at_a_time:
            tombstones = [Outgoing(erasure.user_id.encode(), None) for _, erasure in taken]
            await self._publisher.publish(self._settings.topic("recommendations"), tombstones)
            if dead:
                await self._publisher.publish(self._settings.topic("dead-letters"), dead)
        if taken:
            log.info("users erased", users=len(taken))
