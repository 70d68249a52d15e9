"""The path of an event: decode → learn → recommend → publish, a chunk at a time."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Sequence

import structlog
from aiokafka import ConsumerRecord

from models.ranking import Ranking
from schemas import Cause, Event, EventType, Rejected, RejectReason, decode_event, encode
from streams.answers import recommendation
from streams.engine import Engine
from streams.erased import Erased
from streams.event_log import EventLog
from streams.intake import Intake, Taken
from streams.metrics import Metrics
from streams.publisher import Outgoing, Publisher
from streams.replica import Place, Replica
from streams.settings import Settings

log = structlog.get_logger(__name__)

#: Seeing an item is no act: it is learned from, but moves nobody's list.
_MOVES_THE_LIST = frozenset(EventType) - {EventType.IMPRESSION}


class EventPath:
    """Learns from each event of a chunk in order, then answers each of its users once."""

    def __init__(
        self,
        settings: Settings,
        intake: Intake,
        engine: Engine,
        event_log: EventLog,
        erased: Erased,
        publisher: Publisher,
        metrics: Metrics,
    ) -> None:
        self._settings, self._intake, self._engine = settings, intake, engine
        self._event_log, self._erased = event_log, erased
        self._publisher, self._metrics = publisher, metrics
        #: Chunks enter the engine's queue one after another, also where one waits for its turn.
        self._in_turn = asyncio.Lock()

    async def process(self, records: Sequence[ConsumerRecord]) -> None:
        """Take one chunk of one partition; on return everything it causes is on the brokers."""
        metrics = self._metrics
        metrics.chunk_records.observe(len(records))

        # 1. Decode; what cannot be read is a dead letter.
        now_ms = int(time.time() * 1000)
        with metrics.timed("decode"):
            taken, dead = self._intake.take(records, decode_event, now_ms)
            self._count(taken)

        # 2. Learn from every event, in order; then rank once for each user who acted.
        try:
            lists, version = await self._learn_and_rank(records, taken, now_ms / 1000)
        except Exception as error:
            log.exception("learning failed", **_where(records))
            metrics.failures.labels("learn").inc()
            fault = Rejected(RejectReason.LEARNER_FAILED, _traceback(error))
            dead += [self._intake.reject(t.record, fault, now_ms) for t in taken]
            lists, version = [], ""

        # 3. Publish; a repeat after a crash carries the same recommendation_id.
        async with self._publisher.one_at_a_time:
            lists = [(t, ranking) for t, ranking in lists if not self._was_erased(t)]
            outgoing = [_published(ranking, t, version) for t, ranking in lists]
            with metrics.timed("publish"):
                await self._publish(outgoing, dead)
        self._observe_freshness([t for t, _ in lists])

    async def _learn_and_rank(
        self, records: Sequence[ConsumerRecord], taken: Sequence[Taken[Event]], now: float
    ) -> tuple[list[tuple[Taken[Event], Ranking]], str]:
        partition, then = records[0].partition, Place(records[-1].offset + 1, records[-1].timestamp)

        def work(replica: Replica) -> tuple[list[tuple[Taken[Event], Ranking]], str]:
            recommender = replica.recommender
            with self._metrics.timed("learn"):
                learned = replica.learn(partition, taken, then, practise=True)
            last = {t.message.user_id: t for t in taken if t.message.type in _MOVES_THE_LIST}
            with self._metrics.timed("recommend"):
                lists = recommender.recommend(list(last), now, self._settings.list_size)
            self._metrics.duplicates.inc(learned.duplicates)
            self._metrics.model_events.set(recommender.events)
            self._metrics.score(recommender.scoreboard())
            return list(zip(last.values(), lists, strict=True)), recommender.version

        async with self._in_turn:
            await self._event_log.hand_over(partition, records[0].offset)
            working = self._engine.run(work)
        try:
            return await working
        finally:
            await self._event_log.has_come({partition: then.offset})

    def _was_erased(self, taken: Taken[Event]) -> bool:
        return self._erased.covers(taken.message.user_id, taken.record.timestamp)

    async def _publish(self, lists: Sequence[Outgoing], dead: Sequence[Outgoing]) -> None:
        if lists:
            await self._publisher.publish(self._settings.topic("recommendations"), lists)
        if dead:
            await self._publisher.publish(self._settings.topic("dead-letters"), dead)

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

    def _observe_freshness(self, published: Sequence[Taken[Event]]) -> None:
        now_ms = time.time() * 1000
        for record, event in published:
            self._metrics.freshness.observe(max(0.0, (now_ms - record.timestamp) / 1000))
            self._metrics.event_freshness.observe(max(0.0, (now_ms - event.ts) / 1000))
        self._metrics.recommendations.labels("event").inc(len(published))


def _published(ranking: Ranking, because: Taken[Event], model_version: str) -> Outgoing:
    record, event = because
    message = recommendation(
        ranking,
        cause=Cause(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            event_id=event.event_id,
        ),
        model_version=model_version,
    )
    return Outgoing(event.user_id.encode(), encode(message))


def _where(records: Sequence[ConsumerRecord]) -> dict[str, object]:
    first, last = records[0], records[-1]
    return {
        "topic": first.topic,
        "partition": first.partition,
        "offsets": f"{first.offset}..{last.offset}",
    }


def _traceback(error: Exception) -> str:
    return "".join(traceback.format_exception(error))[-4000:]
