"""Being forgotten: what every worker does with a record on `erasures`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from aiokafka import ConsumerRecord

from schemas import decode_erasure
from streams.engine import Engine
from streams.erased import until
from streams.follower import Follower
from streams.intake import readable
from streams.metrics import Metrics
from streams.replica import Replica
from streams.settings import Settings

#: Also told of users to forget.
Told = Callable[[Sequence[str]], None]


class Erasures:
    """Forgets, in this worker, each user named on `erasures`, from its beginning and on.

    The log of events is read again at a restart, and may still hold what an erased user did: so
    every erasure is known before the first event is learned. told: who is told as well, after
    the engine.
    """

    def __init__(
        self, settings: Settings, engine: Engine, metrics: Metrics, *, told: Sequence[Told] = ()
    ) -> None:
        self._engine, self._metrics, self._told = engine, metrics, told
        self.follower = Follower(settings, settings.topic("erasures"), self._apply)
        #: Erasures applied here.
        self.applied = 0

    async def _apply(self, _partition: int, records: Sequence[ConsumerRecord]) -> None:
        now_ms = int(time.time() * 1000)
        erasures = readable(records, decode_erasure, now_ms)
        users = [erasure.user_id for _, erasure in erasures]
        untils = [until(taken, now_ms) for taken in erasures]

        def forget(replica: Replica) -> None:
            for user, until_ms in zip(users, untils, strict=True):
                replica.erase(user, until_ms)

        await self._engine.run(forget)
        for tell in self._told:
            tell(users)
        self.applied += len(erasures)
        self._metrics.erasures.inc(len(erasures))
