"""Learning what arrives and making lists for those who acted: in turns, as fast as it goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import structlog
from mode import Service

from models.ranking import Ranking
from schemas import Event
from streams.engine import Engine
from streams.erased import Erased, done_at
from streams.intake import Taken
from streams.metrics import Metrics
from streams.publisher import Publisher
from streams.quality import Quality
from streams.recommendations import cause_of, outgoing
from streams.replica import Replica
from streams.reranking import Reranking
from streams.settings import Settings
from streams.waiting import Place, Waiting

log = structlog.get_logger(__name__)

#: Users ranked in a turn: so few that the first need not wait for the last of a large fetch, and
#: that learning comes in between; so many that the steps around it cost little.
_AT_ONCE = 64
#: For how long after what was behind the worker counts as overloaded.
_OVERLOADED_SECONDS = 1.0


#: Learns what was fetched; called in the engine's thread.
Learn = Callable[[Replica], None]


class _Lesson(NamedTuple):
    """What is to be learned, and who waits for that."""

    learn: Learn
    learned: asyncio.Future[None]

    def tell(self, fault: Exception | None) -> None:
        if self.learned.cancelled():
            return
        if fault is None:
            self.learned.set_result(None)
        else:
            self.learned.set_exception(fault)


class _Turn(NamedTuple):
    """faults: what each lesson raised. lists: one for each user, none if ranking raised."""

    faults: list[Exception | None]
    lists: Sequence[Ranking]
    version: str


class Serving(Service):  # type: ignore[misc]  # mode is untyped
    """The turns of the engine: learn all that has arrived, rank for those who wait, and again.

    While one turn is computed the next one gathers, so turns are short and frequent under little
    load, and longer, with less work around them, under much. Lists are published meanwhile.

    Under more load than can be ranked for, learning goes on and lists become fewer: a user's newest
    event is the one that is answered, at most every `overload_seconds`. When the load falls,
    whoever still waits is served, and it is as before.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        reranking: Reranking,
        erased: Erased,
        publisher: Publisher,
        metrics: Metrics,
    ) -> None:
        super().__init__()
        self._settings, self._engine, self._erased = settings, engine, erased
        self._reranking, self._publisher = reranking, publisher
        self._metrics, self._quality = metrics, Quality(metrics)
        self._arrived: list[_Lesson] = []
        self._waiting = Waiting()
        self._something_came = asyncio.Event()
        self._overloaded_until = 0.0

    def add(
        self, learn: Learn, newest: Sequence[Taken[Event]], *, behind: bool
    ) -> tuple[asyncio.Future[None], asyncio.Future[None]]:
        """Have something learned, and then a list made for the user of each of these events.

        behind: whether more events wait than can be served soon. Returns what is resolved when
        `learn` is done (with what it raised, if so), and when the lists, or newer ones, are on the
        brokers.
        """
        now = time.monotonic()
        if behind:
            self._overloaded_until = now + _OVERLOADED_SECONDS
        lesson = _Lesson(learn, asyncio.get_running_loop().create_future())
        self._arrived.append(lesson)
        served, replaced = self._waiting.add(newest, now)
        self._metrics.coalesced.inc(replaced)
        self._something_came.set()
        return lesson.learned, served

    async def finish(self) -> None:
        """Before partitions move, or the end: whoever waits is served without delay."""
        self._overloaded_until = 0.0
        self._something_came.set()

    @Service.task
    async def _take_turns(self) -> None:
        publishing: asyncio.Task[None] | None = None
        while not self.should_stop:
            self._something_came.clear()
            lessons, self._arrived = self._arrived, []
            places = self._waiting.take(_AT_ONCE, self._due())
            self._metrics.waiting.set(len(self._waiting))
            if not lessons and not places:
                await self._until_somebody_is_due()
                continue
            turn = await self._engine.run(partial(self._turn, lessons=lessons, places=places))
            for lesson, fault in zip(lessons, turn.faults, strict=True):
                lesson.tell(fault)
            if publishing is not None:  # one after another, and while the next turn is computed
                await publishing
            publishing = asyncio.create_task(self._publish(places, turn))

    def _due(self) -> float:
        """Since when one must have waited to be served now."""
        now = time.monotonic()
        return now - self._settings.overload_seconds if now < self._overloaded_until else now

    async def _until_somebody_is_due(self) -> None:
        oldest = self._waiting.oldest()
        if oldest is None:
            await self._something_came.wait()
            return
        delay = min(oldest - self._due(), self._overloaded_until - time.monotonic())
        try:
            await asyncio.wait_for(self._something_came.wait(), max(0.001, delay))
        except TimeoutError:
            pass

    def _turn(self, replica: Replica, lessons: Sequence[_Lesson], places: Sequence[Place]) -> _Turn:
        """In the engine's thread."""
        faults: list[Exception | None] = []
        for lesson in lessons:
            try:
                lesson.learn(replica)
                faults.append(None)
            except Exception as fault:
                faults.append(fault)
        recommender = replica.recommender
        users = [place.because.message.user_id for place in places]
        lists: Sequence[Ranking] = []
        try:
            with self._metrics.timed("recommend"):
                now, n = time.time(), self._settings.list_size
                lists = self._reranking.recommend(recommender, users, now, n)
        except Exception:
            log.exception("ranking failed", users=len(users))
            self._metrics.failures.labels("recommend").inc()
        self._quality.observe(recommender)
        return _Turn(faults, lists, recommender.version)

    async def _publish(self, places: Sequence[Place], turn: _Turn) -> None:
        served = []
        async with self._publisher.one_at_a_time:
            for place, ranking in zip(places, turn.lists, strict=False):
                record, event = place.because
                if not self._erased.covers(event.user_id, done_at(place.because)):
                    cause = cause_of(record, event_id=event.event_id)
                    message = outgoing(ranking, cause=cause, model_version=turn.version)
                    served.append((place.because, message))
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
