"""What is published of a ranking, in bytes.

It knows nothing of Kafka: `benchmarks.same_job` uses it in environments that have other clients.
"""

from __future__ import annotations

import time

from models.ranking import Ranking
from models.ranking import Reason as EngineReason
from schemas import Because, Cause, Reason, Recommendation, RecommendedItem, encode


def encoded(ranking: Ranking, *, cause: Cause, model_version: str) -> bytes:
    """The value of the record."""
    return encode(_recommendation(ranking, cause=cause, model_version=model_version))


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
