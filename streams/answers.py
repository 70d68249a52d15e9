"""Answers to requests: how each is made of the engine's ranking, and how they are published."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from models.ranking import Ranking
from schemas import Rejected, RejectReason, Request
from streams.erased import Erased
from streams.intake import Intake, Taken
from streams.metrics import Metrics
from streams.publisher import Outgoing, Publisher
from streams.recommendations import cause_of, outgoing
from streams.settings import Settings

log = structlog.get_logger(__name__)


class Answer(NamedTuple):
    """What is to be published for a request."""

    asked: Taken[Request]
    outgoing: Outgoing


class Answers:
    """Makes answers, and dead letters where there is none, and publishes both."""

    def __init__(
        self,
        settings: Settings,
        intake: Intake,
        erased: Erased,
        publisher: Publisher,
        metrics: Metrics,
    ) -> None:
        self._settings, self._intake, self._erased = settings, intake, erased
        self._publisher, self._metrics = publisher, metrics

    def answer(self, asked: Taken[Request], ranking: Ranking, model_version: str) -> Answer:
        """The ranking as it is published."""
        cause = cause_of(asked.record, request_id=asked.message.request_id)
        return Answer(asked, outgoing(ranking, cause=cause, model_version=model_version))

    def refused(self, asked: Taken[Request], why: Exception) -> Outgoing:
        """The dead letter of a request that is not answered; what nobody foresaw is logged."""
        if not isinstance(why, Rejected):
            log.error("answering failed", request=asked.message.request_id, exc_info=why)
            self._metrics.failures.labels("answer").inc()
            why = Rejected(RejectReason.LEARNER_FAILED, repr(why))
        return self._intake.reject(asked.record, why, int(time.time() * 1000))

    def was_erased(self, asked: Taken[Request]) -> bool:
        """Whether the user was erased since they asked."""
        return self._erased.covers(asked.message.user_id, asked.record.timestamp)

    async def publish(self, answers: Sequence[Answer], dead: Sequence[Outgoing]) -> None:
        """On return all of them are on the brokers, but what was for those erased since."""
        async with self._publisher.one_at_a_time:
            lists = [answer for asked, answer in answers if not self.was_erased(asked)]
            if lists:
                await self._publisher.publish(self._settings.topic("recommendations"), lists)
            if dead:
                await self._publisher.publish(self._settings.topic("dead-letters"), dead)
        self._metrics.recommendations.labels("request").inc(len(lists))
