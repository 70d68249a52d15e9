"""Who brings the events of a partition, as it comes and goes."""

import asyncio

from faust.types import TP

from streams.engine import Engine
from streams.event_log import EventLog
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
        await events.hand_over(2, 0, 1)
        await app.on_partitions_revoked.send({partition})
        engine.close()

    asyncio.run(serve_and_lose())
