"""Every worker follows the whole `profiles` topic: what people said of themselves when they came.

What a worker makes of it (`models.segments`) is no part of the fold of events: it is a view of what
the engine remembers and of the profiles that stand, so it matters neither which came first nor
where either was when the worker was killed. The log never names who is described.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from aiokafka import ConsumerRecord

from models.segments import Fact
from schemas import Profile, Rejected, decode_profile
from streams.catalogue import key_text
from streams.engine import Engine
from streams.follower import Follower
from streams.metrics import Metrics
from streams.replica import Replica
from streams.settings import Settings


class Profiles:
    """Tells the segments of every profile, from the beginning of `profiles` and on.

    To be followed from when the erased are known: what they said is not taken up again.
    """

    def __init__(self, settings: Settings, engine: Engine, metrics: Metrics) -> None:
        self._engine, self._metrics = engine, metrics
        #: In which partition the profile stands of who was erased and has one dated after that. By
        #: its producer's clock: if it was told before, the erasure's null value comes after it
        #: there. Those in other partitions may have come before.
        self._stands_in: dict[str, int] = {}
        self.follower = Follower(settings, settings.topic("profiles"), self._apply)

    async def _apply(self, partition: int, records: Sequence[ConsumerRecord]) -> None:
        now_ms = int(time.time() * 1000)
        newest: dict[str, tuple[int, list[Fact] | None]] = {}
        for record in records:
            user = key_text(record)
            if user is None:
                continue
            if record.value is None:
                newest[user] = record.timestamp, None
                continue
            with suppress(Rejected):
                profile = decode_profile(record.value, record.timestamp, now_ms)
                if profile.user_id == user:
                    newest[user] = record.timestamp, facts(profile)

        def take(replica: Replica) -> tuple[int, int]:
            segments, memory = replica.segments, replica.recommender
            for user, (timestamp_ms, told) in newest.items():
                covered = replica.erased.covers(user, timestamp_ms)
                if told is None:
                    if not covered or self._stands_in.get(user) == partition:
                        segments.forget(user, memory)
                        self._stands_in.pop(user, None)
                elif not covered:  # else forgotten with the erasure; what is told after it counts
                    segments.describe(user, told, memory)
                    if replica.erased.knows(user):
                        self._stands_in[user] = partition
            return len(segments), segments.facts

        people, different = await self._engine.run(take)
        self._metrics.profiles.set(people)
        self._metrics.segments.set(different)


def facts(profile: Profile) -> list[Fact]:
    """What a profile says, as facts that others may share."""
    said = [("country", profile.country), ("age", profile.age_band)]
    said += [("interest", interest) for interest in profile.interests]
    said += [(name, _as_text(value)) for name, value in profile.attributes.items()]
    return [Fact(name, value) for name, value in said if value]


def _as_text(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else f"{value:g}"
