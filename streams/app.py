"""The Faust app of a worker: which agent takes which topic, and what runs beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiokafka import ConsumerRecord

from models.recommender import Recommender
from streams.agents.events import EventPath
from streams.agents.items import ItemPath
from streams.agents.requests import RequestPath
from streams.catalogue import CatalogueFollower
from streams.engine import Engine
from streams.health import HealthServer
from streams.intake import Intake
from streams.kafka import broker_credentials
from streams.metrics import Metrics
from streams.publisher import Publisher
from streams.settings import Settings
from streams.transport import Chunk, ChunkApp
from streams.watch import Watch


@dataclass(frozen=True, slots=True)
class Parts:
    """What a worker consists of, wired together."""

    app: ChunkApp
    metrics: Metrics
    engine: Engine
    publisher: Publisher
    catalogue: CatalogueFollower
    watch: Watch
    health: HealthServer


def build(settings: Settings, dead_letter_room: int) -> Parts:
    """Wire a worker; nothing connects or runs yet."""
    metrics = Metrics()
    intake = Intake(dead_letter_room, metrics)
    engine = Engine(Recommender(settings.engine, seed=settings.seed))
    publisher = Publisher(settings)
    catalogue = CatalogueFollower(settings, engine, metrics)
    app = _faust_app(settings)
    watch = Watch(settings, app, engine, catalogue, metrics)
    health = HealthServer(
        metrics, settings.http_host, settings.http_port, live=watch.live, ready=watch.ready
    )
    event_path = EventPath(settings, intake, engine, publisher, metrics)
    item_path = ItemPath(settings, intake, publisher)
    request_path = RequestPath(settings, intake, engine, publisher, metrics)
    _attach(app, settings.topic("events"), event_path.process, watch)
    _attach(app, settings.topic("items"), item_path.process, watch)
    _attach(app, settings.topic("requests"), request_path.process, watch)
    return Parts(app, metrics, engine, publisher, catalogue, watch, health)


#: Chunks of a topic worked on at once: while one is being learned from, the one before is
#: published and the one after decoded. Learning itself stays one after another, in order.
_CHUNKS_IN_FLIGHT = 3

Process = Callable[[Sequence[ConsumerRecord]], Awaitable[None]]


def _attach(app: ChunkApp, topic: str, process: Process, watch: Watch) -> None:
    """Make `process` the agent of `topic`: a chunk is acknowledged when it returns."""

    async def agent(chunks: AsyncIterator[Chunk]) -> None:
        places = asyncio.Semaphore(_CHUNKS_IN_FLIGHT)

        async def handle(chunk: Chunk) -> None:
            with watch.working_on(chunk):
                await process(chunk.records)
            chunk.ack()
            places.release()

        # A chunk that cannot be finished ends the agent, and with it the process: only a new
        # start gets its records again.
        async with asyncio.TaskGroup() as group:
            async for chunk in chunks:
                await places.acquire()
                group.create_task(handle(chunk))

    app.agent(app.chunk_topic(topic), name=f"freshet.{topic}")(agent)


def _faust_app(settings: Settings) -> ChunkApp:
    return ChunkApp(
        settings.app_id,
        broker=[f"kafka://{server.strip()}" for server in settings.bootstrap_servers.split(",")],
        broker_credentials=broker_credentials(settings),
        broker_max_poll_records=settings.chunk_records,
        broker_session_timeout=settings.session_timeout_seconds,
        broker_heartbeat_interval=settings.session_timeout_seconds / 3,
        drain_timeout_s=settings.session_timeout_seconds / 2,
    )
