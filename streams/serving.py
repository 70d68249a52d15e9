"""Making lists for users who acted, and publishing them: while there is time, at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import structlog
from mode import Service

from models.ranking import Ranking
from schemas import Cause, Event, encode
from streams.answers import recommendation
from streams.engine import Engine
from streams.erased import Erased
from streams.intake import Taken
from streams.metrics import Metrics
from streams.publisher import Outgoing, Publisher
from streams.replica import Replica
from streams.settings import Settings
from streams.waiting import Place, Waiting

log = structlog.get_logger(__name__)

#: Users ranked at once: so few that the first need not wait for the last of a large chunk, and that
#: learning gets its turn in between; so many that the steps around it cost little.
_AT_ONCE = 64
#: For how long after a chunk that was behind the worker counts as overloaded.
_OVERLOADED_SECONDS = 1.0


class Serving(Service):  # type: ignore[misc]  # mode is untyped
    """Ranks and publishes for whoever waits.

    Under more load than can be ranked for, learning goes on and lists become fewer: a user's newest
    event is the one that is answered, at most every `overload_seconds`. When the load falls,
    whoever still waits is served, and it is as before.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        erased: Erased,
        publisher: Publisher,
        metrics: Metrics,
    ) -> None:
        super().__init__()
        self._settings, self._engine, self._erased = settings, engine, erased
        self._publisher, self._metrics = publisher, metrics
        self._waiting = Waiting()
        self._somebody_came = asyncio.Event()
        self._overloaded_until = 0.0

    def add(self, newest: Sequence[Taken[Event]], *, behind: bool) -> asyncio.Future[None]:
        """Have a list made for the user of each of these events.

        behind: whether more events wait than can be served soon. Returns what is resolved when the
        lists, or newer ones, are on the brokers.
        """
        now = time.monotonic()
        if behind:
            self._overloaded_until = now + _OVERLOADED_SECONDS
        done, replaced = self._waiting.add(newest, now)
        self._metrics.coalesced.inc(replaced)
        self._metrics.waiting.set(len(self._waiting))
        self._somebody_came.set()
        return done

    async def finish(self) -> None:
        """Before partitions move, or the end: whoever waits is served without delay."""
        self._overloaded_until = 0.0
        self._somebody_came.set()

    @Service.task
    async def _serve(self) -> None:
        publishing: asyncio.Task[None] | None = None
        while not self.should_stop:
            self._somebody_came.clear()
            places = self._waiting.take(_AT_ONCE, self._due())
            if not places:
                await self._until_somebody_is_due()
                continue
            self._metrics.waiting.set(len(self._waiting))
            lists, version = await self._rank(places)
            if publishing is not None:  # one after another, and while the next are ranked
                await publishing
            publishing = asyncio.create_task(self._publish(places, lists, version))

    def _due(self) -> float:
        """Since when one must have waited to be served now."""
        now = time.monotonic()
        return now - self._settings.overload_seconds if now < self._overloaded_until else now

    async def _until_somebody_is_due(self) -> None:
        oldest = self._waiting.oldest()
        if oldest is None:
            await self._somebody_came.wait()
            return
        delay = min(oldest - self._due(), self._overloaded_until - time.monotonic())
        try:
            await asyncio.wait_for(self._somebody_came.wait(), max(0.001, delay))
        except TimeoutError:
            pass

    async def _rank(self, places: Sequence[Place]) -> tuple[Sequence[Ranking], str]:
        users = [place.because.message.user_id for place in places]
        now = time.time()

        def work(replica: Replica) -> tuple[Sequence[Ranking], str]:
            recommender = replica.recommender
            with self._metrics.timed("recommend"):
                lists = recommender.recommend(users, now, self._settings.list_size)
            self._metrics.score(recommender.scoreboard())
            return lists, recommender.version

        try:
            return await self._engine.run(work)
        except Exception:
            log.exception("ranking failed", users=len(users))
            self._metrics.failures.labels("recommend").inc()
            return [], ""

    async def _publish(
        self, places: Sequence[Place], lists: Sequence[Ranking], version: str
    ) -> None:
        served = []
        async with self._publisher.one_at_a_time:
            for place, ranking in zip(places, lists, strict=False):
                record, event = place.because
                if not self._erased.covers(event.user_id, record.timestamp):
                    served.append((place.because, _outgoing(ranking, place.because, version)))
            if served:
                topic = self._settings.topic("recommendations")
                with self._metrics.timed("publish"):
                    try:
                        await self._publisher.publish(topic, [message for _, message in served])
                    except Exception as error:
                        # Unanswered events are not committed: a new start gets them again.
                        await self.crash(error)
                        return
        self._observe_freshness([taken for taken, _ in served])
        for place in places:
            place.of.one_less()

    def _observe_freshness(self, served: Sequence[Taken[Event]]) -> None:
        now_ms = time.time() * 1000
        for record, event in served:
            self._metrics.freshness.observe(max(0.0, (now_ms - record.timestamp) / 1000))
            self._metrics.event_freshness.observe(max(0.0, (now_ms - event.ts) / 1000))
        self._metrics.recommendations.labels("event").inc(len(served))


def _outgoing(ranking: Ranking, because: Taken[Event], model_version: str) -> Outgoing:
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
