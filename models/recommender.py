"""The engine: learns from every event, and recommends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models import engine, growth
from models.catalogue import ItemFacts
from models.evidence import STRATEGIES
from models.ids import Ids
from models.interactions import Interactions
from models.ranking import Ranking, Recommended
from models.settings import EngineSettings
from models.sources.repeats import ALWAYS, LEARN, NEVER
from models.user import GUEST

FORMAT = 1
"""Rises when the same events would give another state."""

STRATEGY_NAMES = ("freshet", *(name for name, _ in STRATEGIES))

_RULE = {"learn": LEARN, "yes": ALWAYS, "no": NEVER}
_NO_ITEMS = np.empty(0, np.int32)


@dataclass(frozen=True, slots=True)
class PrequentialChunk:
    """Where the items of one chunk stood before each event was learned.

    names: `freshet`, then every single strategy. ranks: float32 [events, names], 0-based mid-rank
    of the item taken among the items recommendable to that user; NaN where the item had not been
    taken by anyone before, or the event took nothing new (`user.deepens`). top_items: int32
    [events, top], Freshet's list, -1 beyond its end.
    """

    names: tuple[str, ...]
    ranks: NDArray[np.float32]
    top_items: NDArray[np.int32]
    shares: NDArray[np.float32] | None


class Recommender:
    """A streaming recommender: `learn` from chunks of events, `recommend` at any moment.

    The state depends on the events, their order, the settings and the seed alone: not on how events
    are cut into chunks, nor on what was recommended in between. Not thread-safe. Its kernels
    release the interpreter's lock.

    >>> from models.interactions import Interactions, Kind
    >>> recommender = Recommender()
    >>> recommender.learn(Interactions.of([("ann", "tea", Kind.VIEW, None, 0.0)]))
    >>> [item.item_id for item in recommender.recommend(["bob"], now=1.0)[0].items]
    ['tea']
    """

    def __init__(self, settings: EngineSettings = EngineSettings(), *, seed: int = 0) -> None:  # noqa: B008
        self.settings = settings
        self._users, self._items = Ids(reserved=GUEST + 1), Ids()
        self._facts: dict[int, ItemFacts] = {}
        self._categories: dict[str, set[int]] = {}
        self._state = growth.new_state(seed)
        self._rules = engine.Rules(
            repeats=_RULE[settings.repeats],
            practice=settings.practice,
            influence=settings.influence,
            longest=settings.max_history,
            deepening=settings.deepening,
        )

    @property
    def events(self) -> int:
        """Events learned."""
        return int(self._state.clock[engine.EVENTS])

    @property
    def version(self) -> str:
        """The engine's format and the number of events learned, as in `1-141695`."""
        return f"{FORMAT}-{self.events}"

    def learn(self, chunk: Interactions) -> None:
        """Learn every event of a chunk, in order."""
        self._learn(chunk, engine.LEARN, np.empty((0, 1), np.float32), np.empty((0, 1), np.int32))

    def rank_and_learn(self, chunk: Interactions, *, top: int = 10) -> PrequentialChunk:
        """Before learning each event, rank all items for its user; then learn it."""
        ranks = np.full((len(chunk), len(STRATEGY_NAMES)), np.nan, np.float32)
        top_items = np.full((len(chunk), top), -1, np.int32)
        self._learn(chunk, engine.LEARN_AND_RANK, ranks, top_items)
        return PrequentialChunk(STRATEGY_NAMES, ranks, top_items, None)

    def recommend(
        self, users: Sequence[str], now: float, n: int = 10, *, reasons: bool | None = None
    ) -> list[Ranking]:
        """The best `n` items for each user at time `now`, in seconds since epoch.

        A user never seen gets what is popular. Never writes learned state.
        """
        numbers = np.array([self._users.get(user, GUEST) for user in users], np.int32)
        return self._rank(users, numbers, now, n, self._norm, _NO_ITEMS, reasons)

    def answer(
        self,
        user: str,
        now: float,
        n: int = 10,
        *,
        categories: Sequence[str] = (),
        exclude: Sequence[str] = (),
        context_items: Sequence[str] = (),
    ) -> Ranking:
        """One list on request.

        categories: only items of any of these. exclude: item ids left out. context_items: what the
        user is looking at in this session, oldest first; they count as if just taken.
        """
        number = self._users.get(user, GUEST)
        norm = self._norm
        if categories:
            norm = np.zeros_like(norm)
            wanted = self._of_categories(categories)
            norm[wanted] = self._norm[wanted]
        known = (self._items.get(item) for item in (*exclude, *context_items))
        excluded = np.array([item for item in known if item is not None], np.int32)
        if context_items:
            seen = [self._items.get(item) for item in context_items]
            number = growth.as_guest(
                self._state, number, [item for item in seen if item is not None], self._second(now)
            )
        numbers = np.array([number], np.int32)
        ranking = self._rank([user], numbers, now, n, norm, excluded, None)[0]
        if context_items:
            growth.clear_guest(self._state)
        return ranking

    def upsert_items(self, items: Sequence[ItemFacts]) -> None:
        """Tell what is known of items; one that is not available is never recommended."""
        for facts in items:
            number = self._item(facts.item_id)
            self._forget_facts(number)
            self._facts[number] = facts
            for category in facts.categories:
                self._categories.setdefault(category, set()).add(number)
            growth.set_available(self._state, number, facts.available)

    def delete_items(self, item_ids: Sequence[str]) -> None:
        """Never recommend these again, until they are upserted anew."""
        for item_id in item_ids:
            number = self._items.get(item_id)
            if number is not None:
                self._forget_facts(number)
                growth.set_available(self._state, number, False)

    def forget(self, user: str) -> None:
        """Forget a user: history, vectors and name. What others learned from them stays counted."""
        number = self._users.get(user)
        if number is not None:
            growth.forget_user(self._state, number)
            self._users.free([number])

    def scoreboard(self) -> dict[str, tuple[int, int]]:
        """Live quality: by strategy, how often the item taken stood among its first ten before the
        event was learned, of how many events measured."""
        return {
            name: (int(hits), int(scored))
            for name, (hits, scored) in zip(STRATEGY_NAMES, self._state.hits, strict=True)
        }

    def item_ids(self, numbers: NDArray[np.int32]) -> list[str]:
        """Names of the item numbers in `PrequentialChunk.top_items`."""
        return [self._items.name(int(number)) for number in numbers]

    @property
    def _norm(self) -> NDArray[np.float32]:
        return self._state.covisitation.norm

    def _second(self, now: float) -> int:
        return int(engine.second_of(self._state.time, float(now)))

    def _of_categories(self, categories: Iterable[str]) -> list[int]:
        return sorted(set().union(*(self._categories.get(c, set()) for c in categories)))

    def _forget_facts(self, number: int) -> None:
        facts = self._facts.pop(number, None)
        if facts:
            for category in facts.categories:
                self._categories[category].discard(number)

    def _item(self, item_id: str) -> int:
        number = self._items.add(item_id)
        if number >= len(self._norm):
            self._state = growth.with_items(self._state, number + 1)
        return number

    def _learn(
        self,
        chunk: Interactions,
        task: int,
        ranks: NDArray[np.float32],
        top: NDArray[np.int32],
    ) -> None:
        users = np.fromiter(map(self._users.add, chunk.users), np.int32, len(chunk))
        items = np.fromiter(map(self._items.add, chunk.items), np.int32, len(chunk))
        self._state = growth.with_items(self._state, self._items.reach)
        self._state = growth.with_users(self._state, self._users.reach)
        growth.rest_the_board(self._state, len(chunk))
        times = _usable(chunk.times, self._latest())
        kinds = np.ascontiguousarray(chunk.kinds, np.int8)
        scores = np.empty(top.shape, np.float32)
        done = 0
        while done < len(chunk):
            done = engine.run(
                self._state,
                self._rules,
                task,
                users,
                items,
                kinds,
                times,
                done,
                self._norm,
                _NO_ITEMS,
                ranks,
                top,
                scores,
            )
            if done < len(chunk):
                self._state = growth.with_room(self._state, int(users[done]), self._rules)

    def _latest(self) -> float:
        time = self._state.time
        return float(time[engine.EPOCH] + time[engine.NOW])

    def _rank(
        self,
        names: Sequence[str],
        users: NDArray[np.int32],
        now: float,
        n: int,
        norm: NDArray[np.float32],
        excluded: NDArray[np.int32],
        reasons: bool | None,
    ) -> list[Ranking]:
        items = np.full((len(users), n), -1, np.int32)
        scores = np.zeros((len(users), n), np.float32)
        growth.rest_the_board(self._state, len(users))
        now = now if math.isfinite(now) else self._latest()
        engine.run(
            self._state,
            self._rules,
            engine.RECOMMEND,
            users,
            users,
            np.zeros(len(users), np.int8),
            np.full(len(users), now),
            0,
            norm,
            excluded,
            np.empty((0, 1), np.float32),
            items,
            scores,
        )
        del reasons
        return [
            Ranking(
                name,
                tuple(
                    Recommended(self._items.name(item), score, None)
                    for item, score in zip(listed, scored, strict=True)
                    if item >= 0
                ),
            )
            for name, listed, scored in zip(names, items.tolist(), scores.tolist(), strict=True)
        ]


def _usable(times: NDArray[np.float64], latest: float) -> NDArray[np.float64]:
    """The same times; what is no number becomes the time before it."""
    times = np.ascontiguousarray(times, np.float64)
    if np.isfinite(times).all():
        return times
    finite = np.isfinite(times)
    before = np.maximum.accumulate(np.where(finite, np.arange(len(times)), -1))
    return np.where(before >= 0, times[before], latest)
