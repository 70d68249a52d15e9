"""What is served over HTTP costs little, however often it is asked, and whoever connects."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import pytest
import uvloop
from prometheus_client import CollectorRegistry

from streams import health
from streams.health import HealthServer, ToldOfUsers
from streams.metrics import Metrics
from streams.similar import AlikeUsers, Similar


async def nothing_is_like_it(_item: str, _n: int) -> Similar | None:
    return None


async def nobody_is_like_them(user: str, _n: int) -> AlikeUsers | None:
    return AlikeUsers(user, []) if user == "hermit" else None


def health_server(host: str = "127.0.0.1", told_of_users: ToldOfUsers = "local") -> HealthServer:
    return HealthServer(
        Metrics(),
        host,
        0,
        live=lambda: None,
        ready=lambda: None,
        similar=nothing_is_like_it,
        alike=nobody_is_like_them,
        told_of_users=told_of_users,
    )


def served(
    work: Callable[[int], Awaitable[object]],
    host: str = "127.0.0.1",
    told_of_users: ToldOfUsers = "local",
) -> None:
    """Do `work` with the port of a server."""

    async def serve() -> None:
        server = health_server(host, told_of_users)
        await server.on_start()
        await work(int(server.url.rsplit(":", 1)[1]))
        await server.on_stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


async def answer(port: int, request: bytes, of: str = "127.0.0.1") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(of, 0))
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


def asked(query: str) -> bytes:
    return f"GET /similar?{query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("told_of_users", "here", "elsewhere"),
    [("local", b"200", b"403"), ("on", b"200", b"200"), ("off", b"403", b"403")],
)
def test_who_is_alike_is_told_to_whom_the_settings_say(
    told_of_users: ToldOfUsers, here: bytes, elsewhere: bytes
) -> None:
    async def work(port: int) -> None:
        for of, status in (("127.0.0.1", here), ("127.0.0.2", elsewhere)):
            said = await answer(port, asked("user=hermit"), of)
            assert said.startswith(b"HTTP/1.1 " + status)
            assert (b"FRESHET_SIMILAR_USERS" in said) == (status == b"403")
            assert (await answer(port, asked("item=tea"), of)).startswith(b"HTTP/1.1 404")

    served(work, "0.0.0.0", told_of_users)


@pytest.mark.parametrize("name", ["Forwarded", "X-Forwarded-For", "x-real-ip", "Via"])
def test_who_asks_through_a_proxy_is_not_here(name: str) -> None:
    async def work(port: int) -> None:
        through = asked("user=hermit").replace(b"Host: a", f"Host: a\r\n{name}: 8.8.8.8".encode())
        assert (await answer(port, through)).startswith(b"HTTP/1.1 403")
        assert (await answer(port, asked("user=hermit"))).startswith(b"HTTP/1.1 200")

    served(work)


@pytest.mark.parametrize(
    "query", ["", "user=", "user=ann&item=tea", "user=ann&n=0", "user=ann&n=x"]
)
def test_what_may_be_asked_is_said(query: str) -> None:
    async def work(port: int) -> None:
        said = await answer(port, asked(query))
        assert said.startswith(b"HTTP/1.1 400")
        assert b"/similar?user=USER&n=1..100" in said

    served(work)


def test_of_a_user_nobody_knows_it_is_said_so() -> None:
    async def work(port: int) -> None:
        said = await answer(port, asked("user=%7Bx%7D"))
        assert said.startswith(b"HTTP/1.1 404")
        assert b"nothing is known of what the user '{x}' likes" in said

    served(work)


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
