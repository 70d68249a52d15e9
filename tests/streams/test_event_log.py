"""Who brings the events of a partition, as it comes and goes."""

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
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
        await events.hand_over(2, 0, 1)
        await app.on_partitions_revoked.send({partition})
        engine.close()

    asyncio.run(serve_and_lose())


@pytest.mark.parametrize(
    "meet",
    [lambda events: events.hand_over(0, 0, 20), lambda events: events._set_back(0, 0)],
)
def test_of_a_log_made_anew_nothing_is_learned_while_the_worker_ends(
    meet: Callable[[EventLog], Coroutine[Any, Any, None]],
) -> None:
    """What comes next in it would be taken for what came next in the other."""
    ended: list[BaseException] = []

    async def crash(reason: BaseException) -> None:
        ended.append(reason)

    async def end_offsets(partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 20)

    signal = SimpleNamespace(connect=lambda _: None)
    unused: Any = None
    app: Any = SimpleNamespace(
        on_partitions_assigned=signal, on_partitions_revoked=signal, crash=crash
    )
    consumer: Any = SimpleNamespace(end_offsets=end_offsets)

    async def work() -> None:
        events = EventLog(Settings(), app, unused, unused)
        events.follower._consumer = consumer
        await events.has_come({0: 200})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await meet(events)

    asyncio.run(work())
    (reason,) = ended
    assert isinstance(reason, LogMismatch)
    assert "was made anew" in str(reason)
