"""From the engine's ranking to the record that is published."""

from __future__ import annotations

import time

from aiokafka import ConsumerRecord

from models.ranking import Ranking
from models.ranking import Reason as EngineReason
from schemas import Because, Cause, Reason, Recommendation, RecommendedItem, encode
from streams.publisher import Outgoing


def outgoing(ranking: Ranking, *, cause: Cause, model_version: str) -> Outgoing:
    """The record, keyed by the user."""
    message = _recommendation(ranking, cause=cause, model_version=model_version)
    return Outgoing(ranking.user_id.encode(), encode(message))


def cause_of(
    record: ConsumerRecord, *, event_id: str | None = None, request_id: str | None = None
) -> Cause:
    """What led to a list: a record of an event, or of a request."""
    return Cause(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        event_id=event_id,
        request_id=request_id,
    )


def _recommendation(ranking: Ranking, *, cause: Cause, model_version: str) -> Recommendation:
    """The published form; its id follows from its cause, so a consumer can drop a repeat."""
    return Recommendation(
        recommendation_id=f"{cause.topic}-{cause.partition}-{cause.offset}",
        user_id=ranking.user_id,
        ts=int(time.time() * 1000),
        items=[
            RecommendedItem(item_id=item.item_id, score=item.score, reason=_reason(item.reason))
            for item in ranking.items
        ],
        cause=cause,
        model_version=model_version,
    )


def _reason(reason: EngineReason | None) -> Reason | None:
    if reason is None:
        return None
    return Reason(
        source=reason.source,
        share=reason.share,
        because_of=[Because(item_id=item, share=share) for item, share in reason.because_of],
        text=reason.text,
    )
