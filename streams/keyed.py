"""Following a compacted topic: the newest message of every key, in every worker.

Which records are faulty is the business of the topic's agent, once for the group; here they are
passed over.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

import structlog
from aiokafka import ConsumerRecord

from schemas import Rejected
from streams.catalogue import key_text
from streams.follower import Follower
from streams.intake import Decode
from streams.settings import Settings

log = structlog.get_logger(__name__)

M = TypeVar("M")


class Keyed(Generic[M]):
    """Tells `changed` of all that stands on the topic, whenever that has changed.

    name    of the topic, without the prefix
    key_of  a message's key
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        decode: Decode[M],
        key_of: Callable[[M], str],
        changed: Callable[[Mapping[str, M]], Awaitable[None]],
    ) -> None:
        self._name, self._decode, self._key_of, self._changed = name, decode, key_of, changed
        self._standing: dict[str, M] = {}
        self.follower = Follower(settings, settings.topic(name), self._apply)

    async def _apply(self, _partition: int, records: Sequence[ConsumerRecord]) -> None:
        now_ms = int(time.time() * 1000)
        for record in records:
            key = key_text(record)
            if key is None:
                continue
            if record.value is None:
                if self._standing.pop(key, None) is not None:
                    log.info("deleted", topic=self._name, id=key)
                continue
            with suppress(Rejected):
                message = self._decode(record.value, record.timestamp, now_ms)
                if self._key_of(message) != key:
                    continue
                if self._standing.get(key) != message:
                    log.info("changed", topic=self._name, id=key, to=message)
                self._standing[key] = message
        await self._changed(self._standing)
