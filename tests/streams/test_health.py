"""What is served over HTTP costs little, however often it is asked."""

import time

import pytest
from prometheus_client import CollectorRegistry

from streams import health
from streams.health import HealthServer
from streams.metrics import Metrics
from streams.similar import Similar


async def nothing_is_like_it(_item: str, _n: int) -> Similar | None:
    return None


def test_writing_the_metrics_takes_a_quarter_of_the_time_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, written = 1_000.0, 0

    def write(_registry: CollectorRegistry) -> bytes:
        nonlocal now, written
        now, written = now + 0.004, written + 1
        return b"%d" % written

    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(health, "generate_latest", write)
    server = HealthServer(
        Metrics(), "", 0, live=lambda: None, ready=lambda: None, similar=nothing_is_like_it
    )
    for _ in range(1_000):
        server._latest()
    flooded = written
    assert 0.5 / 0.004 <= flooded < 0.75 / 0.004
    now += 0.02
    server._latest()
    assert written > flooded
