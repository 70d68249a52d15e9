"""From the engine's ranking to the record that is published."""

from __future__ import annotations

from aiokafka import ConsumerRecord

from models.ranking import Ranking
from schemas import Cause
from streams.messages import encoded
from streams.publisher import Outgoing


def outgoing(ranking: Ranking, *, cause: Cause, model_version: str) -> Outgoing:
    """The record, keyed by the user."""
    value = encoded(ranking, cause=cause, model_version=model_version)
    return Outgoing(ranking.user_id.encode(), value)


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
