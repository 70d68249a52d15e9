"""`/metrics` for Prometheus, `/livez` and `/readyz` for whoever supervises the worker, and
`/similar` for who wonders what an item is like, or who is like a user."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec
import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError
from mode import Service
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streams.metrics import Metrics
from streams.similar import MOST, AlikeUsers, Busy, Similar

log = structlog.get_logger(__name__)

#: Of the event loop's time that writing metrics may take, and seconds of it that may be taken at
#: once, where nobody asked for a while. Writing them is some milliseconds.
_WRITING_SHARE, _WRITING_SECONDS = 0.25, 0.5

#: Connections at once, and seconds after which one that asks nothing is closed.
_CONNECTIONS, _IDLE_SECONDS = 64, 60.0

#: None when all is well, else one sentence about what is missing.
Check = Callable[[], str | None]
#: The neighbourhoods of an item, so many of each; None for an item never heard of. Raises Busy.
Look = Callable[[str, int], Awaitable[Similar | None]]
#: So many users like this one; None for one of whom nothing is known. Raises Busy.
LookAtUser = Callable[[str, int], Awaitable[AlikeUsers | None]]
#: Who is told of users: whoever asks from this machine, whoever asks, nobody.
ToldOfUsers = Literal["local", "on", "off"]


class HealthServer(Service):  # type: ignore[misc]  # mode is untyped
    """Serves these over HTTP from before the first partition is assigned until the end."""

    def __init__(
        self,
        metrics: Metrics,
        host: str,
        port: int,
        *,
        live: Check,
        ready: Check,
        similar: Look,
        alike: LookAtUser,
        told_of_users: ToldOfUsers,
    ) -> None:
        super().__init__()
        self._metrics = metrics
        self._host, self._port = host, port
        self._live, self._ready = live, ready
        self._similar, self._alike, self._told_of_users = similar, alike, told_of_users
        self._runner: web.AppRunner | None = None
        self._listening: asyncio.Server | None = None
        self._shown = b""
        self._may_write_for, self._since = _WRITING_SECONDS, time.monotonic()

    async def on_start(self) -> None:
        site = web.Application()
        site.router.add_get("/metrics", self._serve_metrics)
        site.router.add_get("/livez", self._serve_live)
        site.router.add_get("/readyz", self._serve_ready)
        site.router.add_get("/similar", self._serve_similar)
        self._runner = web.AppRunner(site, access_log=None, keepalive_timeout=_IDLE_SECONDS)
        await self._runner.setup()
        logging.getLogger("aiohttp.server").addFilter(_is_no_bad_request)
        try:
            self._listening = await asyncio.get_running_loop().create_server(
                self._admit, self._host, self._port
            )
        except OSError as error:
            raise SystemExit(
                f"cannot serve metrics on {self._host}:{self._port} ({error.strerror}); choose "
                "another with FRESHET_HTTP_HOST and FRESHET_HTTP_PORT (0 takes a free port)"
            ) from None
        log.info("serving metrics", url=f"{self.url}/metrics")

    @property
    def url(self) -> str:
        """Where it serves, once it does."""
        assert self._listening is not None
        host, port = self._listening.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    async def on_stop(self) -> None:
        if self._listening is not None:
            self._listening.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def _admit(self) -> web.RequestHandler:
        """What handles a new connection. Where there are many, the oldest go: one that asks has
        its answer within milliseconds, and who asks nothing must not keep others out, nor take the
        handles that files and brokers need."""
        assert self._runner is not None
        assert self._runner.server is not None
        connections = self._runner.server.connections
        for connection in connections[: max(0, len(connections) + 1 - _CONNECTIONS)]:
            if connection.transport is not None:
                connection.transport.abort()
        return self._runner.server()

    async def _serve_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _latest(self) -> bytes:
        """What the metrics are, written anew for at most a part of the time, however often asked:
        the events wait meanwhile."""
        began = time.monotonic()
        earned = (began - self._since) * _WRITING_SHARE
        self._may_write_for = min(self._may_write_for + earned, _WRITING_SECONDS)
        self._since = began
        if self._may_write_for > 0:
            self._metrics.ready.set(self._ready() is None)
            self._shown = generate_latest(self._metrics.registry)
            self._may_write_for -= time.monotonic() - began
        return self._shown

    async def _serve_live(self, _: web.Request) -> web.Response:
        return _answer(self._live())

    async def _serve_ready(self, _: web.Request) -> web.Response:
        return _answer(self._ready())

    async def _serve_similar(self, request: web.Request) -> web.Response:
        asked, n = request.query, request.query.get("n", "10")
        item, user = asked.get("item", ""), asked.get("user", "")
        right = n.isdecimal() and len(n) <= len(str(MOST)) and 1 <= int(n) <= MOST
        if not right or bool(item) == bool(user):
            return web.Response(
                text=f"ask /similar?item=ITEM&n=1..{MOST} or /similar?user=USER&n=1..{MOST}\n",
                status=400,
            )
        if user and not self._tells_of_users(request):
            return web.Response(text=_NOT_TOLD[self._told_of_users], status=403)
        found: Similar | AlikeUsers | None
        try:
            if item:
                found, unknown = await self._similar(item, int(n)), _NO_ITEM
            else:
                found, unknown = await self._alike(user, int(n)), _NO_USER
        except Busy as error:
            return web.Response(text=f"{error}\n", status=429)
        if found is None:
            return web.Response(text=unknown.format(item or user), status=404)
        return web.Response(body=msgspec.json.encode(found), content_type="application/json")

    def _tells_of_users(self, request: web.Request) -> bool:
        """Who asks from the same machine has the address that is asked, and so has a proxy there,
        whoever asks through it."""
        if self._told_of_users == "local" and (transport := request.transport) is not None:
            if any(name in request.headers for name in _OF_PROXIES):
                return False
            here, there = map(transport.get_extra_info, ("sockname", "peername"))
            return bool(here[0] == there[0])
        return self._told_of_users == "on"


#: What proxies say, of whom they ask for or of themselves.
_OF_PROXIES = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")

_NO_ITEM = "nothing is known of the item {!r}\n"
_NO_USER = (
    "nothing is known of what the user {!r} likes: they took nothing yet that others took as well, "
    "or were forgotten, or engine.embeddings is off\n"
)
_NOT_TOLD = {
    "local": "who is like whom is told on the worker's own machine alone; ask there, or set "
    "FRESHET_SIMILAR_USERS=on\n",
    "off": "who is like whom is not told: FRESHET_SIMILAR_USERS=off\n",
}


def _answer(fault: str | None) -> web.Response:
    return web.Response(text=(fault or "ok") + "\n", status=200 if fault is None else 503)


def _is_no_bad_request(record: logging.LogRecord) -> bool:
    """What is no HTTP is answered with 400, and nothing that an operator need read of."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        log.debug("a request cannot be read", error=str(error))
        return False
    return True
