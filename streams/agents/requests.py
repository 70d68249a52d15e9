"""The path of a request: decode → answer → publish."""

from __future__ import annotations

import time

import structlog

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

log = structlog.get_logger(__name__)

_NO_WORDS = Rejected(
    RejectReason.INVALID,
    "query: needs the encoder, which this worker does not have; leave the query out",
)


class RequestPath:
    """Answers every request, in order."""

    def __init__(
        self,
        settings: Settings,
        intake: Intake,
        engine: Engine,
        reranking: Reranking,
        erased: Erased,
        publisher: Publisher,
        metrics: Metrics,
    ) -> None:
        self._settings, self._intake, self._engine = settings, intake, engine
        self._reranking, self._erased = reranking, erased
        self._publisher, self._metrics = publisher, metrics

    async def process(self, chunk: Chunk) -> None:
        """Take one chunk of one partition; on return every answer is on the brokers."""
        now_ms = int(time.time() * 1000)
        taken, dead = self._intake.take(chunk.records, decode_request, now_ms)
        answers: list[tuple[Taken[Request], Outgoing]] = []
        for asked in taken:
            if asked.message.query:
                dead.append(self._intake.reject(asked.record, _NO_WORDS, now_ms))
                continue
            try:
                answers.append((asked, await self._answer(asked, now_ms / 1000)))
            except Exception as error:
                log.exception("answering failed", request=asked.message.request_id)
                self._metrics.failures.labels("answer").inc()
                fault = Rejected(RejectReason.LEARNER_FAILED, repr(error))
                dead.append(self._intake.reject(asked.record, fault, now_ms))
        async with self._publisher.one_at_a_time:
            outgoing = [answer for asked, answer in answers if not self._was_erased(asked)]
            if outgoing:
                await self._publisher.publish(self._settings.topic("recommendations"), outgoing)
            if dead:
                await self._publisher.publish(self._settings.topic("dead-letters"), dead)
        published_ms = time.time() * 1000
        for record, _ in taken:
            self._metrics.answer.observe(max(0.0, (published_ms - record.timestamp) / 1000))
        self._metrics.requests.inc(len(taken))
        self._metrics.recommendations.labels("request").inc(len(outgoing))

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
