"""Test, then train: rank for each event before learning from it, over a whole stream.

Every event is first a question and then a lesson (Gama, Sebastião & Rodrigues 2013). Before an
event is learned, the engine ranks all items known so far for its user. If the event took the item
(a view, not a dislike) and someone had before, its rank is scored; then the event is learned.
Nothing is held out, nothing is seen twice, and no setting can be tuned on the future.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.catalogue import ItemFacts
from models.evaluation.buckets import HISTORY_LENGTH, ITEM_AGE, ITEM_POPULARITY, ages, earlier
from models.evaluation.exposure import coverage, tail_share
from models.evaluation.log import EventLog
from models.evaluation.metrics import METRICS, expected_at_random, metric_values
from models.evaluation.references import Repeats, references
from models.evaluation.report import Breakdown, Curve, Lift, Report, Scores
from models.evaluation.split import Classification, Judgements, best_cut, classification
from models.evaluation.tally import Tally, ratio_estimate
from models.evidence import OF_DESCRIBED
from models.interactions import Interactions

FRESHET = "freshet"
POPULAR = "most popular"
RANDOM = "random"

USER_GROUPS = 4096
"""Users share groups beyond this many: memory stays bounded and the intervals stay correct."""

WINDOWS = 40
"""Points of the learning curve."""

TOP = 10

_BUCKETS = {
    "history length": HISTORY_LENGTH,
    "item popularity": ITEM_POPULARITY,
    "item age": ITEM_AGE,
}


class Ranked(Protocol):
    """What an engine made of one chunk, before learning from each event of it.

    ranks: float32 [events, 1 + sources], 0-based; NaN where nobody had taken the item before, and
    where an event only deepens what the user did with the item a moment ago.
    names: `freshet`, then the sources. top_items: int32 [events, top], the engine's own item
    numbers, -1 where the list is shorter. shares: float32 [events, families], what each family of
    sources gave to the list; NaN or nothing but 0 where that was not asked.
    """

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def ranks(self) -> NDArray[np.float32]: ...
    @property
    def top_items(self) -> NDArray[np.int32]: ...
    @property
    def shares(self) -> NDArray[np.float32]: ...
    @property
    def families(self) -> tuple[str, ...]: ...


class Engine(Protocol):
    """What an evaluation asks of an engine."""

    def rank_and_learn(self, chunk: Interactions, *, top: int = 10) -> Ranked: ...
    def rank_and_remember(self, chunk: Interactions, *, top: int = 10) -> Ranked: ...
    def upsert_items(self, items: Sequence[ItemFacts]) -> None: ...
    def item_ids(self, numbers: NDArray[np.int32]) -> list[str]: ...


class Prequential:
    """One evaluation of one engine on one log.

    Iterate to run it (it yields the number of events done after each chunk), then ask `report()`.
    `scored` tells which events were: bool [events].

    engine: a fresh one; it will have learned the whole log. facts: what is known of items, by id;
    the engine is told an item's facts after the chunk in which it first occurs, never before.
    split: share of the events, in order of time, that only prepare: they are learned, the rest is
    scored, and rating-type metrics are added; 0 scores everything. freeze: of the second part,
    nothing but each user's own history is learned. seed: of the split's questions.
    """

    def __init__(
        self,
        engine: Engine,
        log: EventLog,
        *,
        facts: Mapping[str, ItemFacts] | None = None,
        repeats: Repeats = "learn",
        split: float = 0.0,
        freeze: bool = False,
        seed: int = 0,
        chunk: int = 500,
    ) -> None:
        if not 0.0 <= split < 1.0:
            raise ValueError(f"split is a share of the events, 0 or more and below 1, not {split}")
        self._engine, self._log, self._facts = engine, log, facts or {}
        self._freeze, self._seed, self._chunk = freeze, seed, chunk
        self._first = round(split * len(log))
        self._names: tuple[str, ...] = ()
        self._families: tuple[str, ...] = ()
        self._shares = Tally(0, 0, 1)
        self._judged: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []

        self._positive = log.positive
        history, popularity = (earlier(codes, self._positive) for codes in (log.users, log.items))
        self._taken = np.bincount(log.items[self._positive], minlength=len(log.item_names))
        self._eligible = self._positive & (popularity > 0) & (np.arange(len(log)) >= self._first)
        self._references = references(log, self._eligible, repeats=repeats, top=TOP)
        self.scored = np.zeros(len(log), np.bool_)
        self._exposure = np.zeros(0, np.int64)
        self._groups: dict[str, NDArray[np.integer]] = {
            "user": log.users % USER_GROUPS,
            "window": self._windows(len(log)),
            "history length": HISTORY_LENGTH.of(history),
            "item popularity": ITEM_POPULARITY.of(popularity),
            "item age": ITEM_AGE.of(ages(log.items, log.times)),
        }
        self._tallies: dict[str, Tally] = {}

    def __iter__(self) -> Iterator[int]:
        told = np.zeros(len(self._log.item_names), np.bool_)
        take = self._engine.rank_and_learn
        for bounds in ((0, self._first), (self._first, len(self._log))):
            if self._freeze and bounds[0]:
                take = self._engine.rank_and_remember
            for part in self._log.chunks(self._chunk, *bounds):
                ranked = take(self._log.rows(part), top=TOP)
                self._score(part, ranked)
                if self._facts:
                    self._tell(self._log.items[part], told)
                yield part.stop

    def _windows(self, events: int) -> NDArray[np.int64]:
        """The window of each event: equal pieces of the scored part; 0 for what precedes it."""
        size = max(1, -(-(events - self._first) // WINDOWS))
        return np.maximum(0, np.arange(events) - self._first) // size

    def _tell(self, items: NDArray[np.int32], told: NDArray[np.bool_]) -> None:
        new = np.unique(items[~told[items]])
        told[new] = True
        names = (self._log.item_names[code] for code in new)
        facts = [self._facts[name] for name in names if name in self._facts]
        if facts:
            self._engine.upsert_items(facts)

    def _score(self, part: slice, ranked: Ranked) -> None:
        # What nobody has told anything is no strategy: where all items tie, the middle of a small
        # catalogue is among the first ten.
        told = np.array([bool(self._facts) or n not in OF_DESCRIBED for n in ranked.names])
        names, ranks = tuple(compress(ranked.names, told)), ranked.ranks[:, told]
        if not self._names:
            self._names = (*names, POPULAR, RANDOM)
            sizes = {kind: len(buckets) for kind, buckets in _BUCKETS.items()}
            sizes |= {"user": USER_GROUPS, "window": int(self._groups["window"].max()) + 1}
            self._tallies = {
                kind: Tally(size, len(self._names), len(METRICS)) for kind, size in sizes.items()
            }
            self._families = ranked.families
            self._shares = Tally(sizes["window"], len(ranked.families), 1)
        popular = self._references.popular[part]
        known = self._positive[part] & np.isfinite(popular) & ~np.isnan(ranks[:, 0])
        events = part.start + np.flatnonzero(known)
        ranks = np.column_stack((ranks[known], popular[known]))
        if self._first:
            self._judged.append((events, ranks))
        if part.start < self._first:
            return

        self.scored[events] = True
        chance = expected_at_random(self._references.pool[events])
        values = np.concatenate((metric_values(ranks), chance[:, None, :]), axis=1)
        for kind, tally in self._tallies.items():
            tally.add(self._groups[kind][events], values)
        shown = known & (np.nan_to_num(ranked.shares).sum(axis=1) > 0)
        shares = ranked.shares[shown].astype(np.float64)
        windows = self._groups["window"][part.start + np.flatnonzero(shown)]
        self._shares.add(windows, shares[:, :, None])
        self._expose(ranked.top_items[known])

    def _expose(self, shown: NDArray[np.int32]) -> None:
        shown = shown[shown >= 0]
        counts = np.bincount(shown, minlength=len(self._exposure))
        counts[: len(self._exposure)] += self._exposure
        self._exposure = counts

    def report(self) -> Report:
        """What was found so far; complete once the iteration has ended."""
        users = self._tallies["user"]
        scores = {
            name: Scores(
                {
                    metric: ratio_estimate(users.sums[:, n, m], users.counts.astype(float), most=1)
                    for m, metric in enumerate(METRICS)
                }
            )
            for n, name in enumerate(self._names)
        }
        exposures = {FRESHET: self._own_exposure(), POPULAR: self._references.exposure}
        for name, exposure in exposures.items():
            scores[name] = Scores(
                scores[name].metrics,
                coverage(exposure, len(self._log.item_names)),
                tail_share(exposure, self._taken),
            )
        return Report(
            events=len(self._log),
            scored=users.events,
            users=len(self._log.user_names),
            items=len(self._log.item_names),
            reordered=self._log.reordered,
            deepening=int(self._eligible.sum()) - users.events,
            names=self._names,
            scores=scores,
            lifts={metric: self._lift(metric, users) for metric in ("recall@10", "mrr")},
            breakdowns={
                kind: Breakdown(buckets.labels, tally.counts, tally.means())
                for kind, buckets in _BUCKETS.items()
                for tally in (self._tallies[kind],)
            },
            curve=self._curve(),
            learned_first=self._first,
            classifications=self._classify() if self._first else None,
        )

    def _own_exposure(self) -> NDArray[np.int64]:
        """How often Freshet's lists showed each item of the log."""
        numbers = np.flatnonzero(self._exposure).astype(np.int32)
        code = {name: k for k, name in enumerate(self._log.item_names)}
        exposure = np.zeros(len(code), np.int64)
        for number, name in zip(numbers, self._engine.item_ids(numbers), strict=True):
            if name in code:
                exposure[code[name]] += self._exposure[number]
        return exposure

    def _lift(self, metric: str, users: Tally) -> Lift:
        m = METRICS.index(metric)
        singles = [n for n, name in enumerate(self._names) if name not in (FRESHET, RANDOM)]
        best = max(singles, key=lambda n: float(users.sums[:, n, m].sum()))
        return Lift(self._names[best], ratio_estimate(users.sums[:, 0, m], users.sums[:, best, m]))

    def _curve(self) -> Curve:
        windows = self._tallies["window"]
        last = np.searchsorted(self._groups["window"], np.arange(windows.groups), side="right") - 1
        return Curve(
            events=last + 1,
            times=self._log.times[last],
            scored=windows.counts,
            values=windows.means(),
            families=self._families,
            shares=self._shares.means()[:, :, 0],
        )

    def _classify(self) -> dict[str, Classification]:
        """Each recommender's cut from the first part, its metrics from the second."""
        events = np.concatenate([events for events, _ in self._judged])
        ranks = np.concatenate([ranks for _, ranks in self._judged])
        second = events >= self._first
        pool = self._references.pool[events]
        rng = np.random.default_rng(self._seed)
        chance = np.floor(rng.random(len(pool)) * np.maximum(pool, 1))
        found = {}
        for name, column in zip(self._names, (*ranks.T, chance), strict=True):
            cut = best_cut(Judgements.of(column[~second], pool[~second], rng))
            judged = Judgements.of(column[second], pool[second], rng)
            found[name] = classification(judged, cut)
        return found
