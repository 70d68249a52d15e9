"""Requests in words where more come than can be answered soon: they wait, and hold up no others
before memory does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from time import monotonic
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from aiokafka import ConsumerRecord

from schemas import Request
from streams.agents.requests import RequestPath
from streams.answers import Answer
from streams.app import _attach
from streams.intake import Intake, Taken
from streams.metrics import Metrics
from streams.settings import Settings
from streams.transport import Chunk, Fetched
from streams.watch import Watch
from streams.words import Words


class Published:
    """Stands for `Answers`. ids: of the requests answered, in order."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def answer(self, asked: Taken[Request], _ranking: object, _version: str) -> Answer:
        published: Any = None
        return Answer(asked, published)

    def refused(self, asked: Taken[Request], why: Exception) -> None:
        raise AssertionError(f"{asked.message.request_id} became a dead letter") from why

    def was_erased(self, _asked: Taken[Request]) -> bool:
        return False

    async def publish(self, answers: Sequence[Answer], _dead: Sequence[object]) -> None:
        self.ids += [answer.asked.message.request_id for answer in answers]


class Worker:
    """The paths of requests, without brokers. Made on the event loop, as a worker's parts are.

    encoder, engine: cleared, these do not go on
    """

    def __init__(self) -> None:
        settings, metrics = Settings(), Metrics()
        self.encoder, self.engine, self.published = asyncio.Event(), asyncio.Event(), Published()
        self.engine.set()
        self._agent: Callable[[AsyncIterator[Fetched]], Awaitable[None]] | None = None
        unconnected = SimpleNamespace(connect=lambda _: None)
        app: Any = SimpleNamespace(
            on_partitions_assigned=unconnected,
            on_partitions_revoked=unconnected,
            chunk_topic=lambda *_, **__: None,
            agent=lambda *_, **__: lambda agent: setattr(self, "_agent", agent),
        )

        async def encode(texts: Sequence[str], _images: object) -> tuple[object, list[int]]:
            await self.encoder.wait()
            return np.zeros((len(texts), 2), np.float32), []

        replica = SimpleNamespace(recommender=SimpleNamespace(version="1"))

        async def run(work: Callable[[object], object]) -> object:
            await self.engine.wait()
            return work(replica)

        content: Any = SimpleNamespace(likeness=None, encoder=SimpleNamespace(encode=encode))
        engine: Any = SimpleNamespace(run=run)
        reranking: Any = SimpleNamespace(answer=lambda *_: SimpleNamespace(items=()))
        answers: Any = self.published
        self.words = Words(settings, app, content, engine, reranking, answers, metrics)
        self.watch = Watch(settings, app, engine, {}, metrics)
        intake = Intake(1000, metrics)
        self.path = RequestPath(intake, engine, reranking, answers, metrics, self.words)
        _attach(app, "requests", self.path.process, self.watch, room=self.words.room)

    async def serve(self, fetches: Sequence[Fetched]) -> None:
        """Take these, one after another; ends when all are taken."""

        async def stream() -> AsyncIterator[Fetched]:
            for fetched in fetches:
                yield fetched
                await rest()

        assert self._agent is not None
        await self._agent(stream())

    def start(self) -> asyncio.Task[None]:
        """The answering of requests in words."""
        answer_all: Any = Words._answer_all
        return asyncio.create_task(answer_all.fun(self.words))


def fetched(offset: int, **queries: str | None) -> Fetched:
    """Requests by their ids."""
    records = []
    for request_id, query in queries.items():
        asked = {"user_id": "ann", "request_id": request_id, "session_id": "s", "query": query}
        value = json.dumps(asked).encode()
        now_ms = int(time.time() * 1000)
        records.append(
            ConsumerRecord("requests", 0, offset, now_ms, 0, b"ann", value, None, 0, 0, ())
        )
    return Fetched(
        [Chunk(records, topic="requests", partition=0, high_watermark=99, received_at=0.0)]
    )


async def rest() -> None:
    """Let everybody go on who can."""
    for _ in range(100):
        await asyncio.sleep(0)


def test_what_is_too_much_waits_on_the_brokers_and_is_no_stall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streams.words._MOST_WAITING", 3)
    later = 0.0
    monkeypatch.setattr("streams.watch.monotonic", lambda: monotonic() + later)

    async def work() -> None:
        nonlocal later
        worker = Worker()
        answering = worker.start()
        fetches = [fetched(n, **{f"plain{n}": None, f"words{n}": "a film"}) for n in range(6)]
        # The first is with the encoder, and three wait.
        serving = asyncio.create_task(worker.serve(fetches))
        for _ in fetches:
            await rest()
        assert worker.published.ids == ["plain0", "plain1", "plain2", "plain3"]
        later = 1000.0
        assert worker.watch.live() is None
        assert not any(each.chunks[0].acked for each in fetches)
        # Of what was taken, no more is held than has to be.
        assert [len(each.records) for each in fetches] == [1, 1, 1, 1, 2, 2]

        worker.encoder.set()
        await serving
        await rest()
        assert sorted(worker.published.ids) == sorted(
            f"{what}{n}" for what in ("plain", "words") for n in range(6)
        )
        assert all(each.chunks[0].acked for each in fetches)
        answering.cancel()

    asyncio.run(work())


def test_few_large_requests_are_too_much_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.words._MOST_BYTES_WAITING", 2000)

    async def work() -> None:
        worker = Worker()
        for n in range(2):
            assert worker.words._room.is_set()
            await worker.path.process(fetched(n, **{f"words{n}": "a film " * 150}))
        assert not worker.words._room.is_set()
        worker.encoder.set()
        answering = worker.start()
        await worker.words.room()
        answering.cancel()

    asyncio.run(work())


def test_what_waits_is_left_to_who_gets_the_partitions() -> None:
    async def work() -> None:
        worker = Worker()
        answering = worker.start()
        await worker.path.process(fetched(0, words0="a film"))
        await rest()
        await worker.path.process(fetched(1, words1="another"))
        revoked: Any = None
        await worker.words._on_revoked(revoked, revoked)
        await worker.path.process(fetched(1, again="another"))
        worker.encoder.set()
        await rest()
        assert worker.published.ids == ["words0", "again"]
        answering.cancel()

    asyncio.run(work())


def test_what_waits_for_room_is_left_to_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken, it would be answered before what came before it, which comes again."""
    monkeypatch.setattr("streams.words._MOST_WAITING", 1)

    async def work() -> None:
        worker = Worker()
        answering = worker.start()
        fetches = [fetched(n, **{f"words{n}": "a film"}) for n in range(3)]
        serving = asyncio.create_task(worker.serve(fetches))
        await asyncio.sleep(0.1)  # the first is with the encoder, one waits, one waits for room
        revoked: Any = None
        await worker.words._on_revoked(revoked, revoked)
        worker.encoder.set()
        await serving
        await rest()
        assert worker.published.ids == ["words0"]
        answering.cancel()

    asyncio.run(work())


def test_turns_stay_in_order_where_requests_without_words_are_slow() -> None:
    async def work() -> None:
        worker = Worker()
        worker.encoder.set()
        worker.engine.clear()
        fetches = [fetched(0, plain=None, first="a film"), fetched(1, second="not sad")]
        serving = asyncio.create_task(worker.serve(fetches))
        await rest()
        worker.engine.set()
        answering = worker.start()
        await serving
        await rest()
        assert [each for each in worker.published.ids if each != "plain"] == ["first", "second"]
        answering.cancel()

    asyncio.run(work())


def test_a_turn_that_comes_again_is_answered_again_and_heard_once() -> None:
    async def ask() -> tuple[list[str], int]:
        worker = Worker()
        worker.encoder.set()
        answering = worker.start()
        turns = [fetched(7, first="without war"), fetched(8, second="without horror")]
        await worker.serve([*turns, *turns])
        while len(worker.published.ids) < 4:
            await rest()
        answering.cancel()
        conversation = worker.words._conversations.of("ann", "s", monotonic())
        return worker.published.ids, len(conversation.unwanted)

    assert asyncio.run(ask()) == (["first", "second", "first", "second"], 2)
