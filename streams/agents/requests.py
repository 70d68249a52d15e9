"""The path of a request: decode → answer → publish."""

from __future__ import annotations

import asyncio
import time

import structlog

from models.content.text import plain
from models.ranking import Ranking
from schemas import Cause, Rejected, RejectReason, Request, decode_request, encode
from streams.answers import recommendation
from streams.engine import Engine
from streams.erased import Erased
from streams.intake import Intake, Taken
from streams.metrics import Metrics
from streams.publisher import Outgoing, Publisher
from streams.replica import Replica
from streams.reranking import Reranking
from streams.settings import Settings
from streams.transport import Chunk
from streams.words import Words

log = structlog.get_logger(__name__)

_NO_WORDS = Rejected(
    RejectReason.INVALID,
    "query: needs the encoder, which this worker does not have; leave the query out",
)


class RequestPath:
    """Answers every request in order; those in words, which take longer, beside the others.

    words: answers these; None where there is no encoder.
    """

    def __init__(
        self,
        settings: Settings,
        intake: Intake,
        engine: Engine,
        reranking: Reranking,
        erased: Erased,
        publisher: Publisher,
        metrics: Metrics,
        words: Words | None,
    ) -> None:
        self._settings, self._intake, self._engine = settings, intake, engine
        self._reranking, self._erased = reranking, erased
        self._publisher, self._metrics, self._words = publisher, metrics, words

    async def process(self, chunk: Chunk) -> asyncio.Future[list[None]] | None:
        """Take one chunk of one partition; on return every answer is on the brokers, but those in
        words: what is returned is resolved when these are."""
        now_ms = int(time.time() * 1000)
        taken, dead = self._intake.take(chunk.records, decode_request, now_ms)
        answers: list[tuple[Taken[Request], Outgoing]] = []
        in_words: list[asyncio.Future[None]] = []
        for asked in taken:
            try:
                if plain(asked.message.query or ""):
                    in_words.append(self._ask_in_words(asked))
                else:
                    answers.append((asked, await self._answer(asked, now_ms / 1000)))
            except Rejected as fault:
                dead.append(self._intake.reject(asked.record, fault, now_ms))
            except Exception as error:
                log.exception("answering failed", request=asked.message.request_id)
                self._metrics.failures.labels("answer").inc()
                failed = Rejected(RejectReason.LEARNER_FAILED, repr(error))
                dead.append(self._intake.reject(asked.record, failed, now_ms))
        async with self._publisher.one_at_a_time:
            outgoing = [answer for asked, answer in answers if not self._was_erased(asked)]
            if outgoing:
                await self._publisher.publish(self._settings.topic("recommendations"), outgoing)
            if dead:
                await self._publisher.publish(self._settings.topic("dead-letters"), dead)
        published_ms = time.time() * 1000
        for (record, _), _ in answers:
            self._metrics.answer.observe(max(0.0, (published_ms - record.timestamp) / 1000))
        self._metrics.requests.inc(len(taken) - len(in_words))
        self._metrics.recommendations.labels("request").inc(len(outgoing))
        return asyncio.gather(*in_words) if in_words else None

    def _ask_in_words(self, asked: Taken[Request]) -> asyncio.Future[None]:
        if self._words is None:
            raise _NO_WORDS
        return self._words.ask(asked)

    def _was_erased(self, asked: Taken[Request]) -> bool:
        return self._erased.covers(asked.message.user_id, asked.record.timestamp)

    async def _answer(self, asked: Taken[Request], now: float) -> Outgoing:
        record, request = asked

        def work(replica: Replica) -> tuple[Ranking, str]:
            recommender = replica.recommender
            with self._metrics.timed("answer"):
                ranking = self._reranking.answer(recommender, request, now)
            return ranking, recommender.version

        ranking, version = await self._engine.run(work)
        message = recommendation(
            ranking,
            cause=Cause(
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                request_id=request.request_id,
            ),
            model_version=version,
        )
        return Outgoing(request.user_id.encode(), encode(message))
