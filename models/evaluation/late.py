"""What freshness is worth: the same engine, learning everything but the users' histories late."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.catalogue import ItemFacts
from models.interactions import Interactions
from models.recommender import PrequentialChunk, Recommender

FINENESS = 20
"""Learning comes in steps of at most this part of the delay."""


class Late:
    """An engine that learns `delay` events late, while each user's own history is up to date.

    As a recommender trained in batches and served with a fresh profile: at any event, sources and
    ranker have learned the stream up to `delay` events ago (up to a tenth more, as they learn in
    blocks of delay / FINENESS), and they learn it exactly as they would have in time.
    """

    def __init__(self, engine: Recommender, delay: int) -> None:
        if delay < 1:
            raise ValueError(f"delay is a number of events, 1 or more, not {delay}")
        self._engine, self._delay = engine, delay
        self._block = max(1, delay // FINENESS)
        self._waiting: deque[Interactions] = deque()
        self._waits = 0
        self._histories_then = engine.exchange_histories()

    def rank_and_learn(self, chunk: Interactions, *, top: int = 10) -> PrequentialChunk:
        """Rank before each event; learn what is old enough."""
        found = []
        for start in range(0, len(chunk), self._block):
            block = chunk.part(start, start + self._block)
            found.append(self._engine.rank_and_remember(block, top=top))
            self._waiting.append(block)
            self._waits += len(block)
            if self._waits - len(self._waiting[0]) >= self._delay:
                self._catch_up()
        return PrequentialChunk(
            found[0].names,
            np.concatenate([part.ranks for part in found]),
            np.concatenate([part.top_items for part in found]),
            np.concatenate([part.top_scores for part in found]),
            np.concatenate([part.shares for part in found]),
        )

    def rank_and_remember(self, chunk: Interactions, *, top: int = 10) -> PrequentialChunk:
        """Rank before each event; learning has ended, also of what still waits."""
        return self._engine.rank_and_remember(chunk, top=top)

    def upsert_items(self, items: Sequence[ItemFacts]) -> None:
        self._engine.upsert_items(items)

    def item_ids(self, numbers: NDArray[np.int32]) -> list[str]:
        return self._engine.item_ids(numbers)

    def _catch_up(self) -> None:
        """Learn what has waited long enough, with the users' histories of that time."""
        histories_now = self._engine.exchange_histories(self._histories_then)
        while self._waits - len(self._waiting[0]) >= self._delay:
            block = self._waiting.popleft()
            self._waits -= len(block)
            self._engine.learn(block)
        self._histories_then = self._engine.exchange_histories(histories_now)
