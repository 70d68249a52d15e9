"""Who brings the events of a partition, as it comes and goes."""

import asyncio
from types import SimpleNamespace
from typing import Any

from faust.types import TP

from streams.engine import Engine
from streams.event_log import EventLog, LogMismatch
from streams.metrics import Metrics
from streams.replica import Replica
from streams.settings import Settings
from streams.transport import ChunkApp


def test_a_partition_that_goes_before_its_first_chunk_is_learned_ends_nothing() -> None:
    async def serve_and_lose() -> None:
        settings = Settings()
        engine = Engine(Replica(settings))
        app = ChunkApp("app", broker=f"kafka://{settings.bootstrap_servers}")
        events = EventLog(settings, app, engine, Metrics())
        partition = TP(settings.topic("events"), 2)
        await app.on_partitions_assigned.send({partition})
        await events.hand_over(2, 0)
        await app.on_partitions_revoked.send({partition})
        engine.close()

    asyncio.run(serve_and_lose())


def test_a_topic_that_goes_while_it_is_served_ends_the_worker_with_a_sentence() -> None:
    """The follower may know of it when the group takes the partition back."""
    signal = SimpleNamespace(connect=lambda _: None)
    ended: list[BaseException] = []

    async def crash(reason: BaseException) -> None:
        ended.append(reason)

    app: Any = SimpleNamespace(
        on_partitions_assigned=signal, on_partitions_revoked=signal, crash=crash
    )
    unused: Any = None

    async def work() -> None:
        log = EventLog(Settings(), app, unused, unused)
        consumer: Any = SimpleNamespace(assignment=set)
        log.follower._consumer = consumer
        await log._on_assigned(app, {TP("events", 0)})
        await log.hand_over(0, 0)
        await log._on_revoked(app, {TP("events", 0)})

    asyncio.run(work())
    (reason,) = ended
    assert isinstance(reason, LogMismatch)
    assert "events-0 is gone from the brokers" in str(reason)
