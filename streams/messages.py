"""What is published of a ranking, in bytes.

It knows nothing of Kafka: `benchmarks.same_job` uses it in environments that have other clients.
"""

from __future__ import annotations

import time
from typing import cast

from models.ranking import Ranking
from schemas import Cause, Recommendation, RecommendedItem, encode


def encoded(ranking: Ranking, *, cause: Cause, model_version: str) -> bytes:
    """The value of the record; its id follows from its cause, so a consumer can drop a repeat."""
    return encode(
        Recommendation(
            recommendation_id=f"{cause.topic}-{cause.partition}-{cause.offset}",
            user_id=ranking.user_id,
            ts=int(time.time() * 1000),
            # The engine's structs have the same fields, and are written as these would be: to make
            # them anew takes longer than to encode them.
            items=cast("list[RecommendedItem]", ranking.items),
            cause=cause,
            model_version=model_version,
        )
    )
