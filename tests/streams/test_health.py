"""What is served over HTTP costs little, however often it is asked, and whoever connects."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import pytest
import uvloop
from prometheus_client import CollectorRegistry

from streams import health
from streams.health import HealthServer
from streams.metrics import Metrics
from streams.similar import Similar


async def nothing_is_like_it(_item: str, _n: int) -> Similar | None:
    return None


def health_server() -> HealthServer:
    return HealthServer(
        Metrics(), "127.0.0.1", 0, live=lambda: None, ready=lambda: None, similar=nothing_is_like_it
    )


def served(work: Callable[[int], Awaitable[object]]) -> None:
    """Do `work` with the port of a server."""

    async def serve() -> None:
        server = health_server()
        await server.on_start()
        await work(int(server.url.rsplit(":", 1)[1]))
        await server.on_stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


async def answer(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    said = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return said


LIVEZ = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def test_who_connects_and_asks_nothing_keeps_nobody_out_and_takes_few_handles() -> None:
    async def work(port: int) -> None:
        idle = []
        for n in range(200):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /livez HTT" * (n % 2))
            idle.append((reader, writer))
        assert (await answer(port, LIVEZ)).startswith(b"HTTP/1.1 200 OK")
        await asyncio.sleep(0.1)
        kept = [reader for reader, _ in idle if not reader.at_eof() and not reader.exception()]
        assert len(kept) < health._CONNECTIONS
        for _, writer in idle:
            writer.close()

    served(work)


def test_an_idle_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_IDLE_SECONDS", 0.1)

    async def work(port: int) -> None:
        assert await answer(port, b"") == b""
        assert (await answer(port, b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")).endswith(b"ok\n")

    served(work)


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/9.9.9\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
        b"GET //[/livez HTTP/1.1\r\n\r\n",
        b"GET /%ff%00?item=%ff HTTP/1.1\r\nConnection: close\r\n\r\n",
    ],
)
def test_a_bad_request_is_answered_and_leaves_no_traceback(
    request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(port: int) -> None:
        assert (await answer(port, request_)).startswith((b"HTTP/1.1 40", b"HTTP/1.0 40"))
        assert (await answer(port, LIVEZ)).startswith(b"HTTP/1.1 200 OK")

    with caplog.at_level(logging.INFO):
        served(work)
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


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
    server = health_server()
    for _ in range(1_000):
        server._latest()
    flooded = written
    assert 0.5 / 0.004 <= flooded < 0.75 / 0.004
    now += 0.02
    server._latest()
    assert written > flooded
