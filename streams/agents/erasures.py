"""The path of an erasure: the user's published list and profile go too, once for the whole group.

Every worker forgets the user by itself, through `streams.erasures`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog

from schemas import Erasure, Rejected, RejectReason, decode_erasure
from streams.catalogue import key_text
from streams.engine import Engine
from streams.erased import until
from streams.intake import Intake, Taken
from streams.publisher import Outgoing, Publisher
from streams.replica import Replica
from streams.settings import Settings
from streams.transport import Fetched

log = structlog.get_logger(__name__)


_MISKEYED = Rejected(
    RejectReason.INVALID,
    "the record's key is not its user_id: the user is forgotten now, but the wish lasts only until "
    "another record of this key comes; send it again with the user_id as the key, as "
    "`freshet dead-letters replay` does",
)


class ErasurePath:
    """Replaces the newest list of each user erased, and the profile, by a null value.

    A wish under another key than its user's is fulfilled, as it must not be missed, and is a dead
    letter: the topic is compacted, so a worker that comes later might not read of it.
    """

    def __init__(
        self, settings: Settings, intake: Intake, engine: Engine, publisher: Publisher
    ) -> None:
        self._settings, self._intake = settings, intake
        self._engine, self._publisher = engine, publisher

    async def process(self, fetched: Fetched) -> None:
        """Take what was fetched; on return its users' lists and profiles are gone."""
        now_ms = int(time.time() * 1000)
        taken, dead = self._intake.take(fetched.records, decode_erasure, now_ms)

        dead += [
            self._intake.reject(record, _MISKEYED, now_ms)
            for record, erasure in taken
            if key_text(record) != erasure.user_id
        ]

        def forget(replica: Replica) -> None:
            for each in taken:
                replica.erase(each.message.user_id, until(each, now_ms))

        await self._engine.run(forget)
        await self._publish_no_profiles(taken, now_ms)
        # From here on no list made before the erasure is published.
        async with self._publisher.one_at_a_time:
            tombstones = [Outgoing(erasure.user_id.encode(), None) for _, erasure in taken]
            await self._publisher.publish(self._settings.topic("recommendations"), tombstones)
            if dead:
                await self._publisher.publish(self._settings.topic("dead-letters"), dead)
        if taken:
            log.info("users erased", users=len(taken))

    async def _publish_no_profiles(self, taken: Sequence[Taken[Erasure]], now_ms: int) -> None:
        """In every partition, as whoever wrote the profile may have placed it by another rule; of
        the erasure's time (but not ahead, which brokers refuse), so that a later profile of the
        user's is not taken for erased."""
        topic = self._settings.topic("profiles")
        partitions = range(await self._publisher.partitions(topic))
        tombstones = [
            Outgoing(
                each.message.user_id.encode(),
                None,
                partition=p,
                timestamp_ms=min(until(each, now_ms), now_ms),
            )
            for each in taken
            for p in partitions
        ]
        await self._publisher.publish(topic, tombstones)
