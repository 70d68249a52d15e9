"""The path of a request: decode → answer → publish."""

from __future__ import annotations

import asyncio
import time

from models.content.text import plain
from models.ranking import Ranking
from schemas import Rejected, RejectReason, Request, decode_request
from streams.answers import Answer, Answers
from streams.engine import Engine
from streams.intake import Intake, Taken
from streams.metrics import Metrics
from streams.replica import Replica
from streams.reranking import Reranking
from streams.transport import Fetched
from streams.words import Words

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
        intake: Intake,
        engine: Engine,
        reranking: Reranking,
        answers: Answers,
        metrics: Metrics,
        words: Words | None,
    ) -> None:
        self._intake, self._engine, self._reranking = intake, engine, reranking
        self._answers, self._metrics, self._words = answers, metrics, words

    async def process(self, fetched: Fetched) -> asyncio.Future[list[None]] | None:
        """Take what was fetched; on return every answer is on the brokers, but those in
        words: what is returned is resolved when these are."""
        now_ms = int(time.time() * 1000)
        taken, dead = self._intake.take(fetched.records, decode_request, now_ms)
        answers: list[Answer] = []
        in_words: list[asyncio.Future[None]] = []
        without: list[Taken[Request]] = []
        # Before anything is waited for, as a session's next turn may come with the next fetch.
        for asked in taken:
            if not plain(asked.message.query or ""):
                without.append(asked)
            elif self._words is None:
                dead.append(self._answers.refused(asked, _NO_WORDS))
            else:
                in_words.append(self._words.ask(asked))
        for asked in without:
            try:
                answers.append(await self._answer(asked, now_ms / 1000))
            except Exception as error:
                dead.append(self._answers.refused(asked, error))
        await self._answers.publish(answers, dead)
        published_ms = time.time() * 1000
        for (record, _), _ in answers:
            self._metrics.answer.observe(max(0.0, (published_ms - record.timestamp) / 1000))
        self._metrics.requests.inc(len(taken) - len(in_words))
        return asyncio.gather(*in_words) if in_words else None

    async def _answer(self, asked: Taken[Request], now: float) -> Answer:
        def work(replica: Replica) -> tuple[Ranking, str]:
            recommender = replica.recommender
            with self._metrics.timed("answer"):
                ranking = self._reranking.answer(recommender, asked.message, now)
            return ranking, recommender.version

        return self._answers.answer(asked, *await self._engine.run(work))
