"""Whether all workers of a group learn alike: who has other settings makes other lists of the same
events, and whose users get which depends on where partitions go.

Kafka tells each member of a group the client ids of the others, so ours names the settings that
learning depends on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from hashlib import blake2b

import structlog
from aiokafka.errors import KafkaError, for_code
from mode import Service

from streams.kafka import admin_client
from streams.metrics import Metrics
from streams.settings import Settings
from streams.transport import ChunkApp

log = structlog.get_logger(__name__)

_PATIENCE_SECONDS = _RETRY_SECONDS = 10.0
_LEARNS = ".learns-"
_LEARNING = {"engine", "seed", "duplicate_window"}


def client_id(settings: Settings) -> str:
    """The consumer's: `freshet.learns-0a1b2c3d`.

    Of the settings that are not at their defaults: one that only a newer version knows, and nobody
    has set, makes nobody disagree while workers are upgraded one by one. A default that a version
    changes is therefore not seen.
    """
    learning = settings.model_dump_json(include=_LEARNING, exclude_defaults=True)
    digest = blake2b(learning.encode(), digest_size=4).hexdigest()
    return f"{settings.app_id}{_LEARNS}{digest}"


def disagreeing(settings: Settings, members: Iterable[str]) -> int:
    """How many of a group's members, given by their client ids, learn with other settings. Of a
    version that does not say so, nothing is known."""
    ours = client_id(settings)
    return sum(_LEARNS in member and member != ours for member in members)


class Agreement(Service):  # type: ignore[misc]  # mode is untyped
    """Looks at the group whenever partitions have been assigned: so they are when anybody joins."""

    def __init__(self, settings: Settings, app: ChunkApp, metrics: Metrics) -> None:
        super().__init__()
        self._settings, self._metrics = settings, metrics
        self._assigned = asyncio.Event()
        app.on_partitions_assigned.connect(self._on_assigned)

    @Service.task
    async def _look(self) -> None:
        while not self.should_stop:
            await self._assigned.wait()
            self._assigned.clear()
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    members = await self._members()
            except (TimeoutError, KafkaError) as error:
                log.warning("cannot see yet how the other workers learn", error=repr(error))
                await self.sleep(_RETRY_SECONDS)
                self._assigned.set()
                continue
            others = disagreeing(self._settings, members)
            self._metrics.disagreeing.set(others)
            if others:
                log.warning(
                    "workers of this group have other settings of learning (engine, seed or "
                    "duplicate_window), so a user's list depends on which of them makes it; give "
                    "all the same (`freshet settings` shows them)",
                    group=self._settings.app_id,
                    others=others,
                )

    async def _members(self) -> list[str]:
        async with admin_client(self._settings) as admin:
            (described,) = await admin.describe_consumer_groups([self._settings.app_id])
        ((error, _group, _state, _type, _protocol, members, *_),) = described.groups
        if error:
            raise for_code(error)
        return [client for _member, client, *_ in members]

    async def _on_assigned(self, _app: ChunkApp, _assigned: object, **_: object) -> None:
        self._assigned.set()
