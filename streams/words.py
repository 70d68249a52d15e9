"""Requests in words, answered beside the path of all others.

    1. understand   what is wanted and what is not
    2. encode       the words of all who wait, at once, in the encoder's process
    3. add up       each with what was said before in its session
    4. search       the items nearest to it
    5. rank         these, for this user, in the engine's thread
    6. publish

One after another, in the order they came, so that a session's turns stay in order. Requests without
words, and events, wait for none of this; requests do where so many wait that no more are taken.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence, Set
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import NamedTuple

import numpy as np
import structlog
from mode import Service
from numpy.typing import NDArray

from models.board import LONGEST_LIST
from models.catalogue import ItemFacts
from models.content.conversation import Conversation, Conversations
from models.content.encoder import EncoderUnavailable
from models.content.titles import Titles
from models.content.utterance import Part, Utterance, understood
from models.index import Nearest
from models.ranking import Ranking
from schemas import Rejected, RejectReason, Request
from streams.answers import Answer, Answers
from streams.content import Content
from streams.engine import Engine
from streams.intake import Taken
from streams.metrics import Metrics
from streams.nearest import nearest_shown
from streams.publisher import Outgoing
from streams.replica import Replica
from streams.reranking import Reranking, choice_of_request
from streams.settings import Settings
from streams.transport import ChunkApp

log = structlog.get_logger(__name__)

_AT_ONCE = 16
_MOST_WAITING = 10_000
_MOST_BYTES_WAITING = 64 << 20
"""Of their records. More than either would take too much memory: they wait on the brokers, and
requests without words that come behind them wait there too."""

Vector = NDArray[np.float32]


class _Asked(NamedTuple):
    """done: resolved when the answer, or a dead letter, is on the brokers."""

    taken: Taken[Request]
    done: asyncio.Future[None]


class Words(Service):  # type: ignore[misc]  # mode is untyped
    """Answers requests that have a query. It remembers sessions; a restart forgets them."""

    def __init__(
        self,
        settings: Settings,
        app: ChunkApp,
        content: Content,
        engine: Engine,
        reranking: Reranking,
        answers: Answers,
        metrics: Metrics,
    ) -> None:
        super().__init__()
        self._content, self._engine, self._reranking = content, engine, reranking
        self._answers, self._metrics = answers, metrics
        self._titles = Titles()
        self._conversations = Conversations(60 * settings.conversation_minutes)
        self._waiting: deque[_Asked] = deque()
        self._bytes_waiting = 0
        self._revocations = 0
        self._something_came = asyncio.Event()
        self._room = asyncio.Event()
        self._look_for_room()
        app.on_partitions_revoked.connect(self._on_revoked)

    def told(self, _partition: int, upserts: Sequence[ItemFacts], deletes: Sequence[str]) -> None:
        """Take note of the titles of a change in the catalogue."""
        self._titles.upsert(upserts)
        self._titles.delete(deletes)

    def forget(self, users: Sequence[str]) -> None:
        """Forget what these users said."""
        self._conversations.forget(users)

    def ask(self, taken: Taken[Request]) -> asyncio.Future[None]:
        """Have a request answered; what is returned is resolved when that is on the brokers."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(_Asked(taken, done))
        self._bytes_waiting += len(taken.record.value)
        self._look_for_room()
        self._something_came.set()
        return done

    async def room(self) -> bool:
        """Wait until so few wait that more requests may be taken; whether the partitions of those
        in hand are still ours."""
        revocations = self._revocations
        await self._room.wait()
        return revocations == self._revocations

    def _look_for_room(self) -> None:
        self._metrics.words_waiting.set(len(self._waiting))
        if len(self._waiting) < _MOST_WAITING and self._bytes_waiting < _MOST_BYTES_WAITING:
            self._room.set()
        else:
            self._room.clear()

    async def _on_revoked(self, _app: ChunkApp, revoked: object, **_: object) -> None:
        """What is not committed comes again, to whoever gets the partitions."""
        del revoked
        self._revocations += 1
        self._waiting.clear()
        self._bytes_waiting = 0
        self._look_for_room()

    @Service.task
    async def _answer_all(self) -> None:
        while not self.should_stop:
            self._something_came.clear()
            asked = self._take_some()
            if not asked:
                await self._something_came.wait()
                continue
            try:
                await self._answer_some(asked)
            except Exception as error:
                # Unanswered requests are not committed: a new start gets them again.
                await self.crash(error)
                return
            for each in asked:
                if not each.done.done():
                    each.done.set_result(None)

    def _take_some(self) -> list[_Asked]:
        asked = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
        self._bytes_waiting -= sum(len(each.taken.record.value) for each in asked)
        self._look_for_room()
        return asked

    async def _answer_some(self, asked: Sequence[_Asked]) -> None:
        said = [understood(each.taken.message.query or "", self._titles) for each in asked]
        texts = list(dict.fromkeys(part.text for each in said for part in _parts(each)))
        answers: list[Answer] = []
        dead: list[Outgoing] = []
        try:
            vectors = dict(zip(texts, await self._encode(texts), strict=True))
        except Rejected as fault:
            dead = [self._answers.refused(each.taken, fault) for each in asked]
        else:
            for each, utterance in zip(asked, said, strict=True):
                try:
                    answers.append(await self._answer(each.taken, utterance, vectors))
                except Exception as error:
                    dead.append(self._answers.refused(each.taken, error))
        await self._answers.publish(answers, dead)
        now_ms = time.time() * 1000
        for each in asked:
            waited = max(0.0, (now_ms - each.taken.record.timestamp) / 1000)
            self._metrics.words_answer.observe(waited)
        self._metrics.requests.inc(len(asked))

    async def _encode(self, texts: Sequence[str]) -> Sequence[Vector]:
        """A vector for each text; a process that died, or hung and was ended, is started once more.

        Raises:
            Rejected: there is no encoding now.
        """
        if not texts:
            return []
        fault: Exception | None = None
        for _ in range(2):
            try:
                vectors, _ = await self._content.encoder.encode(texts, [b""] * len(texts))
                return list(vectors)
            except BrokenProcessPool as error:
                fault = error
            except (EncoderUnavailable, OSError) as error:
                fault = error
                break
        self._metrics.failures.labels("encode").inc()
        log.error("words cannot be encoded", error=repr(fault), texts=len(texts))
        raise Rejected(RejectReason.LEARNER_FAILED, f"query: cannot be encoded now: {fault}")

    async def _answer(
        self, taken: Taken[Request], said: Utterance, vectors: dict[str, Vector]
    ) -> Answer:
        request = taken.message
        now = time.time()
        # What somebody said who was erased since is not remembered again.
        session = None if self._answers.was_erased(taken) else request.session_id
        conversation = self._conversations.of(request.user_id, session, time.monotonic())
        if conversation.takes(taken.record.partition, taken.record.offset):
            self._hear(conversation, said, vectors)
        left_out = {*request.exclude, *request.context_items, *conversation.left_out}
        ranking = await self._rank(request, conversation, left_out, now)
        conversation.listed = tuple(item.item_id for item in ranking.items)
        version = await self._engine.run(lambda replica: replica.recommender.version)
        return self._answers.answer(taken, ranking, version)

    def _hear(
        self, conversation: Conversation, said: Utterance, vectors: dict[str, Vector]
    ) -> None:
        """Take one turn into the conversation."""

        def vector_of(part: Part) -> Vector | None:
            """The mean of what the part names: its words, items, and what was listed last."""
            found = [vectors[part.text]] if part.text else []
            likeness = self._content.likeness
            for items in (part.items, conversation.listed if part.that else ()):
                if items and likeness is not None:
                    mean = likeness.vectors(items).mean(axis=0)
                    length = np.linalg.norm(mean)
                    found += [mean / length] if length > 0 else []
            return np.mean(found, axis=0, dtype=np.float32) if found else None

        unwanted = [
            (vector, part.weight)
            for part in said.unwanted
            if (vector := vector_of(part)) is not None
        ]
        conversation.hear(vector_of(said.wanted), unwanted, said.wanted.said)
        conversation.leave_out(said.examples)
        if any(part.that for part in said.unwanted):
            conversation.leave_out(conversation.listed)

    async def _rank(
        self, request: Request, conversation: Conversation, left_out: Set[str], now: float
    ) -> Ranking:
        likeness, reranking = self._content.likeness, self._reranking
        if likeness is None:
            return await self._engine.run(
                lambda replica: reranking.answer(replica.recommender, request, now)
            )
        query, only = conversation.query(likeness.mean), choice_of_request(request)
        words, usual = ", ".join(reversed(conversation.words)), float(query @ likeness.mean)

        def rank(replica: Replica, near: Nearest) -> Ranking:
            with self._metrics.timed("answer"):
                return reranking.answer_near(replica.recommender, request, near, words, usual, now)

        if conversation.wanted is None:
            # Nothing to look for: of what the engine would answer, what was not refused.
            def names(replica: Replica) -> list[str]:
                return [
                    item.item_id
                    for item in replica.recommender.answer(
                        request.user_id, now, LONGEST_LIST, only=only, exclude=[*left_out]
                    ).items
                ]

            found = await self._engine.run(names)
            cosines = (likeness.vectors(found) @ query).tolist()
            near = list(zip(found, cosines, strict=True))
            return await self._engine.run(partial(rank, near=near))

        near = await nearest_shown(
            self._engine, likeness, query, request.user_id, only=only, exclude=left_out
        )
        return await self._engine.run(partial(rank, near=near))


def _parts(said: Utterance) -> Iterator[Part]:
    """Those with words to encode."""
    return (part for part in (said.wanted, *said.unwanted) if part.text)
