"""What a supervisor is told of a worker."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from structlog.testing import capture_logs

from streams.metrics import Metrics
from streams.settings import Settings
from streams.transport import Chunk, Fetched
from streams.watch import Watch


def chunk(first: int, last: int) -> Chunk:
    records: Any = [SimpleNamespace(offset=offset) for offset in range(first, last + 1)]
    return Chunk(records, topic="events", partition=0, high_watermark=10, received_at=0.0)


def test_no_lag_is_left_where_chunks_are_finished_in_another_order() -> None:
    signal = SimpleNamespace(connect=lambda _: None)
    consumer = SimpleNamespace(assignment=lambda: {TP("events", 0)}, highwater=lambda _: 10)
    app: Any = SimpleNamespace(
        on_partitions_assigned=signal, on_partitions_revoked=signal, consumer=consumer
    )
    unused: Any = None
    metrics = Metrics()
    watch = Watch(Settings(), app, unused, {}, metrics)

    def lag() -> float | None:
        watch._measure_lag()
        labels = {"topic": "events", "partition": "0"}
        return metrics.registry.get_sample_value("freshet_lag_records", labels)

    async def work() -> None:
        await watch._on_assigned(app, set())
        with watch.working_on(Fetched([chunk(0, 3)])):
            with watch.working_on(Fetched([chunk(4, 8)])):
                pass
            assert lag() == 1
            with watch.working_on(Fetched([chunk(9, 9)])):
                pass
        assert lag() == 0

    asyncio.run(work())


def test_that_a_worker_is_ready_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.watch._BEGAN", time.monotonic() - 7)
    signal = SimpleNamespace(connect=lambda _: None)
    consumer = SimpleNamespace(assignment=lambda: {TP("events", 0), TP("items", 0)})
    app: Any = SimpleNamespace(
        on_partitions_assigned=signal, on_partitions_revoked=signal, consumer=consumer
    )
    unused: Any = None
    watch = Watch(Settings(), app, unused, {}, Metrics())

    async def work() -> list[Any]:
        with capture_logs() as told:
            await watch._on_assigned(app, set())
            watch._tell_once_ready()
            assert [each["event"] for each in told] == ["partitions assigned"]
            watch._broker_answers = True
            for _ in range(2):
                watch._tell_once_ready()
        return told[1:]

    (ready,) = asyncio.run(work())
    assert (ready["event"], ready["log_level"], ready["partitions"]) == ("ready", "info", 2)
    assert 7 <= ready["seconds"] < 60
