"""How a worker learns the events that others serve, and at its start those it has missed.

The events of the partitions a worker serves come to it through its agent; all others through here.
Which of the two brought an event first does not matter: the replica takes each offset once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

import structlog
from aiokafka import ConsumerRecord

from schemas import decode_event
from streams.engine import Engine
from streams.follower import Follower
from streams.intake import readable
from streams.metrics import Metrics
from streams.replica import Place, Replica
from streams.settings import Settings
from streams.transport import ChunkApp

log = structlog.get_logger(__name__)

#: Of what a worker without a snapshot finds on the log, the ranker practises on so many of the
#: newest: enough to be good, and no start takes more than about a minute longer for it.
_PRACTISE_ON = 100_000


class LogMismatch(SystemExit):
    """The log is not the one that the snapshot was made from; the text says what to do."""


class SnapshotUnread(SystemExit):
    """The model of a version before cannot be read, nor be learned again; the text says what to
    do."""


class EventLog:
    """Follows the partitions of `events` that this worker does not serve."""

    def __init__(self, settings: Settings, app: ChunkApp, engine: Engine, metrics: Metrics) -> None:
        self._settings, self._engine, self._metrics = settings, engine, metrics
        self._topic = settings.topic("events")
        self._app = app
        self.follower = Follower(
            settings, self._topic, self._apply, begin=self._begin, when_set_back=self._set_back
        )
        #: Where the replica has come to, as the event loop knows it.
        self._applied: dict[int, int] = {}
        self._moved = asyncio.Condition()
        self._assigned: set[int] = set()
        self._served: set[int] = set()
        self._from_nothing = False
        #: From a snapshot: the last record learned of each partition, until the log shows it.
        self._learned_last: dict[int, Place] = {}
        app.on_partitions_assigned.connect(self._on_assigned)
        app.on_partitions_revoked.connect(self._on_revoked)

    async def hand_over(self, partition: int, first: int, end: int) -> None:
        """Let the agent take a partition over at offset `first`, once all before it is learned.

        The first chunk after an assignment begins where the group left off, which may be beyond
        what this worker has learned of the partition, or before it.

        end: the partition's, when the chunk was fetched.
        """
        if end < self._applied.get(partition, 0):
            await self._look_at_end(partition)
        if partition in self._served:
            return
        async with self._moved:
            await self._moved.wait_for(lambda: self._applied.get(partition, 0) >= first)
        if partition in self._assigned:
            self._served.add(partition)
            self.follower.pause(partition)

    async def _look_at_end(self, partition: int) -> None:
        """More may have been learned since a chunk was fetched, but never more than there is."""
        applied = self._applied.get(partition, 0)
        end = await self.follower.end(partition)
        if end is not None and end < applied:
            await self._end(partition, _ends(end, applied))

    async def _set_back(self, partition: int, offset: int) -> None:
        await self._end(partition, f"began anew, at offset {offset}")

    async def _end(self, partition: int, how: str) -> None:
        """End the worker. This never returns: whoever goes on would learn of the other log from
        where this one ended, and the last snapshot would fit it."""
        await self._app.crash(self._other(partition, how))
        await asyncio.Event().wait()

    async def has_come(self, places: Mapping[int, int]) -> None:
        """Note up to which offset the replica has learned each of these partitions."""
        async with self._moved:
            for partition, offset in places.items():
                self._applied[partition] = max(offset, self._applied.get(partition, 0))
            self._moved.notify_all()

    async def _begin(self, reach: Mapping[int, tuple[int, int]]) -> Mapping[int, int]:
        applied, unread = await self._engine.run(lambda r: (dict(r.applied), r.unread))
        self._from_nothing = not applied
        gone = {partition: first for partition, (first, _) in reach.items() if first}
        if self._from_nothing and unread and gone:
            raise SnapshotUnread(
                f"{unread}. What it had learned cannot be learned again: of {self._topic}, events "
                f"before these offsets are gone: {gone}. Start the version that wrote it, with "
                "its settings; or, to learn from what is left, move the snapshots away (FRESHET_"
                "SNAPSHOTS tells where they are; `freshet settings` shows it)."
            )
        begin: dict[int, int] = {}
        for partition, (first, end) in reach.items():
            at = applied.get(partition, Place(first, 0)).offset
            if at > end:
                raise self._other(partition, _ends(end, at))
            if at < first:
                log.error(
                    "events are gone from the log before they were learned; the topic must keep "
                    "them for longer than the age of the snapshot that a start begins with",
                    partition=partition,
                    missed=first - at,
                )
                self._metrics.missed.inc(first - at)
            # From the last record learned, to see whether it is still the same.
            begin[partition] = max(at - 1, first)
        self._learned_last = applied
        await self.has_come({p: max(at.offset, reach[p][0]) for p, at in applied.items()})
        waiting = sum(end - begin[partition] for partition, (_, end) in reach.items())
        log.info("learning what is on the log", events=waiting)
        return begin

    async def _apply(self, partition: int, records: Sequence[ConsumerRecord]) -> None:
        self._check(partition, records[0])
        then = Place(records[-1].offset + 1, records[-1].timestamp)
        if then.offset <= self._applied.get(partition, 0):
            return
        taken = readable(records, decode_event, int(time.time() * 1000))
        starting = not self.follower.caught_up.is_set()
        practise = starting and self._from_nothing and self.follower.behind <= _PRACTISE_ON

        def work(replica: Replica) -> None:
            with self._metrics.timed("follow"):
                learned = replica.learn(taken, {partition: then}, practise=float(practise))
            self._metrics.duplicates.inc(learned.duplicates)
            if learned.raised:
                # Whoever serves the partition makes dead letters of them, also if that is this
                # worker later (`Replica.take_raised`).
                log.error("learning failed", partition=partition, events=learned.raised)
                self._metrics.failures.labels("follow").inc(learned.raised)
            # Here, in the engine's thread, or a turn after this one may have set it already.
            self._metrics.model_events.set(replica.recommender.events)

        try:
            await self._engine.run(work)
        except Exception:
            log.exception("learning failed", partition=partition, until=then.offset)
            self._metrics.failures.labels("follow").inc()
        self._metrics.followed.inc(len(taken))
        await self.has_come({partition: then.offset})

    def _check(self, partition: int, record: ConsumerRecord) -> None:
        """Whether the log goes on from the record that was learned last."""
        last = self._learned_last.pop(partition, None)
        if last and record.offset == last.offset - 1 and record.timestamp != last.timestamp_ms:
            raise self._other(
                partition, f"has another record at offset {record.offset} than was learned"
            )

    def _other(self, partition: int, how: str) -> LogMismatch:
        return LogMismatch(
            f"{self._topic}-{partition} {how}: the topic was made anew, or lost records. To learn "
            "from the topic alone, move the snapshots away (FRESHET_SNAPSHOTS tells where they "
            "are; `freshet settings` shows it)."
        )

    async def _on_assigned(self, _app: ChunkApp, assigned: object, **_: object) -> None:
        self._assigned |= self._of_events(assigned)

    async def _on_revoked(self, _app: ChunkApp, revoked: object, **_: object) -> None:
        for partition in self._of_events(revoked):
            self._assigned.discard(partition)
            if partition in self._served:
                self._served.discard(partition)
                self.follower.resume(partition, self._applied.get(partition, 0))

    def _of_events(self, tps: object) -> set[int]:
        return {tp.partition for tp in tps if tp.topic == self._topic}  # type: ignore[attr-defined]


def _ends(end: int, learned: int) -> str:
    return f"ends at offset {end}, and was learned up to {learned}"
