"""The path of an event, a fetch at a time: decode → learn; `streams.serving` makes the lists."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import structlog

from schemas import Event, EventType, Rejected, RejectReason, decode_event
from streams.event_log import EventLog
from streams.intake import Intake, Taken
from streams.metrics import Metrics
from streams.publisher import Publisher
from streams.replica import Place, Replica
from streams.serving import Serving
from streams.settings import Settings
from streams.transport import Chunk, Fetched

log = structlog.get_logger(__name__)

#: Seeing an item is no act: it is learned from, but moves nobody's list.
_MOVES_THE_LIST = frozenset(EventType) - {EventType.IMPRESSION}
#: With so many full fetches of a partition still to come, lists and practice are reduced before the
#: lag grows.
_FAR_BEHIND = 4
#: Share of the ranker's practice then: it costs 1 to 3 % of Recall@10 where it lasts, and a quarter
#: of the time.
_PRACTICE_WHEN_BEHIND = 0.25


class EventPath:
    """Learns from each event in order; its users then wait for their lists."""

    def __init__(
        self,
        settings: Settings,
        intake: Intake,
        event_log: EventLog,
        serving: Serving,
        publisher: Publisher,
        metrics: Metrics,
    ) -> None:
        self._settings, self._intake = settings, intake
        self._event_log, self._serving = event_log, serving
        self._publisher, self._metrics = publisher, metrics
        #: Fetches are learned in the order they came, also where one waits for what is before it.
        self._in_turn = asyncio.Lock()

    async def process(self, fetched: Fetched) -> asyncio.Future[None]:
        """Take what was fetched; what is returned is resolved when all that it causes is on the
        brokers."""
        records, metrics = fetched.records, self._metrics
        metrics.chunk_records.observe(len(records))

        # 1. Decode; what cannot be read is a dead letter.
        now_ms = int(time.time() * 1000)
        with metrics.timed("decode"):
            taken, dead = self._intake.take(records, decode_event, now_ms)
            self._count(taken)

        # 2. Learn from every event, in order. Far behind, the ranker practises less.
        far = _FAR_BEHIND * self._settings.chunk_records
        behind = any(chunk.lag > far for chunk in fetched.chunks)
        # Whoever acted gets a new list, made after all this has been learned.
        newest = {t.message.user_id: t for t in taken if t.message.type in _MOVES_THE_LIST}
        async with self._in_turn:
            for chunk in fetched.chunks:
                await self._event_log.hand_over(
                    chunk.partition, chunk.first_offset, chunk.high_watermark
                )
            raised: list[tuple[Taken[Event], str]] = []
            learned, served = self._serving.add(
                lambda replica: self._learn(replica, fetched, taken, behind, raised),
                list(newest.values()),
                behind=behind,
            )
        try:
            await learned
        except Exception:
            offsets = {chunk.partition: _offsets(chunk) for chunk in fetched.chunks}
            log.exception("learning failed", topic=records[0].topic, offsets=offsets)
            metrics.failures.labels("learn").inc()
        finally:
            places = {chunk.partition: chunk.last_offset + 1 for chunk in fetched.chunks}
            await self._event_log.has_come(places)
        for t, text in raised:
            where = {"topic": t.record.topic, "offsets": {t.record.partition: t.record.offset}}
            log.error("learning failed", **where, error=text)
            metrics.failures.labels("learn").inc()
            fault = Rejected(RejectReason.LEARNER_FAILED, text)
            dead.append(self._intake.reject(t.record, fault, now_ms))
        if dead:
            await self._publisher.publish(self._settings.topic("dead-letters"), dead)
        return served

    def _learn(
        self,
        replica: Replica,
        fetched: Fetched,
        taken: Sequence[Taken[Event]],
        behind: bool,
        raised: list[tuple[Taken[Event], str]],
    ) -> None:
        """raised: which events did, now or when others had brought them here; filled in."""
        then = {
            chunk.partition: Place(chunk.last_offset + 1, chunk.records[-1].timestamp)
            for chunk in fetched.chunks
        }
        practise = _PRACTICE_WHEN_BEHIND if behind else 1.0
        try:
            with self._metrics.timed("learn"):
                learned = replica.learn(taken, then, practise=practise)
        finally:
            raised += replica.take_raised(taken)
        self._metrics.duplicates.inc(learned.duplicates)

    def _count(self, taken: Sequence[Taken[Event]]) -> None:
        counts: dict[EventType, int] = {}
        miskeyed = 0
        for record, event in taken:
            counts[event.type] = counts.get(event.type, 0) + 1
            miskeyed += record.key != event.user_id.encode()
        for event_type, count in counts.items():
            self._metrics.events.labels(event_type.value).inc(count)
        if miskeyed:
            self._metrics.miskeyed.inc(miskeyed)


def _offsets(chunk: Chunk) -> str:
    return f"{chunk.first_offset}..{chunk.last_offset}"
