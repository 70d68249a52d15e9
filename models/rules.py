"""What a shop asks of every list: boosts, bans, caps, and not ten of the same.

The engine proposes a longer list than is wanted; the rules choose from it. A score s is the
ranker's, whose softmax is the chance that the item is taken next (`models.ranker`), so

    boost   s' = s + Σ ln f     over the boosts that mean the item: the odds of the item against any
            other are multiplied by f, and adding keeps the order among items of equal boost. (A
            multinomial logit with an offset: McFadden 1974. Multiplying s itself would bury
            what it should lift wherever s is negative.)
    ban     the item is not listed.
    cap     at most m items of a category: the list is filled from the best on, and an item of a
            category that has its m is passed over.
    diversity d (0 to 1), Maximal Marginal Relevance (Carbonell & Goldstein 1998): the next place
            goes to the item of the highest

                (1 − d) · (s' − min s') / (max s' − min s')  −  d · max sim(item, those listed)

            sim is the Jaccard overlap |A ∩ B| / |A ∪ B| of the two items' categories or, where
            vectors are given, their cosine, no less than 0. With d = 0 the order is that of s'.

Caps and diversity look at the list only: they change nothing that is learned. An item that has the
last place of the engine's list to be tried (`models.newcomers`) has that of the one chosen too,
unless it is banned or beyond a cap: it is there as few have taken it, so its score is low.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from models.catalogue import Choice, ItemFacts
from models.ranking import Ranking, Recommended

LONGER = 5
"""How many times more items than wanted the rules choose from."""

LEAST_FACTOR, MOST_FACTOR = 1e-3, 1e3
_REMEMBERED = 100_000

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Boost:
    """Multiply the odds of these items by `factor`; below 1 it buries them."""

    choice: Choice
    factor: float

    def __post_init__(self) -> None:
        if not LEAST_FACTOR <= self.factor <= MOST_FACTOR:
            raise ValueError(
                f"a boost's factor must be {LEAST_FACTOR:g} to {MOST_FACTOR:g}, not {self.factor}"
            )


@dataclass(frozen=True)
class Rules:
    """All rules that hold at once.

    boosts: multiply where several mean an item. bans: what any of them means is not listed.
    caps: the most items of a category in a list. cap: the most of any category that has no cap of
    its own; None is no limit. diversity: its strength, 0 to 1.

    >>> rules = Rules(bans=(Choice(any=("toys",)),), caps={"tea": 1})
    >>> shop = [ItemFacts("oolong", categories=("tea",)), ItemFacts("sencha", categories=("tea",)),
    ...         ItemFacts("robot", categories=("toys",)), ItemFacts("cup")]
    >>> places, scores = rules.choose(np.array([3.0, 2.0, 1.5, 1.0]), shop, 3)
    >>> [shop[place].item_id for place in places]
    ['oolong', 'cup']
    """

    boosts: tuple[Boost, ...] = ()
    bans: tuple[Choice, ...] = ()
    caps: Mapping[str, int] = field(default_factory=dict)
    cap: int | None = None
    diversity: float = 0.0
    #: What the rules say of an item, kept as long as its facts are the same object.
    _said: dict[str, tuple[ItemFacts, _Said]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if not 0 <= self.diversity <= 1:
            raise ValueError(f"diversity must be 0 to 1, not {self.diversity}")
        for category, most in self.caps.items():
            if most < 1:
                raise ValueError(f"the cap of {category!r} must be 1 or more; to list none, ban it")
        if self.cap is not None and self.cap < 1:
            raise ValueError("the cap of all categories must be 1 or more")

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.boosts or self.bans or self.caps or self.cap is not None or self.diversity)

    @property
    def reorder(self) -> bool:
        """Whether they do more than ban."""
        return bool(self.boosts or self.caps or self.cap is not None or self.diversity)

    def choose(
        self,
        scores: Scores,
        items: Sequence[ItemFacts | None],
        n: int,
        vectors: NDArray[np.float32] | None = None,
    ) -> tuple[list[int], list[float]]:
        """The best list of `n` from these candidates: their places, best first, and their scores.

        scores: float64 [candidates], the ranker's. items: their facts, None where nothing is known.
        vectors: float32 [candidates, width], of any length. The list is shorter than `n` where too
        few candidates are let through. A score given is s', or where diversity has put an item
        lower, that of the item before it: scores never rise along the list.
        """
        said = [self._says(item) for item in items]
        boosted = np.asarray(scores, np.float64) + [each.gain for each in said]
        order = np.argsort(-boosted, kind="stable")
        order = order[[not said[place].banned for place in order]] if self.bans else order
        if self.diversity:
            chosen = self._diverse(order, boosted, said, n, vectors)
        else:
            chosen = self._within_caps(order.tolist(), said, n)
        return chosen, np.minimum.accumulate(boosted[chosen]).tolist()

    def admit(self, item: ItemFacts | None, listed: Sequence[ItemFacts | None]) -> bool:
        """Whether bans and caps let an item into a list with these."""
        said = self._says(item)
        counts = Counter(c for other in listed for c in self._says(other).categories)
        return not said.banned and all(counts[c] < self._most(c) for c in said.categories)

    def _within_caps(self, order: Sequence[int], said: Sequence[_Said], n: int) -> list[int]:
        if not self.caps and self.cap is None:
            return list(order[:n])
        listed: Counter[str] = Counter()
        chosen: list[int] = []
        for place in order:
            if len(chosen) == n:
                break
            if all(listed[c] < self._most(c) for c in said[place].categories):
                chosen.append(place)
                listed.update(said[place].categories)
        return chosen

    def _diverse(
        self,
        order: NDArray[np.intp],
        boosted: Scores,
        said: Sequence[_Said],
        n: int,
        vectors: NDArray[np.float32] | None,
    ) -> list[int]:
        if not len(order):
            return []
        value = boosted[order]
        relevance = (value - value[-1]) / max(value[0] - value[-1], 1e-12)
        column: dict[str, int] = {}
        rows, columns = [], []
        for row, place in enumerate(order.tolist()):
            for category in said[place].categories:
                rows.append(row)
                columns.append(column.setdefault(category, len(column)))
        has = np.zeros((len(order), len(column)), np.float32)
        has[rows, columns] = 1
        near = _overlap(has) if vectors is None else _cosine(vectors[order])
        room = np.array([self._most(category) for category in column], np.float64)
        capped = bool(np.isfinite(room).any())

        worth, dislike = (1 - self.diversity) * relevance, self.diversity * near
        closest = np.zeros(len(order))
        chosen: list[int] = []
        while len(chosen) < n:
            best = int((worth - closest).argmax())
            if worth[best] == -np.inf:
                break
            chosen.append(int(order[best]))
            worth[best] = -np.inf
            np.maximum(closest, dislike[best], out=closest)
            if capped:
                room -= has[best]
                full = (room <= 0).astype(np.float32)
                worth[has @ full > 0] = -np.inf
        return chosen

    def _most(self, category: str) -> float:
        return self.caps.get(category, math.inf if self.cap is None else self.cap)

    def _says(self, item: ItemFacts | None) -> _Said:
        if item is None:
            return _NOTHING
        known = self._said.get(item.item_id)
        if known is not None and known[0] is item:
            return known[1]
        if len(self._said) >= _REMEMBERED:
            self._said.clear()
        said = _Said(
            gain=sum(math.log(b.factor) for b in self.boosts if b.choice.fits(item)),
            banned=any(ban.fits(item) for ban in self.bans),
            categories=tuple(dict.fromkeys(item.categories)),
        )
        self._said[item.item_id] = (item, said)
        return said


class _Said(NamedTuple):
    """What the rules say of one item. gain: Σ ln f of its boosts."""

    gain: float
    banned: bool
    categories: tuple[str, ...]


_NOTHING = _Said(0.0, False, ())


def reranked(ranking: Ranking, rules: Rules, facts: Sequence[ItemFacts | None], n: int) -> Ranking:
    """The list of `n` that the rules choose from a longer one. facts: of its items, in order."""
    if not ranking.items:
        return ranking
    chosen, scores = rules.choose(np.array([item.score for item in ranking.items]), facts, n)
    return Ranking(
        ranking.user_id,
        tuple(
            replace(ranking.items[place], score=score)
            for place, score in zip(chosen, scores, strict=True)
        ),
    )


def ending_with(
    ranking: Ranking, last: Recommended, rules: Rules, facts: Sequence[ItemFacts | None], n: int
) -> Ranking:
    """The list of `n` with this item in its last place, where the rules let it in; as it is where
    it has it already. facts: of the list's items, in order, and of the last."""
    kept = ranking.items[: n - 1]
    if any(item.item_id == last.item_id for item in ranking.items[:n]):
        return ranking
    if not rules.admit(facts[-1], facts[: len(kept)]):
        return ranking
    score = min(last.score, kept[-1].score) if kept else last.score
    return Ranking(ranking.user_id, (*kept, replace(last, score=score)), tried=True)


def _overlap(has: NDArray[np.float32]) -> Scores:
    """|A ∩ B| / |A ∪ B| of the rows' categories, float64 [items, items]; 0 where both have none."""
    shared = has @ has.T
    size = has.sum(axis=1)
    overlap: Scores = (shared / np.maximum(size[:, None] + size - shared, 1)).astype(np.float64)
    return overlap


def _cosine(vectors: NDArray[np.float32]) -> Scores:
    """float64 [items, items]."""
    length = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    unit = vectors / np.maximum(length, 1e-12)
    cosine: Scores = (unit @ unit.T).astype(np.float64)
    return cosine
