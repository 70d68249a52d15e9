"""`freshet doctor`: is everything here that a worker needs, and does it work together?"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from models import compiled
from streams.broker import BrokerError, advice, jars
from streams.kafka import admin_client, client_options
from streams.settings import Settings, SettingsError
from streams.topics import TopicError, dated_ahead, ensure_topics

Verdict = Literal["ok", "warning", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    what: str
    verdict: Verdict
    detail: str


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at one thing after another; later ones need the earlier."""
    ours, python = version("freshet-recommender"), platform.python_version()
    yield Finding("freshet", "ok", f"{ours} on Python {python}")
    yield _python()
    yield from (
        _folder("cache folder", settings.cache_dir),
        _folder("data folder", settings.data_dir),
    )
    yield _jars(settings)
    yield _compiled()
    broker = _asked("broker", lambda: _broker(settings))
    yield broker
    if broker.verdict != "fault":
        topics = _asked("topics", lambda: _topics(settings))
        yield topics
        if topics.verdict != "fault":
            yield _asked("lag", lambda: _lag(settings))
    yield _worker(settings)


def _python() -> Finding:
    good = sys.version_info >= (3, 11)
    return Finding(
        "python", "ok" if good else "fault", "recent enough" if good else "3.11 or newer is needed"
    )


def _folder(what: str, path: Path) -> Finding:
    existing = path
    try:
        while not existing.exists():
            existing = existing.parent
        usable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
        there = "" if path.exists() else " (not there yet; made when it is needed)"
    except OSError:  # there is no looking into it
        usable = False
    if not usable:
        return Finding(
            what,
            "fault",
            f"{path} cannot be written; change its rights or choose another with "
            f"FRESHET_{what.split()[0].upper()}_DIR",
        )
    return Finding(what, "ok", f"{path}{there}")


def _jars(settings: Settings) -> Finding:
    try:
        found = jars(settings.cache_dir)
    except BrokerError as error:
        return Finding("embedded broker", "warning", str(error))
    return Finding("embedded broker", "ok", f"{len(found)} jars")


def _compiled() -> Finding:
    if compiled.is_compiled():
        return Finding("machine code", "ok", "built")
    return Finding("machine code", "warning", "not built yet; `freshet setup` builds it ahead")


def _asked(what: str, ask: Callable[[], Coroutine[None, None, Finding]]) -> Finding:
    """A finding that needs the broker; whatever goes wrong there is the finding."""
    try:
        return asyncio.run(_within(15, ask()))
    except (TimeoutError, OSError, KafkaError, SettingsError, TopicError) as error:
        return Finding(what, "fault", str(error) or type(error).__name__)


async def _within(seconds: float, asked: Coroutine[None, None, Finding]) -> Finding:
    async with asyncio.timeout(seconds):
        return await asked


async def _broker(settings: Settings) -> Finding:
    try:
        async with admin_client(settings, request_timeout_ms=5000) as admin:
            cluster = await admin.describe_cluster()
    except KafkaError as error:
        return Finding(
            "broker",
            "fault",
            f"no broker answers at {settings.bootstrap_servers} ({type(error).__name__}); "
            f"{advice(settings.bootstrap_servers)} or set FRESHET_BOOTSTRAP_SERVERS",
        )
    return Finding("broker", "ok", f"{len(cluster['brokers'])} at {settings.bootstrap_servers}")


async def _topics(settings: Settings) -> Finding:
    look_only = settings.model_copy(update={"create_topics": False})
    states = await ensure_topics(look_only)
    if warning := dated_ahead(states):
        return Finding("topics", "warning", warning)
    return Finding("topics", "ok", ", ".join(state.topic.name for state in states))


async def _lag(settings: Settings) -> Finding:
    """How far the group's committed offsets trail the end of `events`."""
    topic = settings.topic("events")
    consumer = AIOKafkaConsumer(
        **client_options(settings), group_id=settings.app_id, enable_auto_commit=False
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, p) for p in range(settings.partitions)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        starts = await consumer.beginning_offsets(partitions)
        committed = {tp: await consumer.committed(tp) for tp in partitions}
    finally:
        await consumer.stop()
    return _told_lag(settings.app_id, starts, ends, committed)


def _told_lag(
    group: str,
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    committed: Mapping[TopicPartition, int | None],
) -> Finding:
    read = {tp: starts[tp] if offset is None else offset for tp, offset in committed.items()}
    behind = sum(ends[tp] - offset for tp, offset in read.items())
    if behind and all(offset is None for offset in committed.values()):
        return Finding(
            "lag",
            "warning",
            f"consumer group {group} has committed nothing, and {behind:,} events wait; start a "
            "worker, or name its group with FRESHET_APP_ID",
        )
    return Finding("lag", "ok", f"{behind:,} events not yet learned from")


def _worker(settings: Settings) -> Finding:
    url = f"http://127.0.0.1:{settings.http_port}/readyz"
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:
            return Finding("worker", "ok", f"ready at {url}: {answer.read().decode().strip()}")
    except urllib.error.HTTPError as error:
        return Finding("worker", "warning", f"not ready: {error.read().decode().strip()}")
    except OSError:
        return Finding("worker", "warning", f"none on this machine at {url}")
