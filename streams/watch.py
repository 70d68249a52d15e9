"""What a supervisor wants to know of a running worker: is it alive, is it ready, is it behind?"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic

import structlog
from aiokafka import AIOKafkaClient
from aiokafka.errors import KafkaError
from mode import Service

from streams.engine import Engine
from streams.follower import Follower
from streams.kafka import client_options
from streams.metrics import Metrics
from streams.settings import Settings
from streams.topics import topics
from streams.transport import ChunkApp, Fetched

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 1.0
#: About when the process began: the modules are loaded at once.
_BEGAN = monotonic()
_BROKER_PATIENCE_SECONDS = 3.0
#: Brokers that have just started may not know of every topic yet.
_TOPIC_PATIENCE_SECONDS = 5.0


class Stalled(RuntimeError):
    """The worker has work and makes no progress."""


class TopicsGone(SystemExit):
    """Topics were deleted under a worker; the text says what to do."""


class Watch(Service):  # type: ignore[misc]  # mode is untyped
    """Keeps the answers for `/livez` and `/readyz` and the lag, and ends a worker that is stuck."""

    def __init__(
        self,
        settings: Settings,
        app: ChunkApp,
        engine: Engine,
        followers: Mapping[str, Follower],
        metrics: Metrics,
    ) -> None:
        super().__init__()
        self._settings, self._app, self._engine = settings, app, engine
        self._followers, self._metrics = followers, metrics
        self._in_hand: dict[Fetched, float] = {}
        #: The next offset to take, of each partition a chunk has been finished of.
        self._next: dict[tuple[str, int], int] = {}
        self._assigned = False
        self._told_ready = False
        self._broker_answers = False
        self._topics = [topic.name for topic in topics(settings)]
        #: What the brokers do not know of these, and since when some are missing.
        self._gone: list[str] = []
        self._gone_since = 0.0
        app.on_partitions_assigned.connect(self._on_assigned)
        app.on_partitions_revoked.connect(self._on_revoked)

    @contextmanager
    def working_on(self, fetched: Fetched) -> Iterator[None]:
        """The worker has `fetched` in hand during the body."""
        self._in_hand[fetched] = monotonic()
        try:
            yield
            for chunk in fetched.chunks:
                tp = chunk.topic, chunk.partition
                # Several are in hand at once, and one may be finished after those behind it.
                self._next[tp] = max(chunk.last_offset + 1, self._next.get(tp, 0))
        finally:
            del self._in_hand[fetched]

    def live(self) -> str | None:
        """A sentence if the process should be ended, else None."""
        stalled = self._stalled_seconds()
        if stalled > self._settings.stall_seconds:
            return f"no progress for {stalled:.0f} s"
        return None

    def ready(self) -> str | None:
        """A sentence about what is missing for the worker to serve, else None."""
        if not self._broker_answers:
            return f"no Kafka broker answers at {self._settings.bootstrap_servers}"
        if self._gone:
            return _gone(self._gone)
        for what, follower in self._followers.items():
            if not follower.caught_up.is_set():
                return f"{what} being loaded, {follower.behind} records to go"
        if not self._assigned:
            return "no partitions assigned yet"
        return self.live()

    def _stalled_seconds(self) -> float:
        return monotonic() - min(self._in_hand.values(), default=monotonic())

    @Service.task
    async def _look(self) -> None:
        while not self.should_stop:
            self._measure_lag()
            self._tell_once_ready()
            if fault := self.live():
                log.error("the worker is stuck and ends; its supervisor should start it again")
                await self._app.crash(Stalled(fault))
            await self.sleep(_LOOK_SECONDS)

    @Service.task
    async def _ask_the_broker(self) -> None:
        client = AIOKafkaClient(**client_options(self._settings))
        connected = False
        try:
            while not self.should_stop:
                try:
                    async with asyncio.timeout(_BROKER_PATIENCE_SECONDS):
                        if not connected:
                            await client.bootstrap()
                            connected = True
                        answers = await client.force_metadata_update()
                except (TimeoutError, KafkaError):
                    answers = False
                if answers != self._broker_answers:
                    log.info("the broker answers" if answers else "the broker is away")
                self._broker_answers = answers
                if answers:
                    await self._look_for_topics(client.cluster.topics())
                await self.sleep(_LOOK_SECONDS)
        finally:
            await client.close()

    async def _look_for_topics(self, there: Container[str]) -> None:
        """A consumer whose topic is deleted may wait for ever, and say nothing."""
        before, self._gone = self._gone, [name for name in self._topics if name not in there]
        if not before:
            self._gone_since = monotonic()
        if self._gone and monotonic() - self._gone_since >= _TOPIC_PATIENCE_SECONDS:
            fault = (
                f"{_gone(self._gone)}: deleted while this worker ran, which therefore ends. Start "
                "it again: it creates what is missing, or says what to do where it may not, or "
                "where `events` is no longer what it learned from."
            )
            log.error(fault)
            await self._app.crash(TopicsGone(fault))

    def _tell_once_ready(self) -> None:
        if self._told_ready or self.ready() is not None:
            return
        self._told_ready = True
        log.info(
            "ready",
            partitions=len(self._app.consumer.assignment()),
            seconds=round(monotonic() - _BEGAN, 1),
        )

    def _measure_lag(self) -> None:
        if not self._assigned:
            return
        for tp in self._app.consumer.assignment():
            end, done = self._app.consumer.highwater(tp), self._next.get((tp.topic, tp.partition))
            if end is not None and done is not None:
                self._metrics.lag.labels(tp.topic, tp.partition).set(max(0, end - done))

    async def _on_assigned(self, _app: ChunkApp, assigned: object, **_: object) -> None:
        self._assigned = True
        log.info("partitions assigned", partitions=_names(assigned))

    async def _on_revoked(self, _app: ChunkApp, revoked: object, **_: object) -> None:
        self._assigned = False
        self._next.clear()
        self._metrics.lag.clear()
        log.info("partitions revoked", partitions=_names(revoked))


def _gone(names: list[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} gone from the brokers"


def _names(partitions: object) -> list[str]:
    return sorted(f"{tp.topic}-{tp.partition}" for tp in partitions)  # type: ignore[attr-defined]
