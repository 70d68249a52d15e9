"""What is the same in every framework: learn from an event, rank for its user, say it in a message.

The frameworks take records one at a time, as their documentation does it; so does this.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models import compiled
from models.interactions import Interactions, Kind
from models.recommender import Recommender
from schemas import Cause, Event, decode_event
from streams.messages import encoded

#: The newest items of each user that the framework keeps.
KEPT = 20

SERVERS, PREFIX, FOLDER = (
    os.environ.get(f"SAME_JOB_{name}", "") for name in ("SERVERS", "PREFIX", "FOLDER")
)
EVENTS, RECOMMENDATIONS = PREFIX + "events", PREFIX + "recommendations"


class Answering:
    """The model that all users share. It is in memory alone, as no framework has a place for it."""

    def __init__(self) -> None:
        compiled.use_cache(Path(os.environ["SAME_JOB_CACHE"]) / "engine")
        compiled.compile()
        self._recommender = Recommender()

    def event(self, value: bytes) -> Event:
        """The event in a record."""
        now_ms = int(time.time() * 1000)
        return decode_event(value, now_ms, now_ms)

    def answer(self, event: Event) -> bytes:
        """Learn from the event and make the list, with reasons, that its user gets for it."""
        self._recommender.learn(
            Interactions(
                users=[event.user_id],
                items=[event.item_id],
                kinds=np.array([Kind[event.type.name]], np.int8),
                values=np.array([np.nan], np.float32),
                times=np.array([event.ts / 1000]),
            )
        )
        (ranking,) = self._recommender.recommend([event.user_id], time.time(), 10)
        cause = Cause(topic=EVENTS, partition=0, offset=0, event_id=event.event_id)
        return encoded(ranking, cause=cause, model_version=self._recommender.version)


def remembered(before: Sequence[Any] | None, event: Event) -> list[str]:
    """A user's state after an event: their newest items."""
    return [*(before or ())[-KEPT + 1 :], event.item_id]
