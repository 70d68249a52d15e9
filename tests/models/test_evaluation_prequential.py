"""The whole evaluation, on an engine simple enough to know what it must find."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field

import numpy as np
import pytest

from models.catalogue import ItemFacts
from models.evaluation import FRESHET, POPULAR, RANDOM, EventLog, Prequential, Report
from models.interactions import Interactions, Kind


@dataclass
class Ranks:
    names: tuple[str, ...]
    ranks: np.ndarray
    top_items: np.ndarray
    shares: np.ndarray
    families: tuple[str, ...] = ("all",)


@dataclass
class Counting:
    """Ranks by popularity as `freshet`, and by age (newest first) as its only source."""

    items: list[str] = field(default_factory=list)
    count: dict[str, int] = field(default_factory=dict)
    facts: list[tuple[int, str]] = field(default_factory=list)
    learned: int = 0
    frozen: tuple[list[str], dict[str, int], int] | None = None

    def rank_and_learn(self, chunk: Interactions, *, top: int = 10) -> Ranks:
        ranks = np.full((len(chunk), 2), np.nan, np.float32)
        lists = np.full((len(chunk), top), -1, np.int32)
        for row, item in enumerate(chunk.items):
            if item in self.count:
                c = self.count[item]
                higher = sum(x > c for x in self.count.values())
                ties = sum(x == c for x in self.count.values()) - 1
                ranks[row, 0] = higher + ties / 2
                ranks[row, 1] = len(self.items) - 1 - self.items.index(item)
            best = sorted(range(len(self.items)), key=lambda k: -self.count[self.items[k]])[:top]
            lists[row, : len(best)] = best
            if item not in self.count:
                self.items.append(item)
            self.count[item] = self.count.get(item, 0) + 1
            self.learned += 1
        shares = np.ones((len(chunk), 1), np.float32)
        return Ranks((FRESHET, "newest"), ranks, lists, shares)

    def rank_and_remember(self, chunk: Interactions, *, top: int = 10) -> Ranks:
        """What was known when learning ended; the rest is missed."""
        self.frozen = self.frozen or (self.items.copy(), self.count.copy(), self.learned)
        found = []
        for k in range(len(chunk)):
            self.items, self.count, self.learned = (copy(part) for part in self.frozen)
            found.append(self.rank_and_learn(chunk.part(k, k + 1), top=top))
        self.items, self.count, self.learned = self.frozen
        ranks, lists, shares = (
            np.concatenate([getattr(part, name) for part in found])
            for name in ("ranks", "top_items", "shares")
        )
        return Ranks(found[0].names, np.nan_to_num(ranks, nan=1e9), lists, shares)

    def upsert_items(self, items: Sequence[ItemFacts]) -> None:
        self.facts += [(self.learned, item.item_id) for item in items]

    def item_ids(self, numbers: np.ndarray) -> list[str]:
        return [self.items[k] for k in numbers]


def zipf(events: int = 600, items: int = 40, users: int = 30, seed: int = 0) -> EventLog:
    rng = np.random.default_rng(seed)
    return EventLog.of(
        Interactions.of(
            (
                f"u{rng.integers(users)}",
                f"i{min(rng.zipf(1.5), items)}",
                Kind.VIEW,
                None,
                float(t * 60),
            )
            for t in range(events)
        )
    )


def log_of(items: str, kinds: Sequence[Kind] | None = None) -> EventLog:
    kinds = kinds or [Kind.VIEW] * len(items)
    return EventLog.of(
        Interactions.of(
            (f"u{n}", item, kind, None, float(n))
            for n, (item, kind) in enumerate(zip(items, kinds, strict=True))
        )
    )


def run(log: EventLog, **options: object) -> Report:
    evaluation = Prequential(Counting(), log, **options)  # type: ignore[arg-type]
    for _ in evaluation:
        pass
    return evaluation.report()


def test_a_stream_of_six_events_scores_what_a_hand_calculation_says() -> None:
    report = run(log_of("abaacb"), repeats="yes")
    # scored: a (2 known, tie: rank .5), a (rank 0), b (3 known: a=3, b=c=1: rank 1.5)
    assert report.scored == 3
    assert report.scores[FRESHET].metrics["mrr"].value == pytest.approx((1 / 1.5 + 1 + 1 / 2.5) / 3)
    # newest first: a is second of (b, a) twice, b second of (c, b, a)
    assert report.scores["newest"].metrics["mrr"].value == pytest.approx(0.5)
    assert report.scores[RANDOM].metrics["mrr"].value == pytest.approx(
        (0.75 + 0.75 + (1 + 1 / 2 + 1 / 3) / 3) / 3
    )
    assert report.scores[FRESHET].coverage == 1.0


def test_an_engine_that_ranks_by_popularity_is_as_good_as_the_reference() -> None:
    report = run(zipf(), repeats="yes")
    ours, reference = report.scores[FRESHET], report.scores[POPULAR]
    assert ours.metrics == reference.metrics
    assert report.lifts["recall@10"].best == POPULAR
    assert report.lifts["recall@10"].ratio.value == 1.0


def test_only_events_that_take_an_item_are_scored_and_all_are_learned() -> None:
    kinds = [Kind.VIEW, Kind.DISLIKE, Kind.IMPRESSION, Kind.DISMISS, Kind.LIKE]
    engine = Counting()
    evaluation = Prequential(engine, log_of("aaaaa", kinds))
    assert list(evaluation) == [5]
    assert evaluation.report().scored == 1
    assert engine.learned == 5


def test_events_the_engine_passes_over_are_counted_and_scored_for_no_one() -> None:
    class Choosy(Counting):
        def rank_and_learn(self, chunk: Interactions, *, top: int = 10) -> Ranks:
            ranked = super().rank_and_learn(chunk, top=top)
            ranked.ranks[chunk.kinds == Kind.CLICK] = np.nan
            return ranked

    evaluation = Prequential(
        Choosy(), log_of("aaaa", [Kind.VIEW, Kind.VIEW, Kind.CLICK, Kind.VIEW])
    )
    for _ in evaluation:
        pass
    report = evaluation.report()
    assert (report.scored, report.deepening) == (2, 1)
    assert evaluation.scored.tolist() == [False, True, False, True]


@pytest.mark.parametrize("chunk", [1, 7, 600])
def test_the_chunk_size_changes_nothing(chunk: int) -> None:
    assert json.dumps(run(zipf(), chunk=chunk).as_json()) == json.dumps(run(zipf()).as_json())


def test_every_breakdown_adds_up_to_the_whole() -> None:
    report = run(zipf())
    assert set(report.breakdowns) == {"history length", "item popularity", "item age"}
    for part in report.breakdowns.values():
        assert part.scored.sum() == report.scored
        whole = np.nansum(part.values[:, 0, 0] * part.scored) / report.scored
        assert whole == pytest.approx(report.scores[FRESHET].metrics["recall@10"].value)
    assert report.curve.scored.sum() == report.scored
    assert report.curve.events[-1] == report.events


def test_facts_arrive_after_the_chunk_in_which_an_item_first_occurs() -> None:
    engine = Counting()
    facts = {name: ItemFacts(name) for name in "abcx"}
    for _ in Prequential(engine, log_of("aabbc"), facts=facts, chunk=2):
        pass
    assert engine.facts == [(2, "a"), (4, "b"), (5, "c")]


def test_a_split_scores_only_what_comes_after_it() -> None:
    engine = Counting()
    evaluation = Prequential(engine, zipf(), split=0.8)
    for _ in evaluation:
        pass
    report = evaluation.report()
    assert engine.learned == 600
    assert report.learned_first == 480
    assert 0 < report.scored <= 120
    assert report.curve.scored.sum() == report.scored
    assert report.curve.events[0] > 480
    assert report.classifications is not None
    assert report.classifications[FRESHET].roc_auc > 0.7
    assert report.classifications[RANDOM].roc_auc == pytest.approx(0.5, abs=0.1)


def test_a_frozen_split_learns_the_first_part_and_misses_what_is_new_in_the_second() -> None:
    # Learned: aab. Scored: b (second of two), then c, never learned, the second time it occurs.
    engine = Counting()
    evaluation = Prequential(engine, log_of("aabbcc"), split=0.5, freeze=True, repeats="yes")
    for _ in evaluation:
        pass
    report = evaluation.report()
    assert engine.learned == 3
    assert evaluation.scored.tolist() == [False, False, False, True, False, True]
    assert report.scores[FRESHET].metrics["mrr"].value == pytest.approx(0.5 / 2)


def test_shares_are_means_of_the_events_on_which_they_were_asked() -> None:
    class Sometimes(Counting):
        def rank_and_learn(self, chunk: Interactions, *, top: int = 10) -> Ranks:
            ranked = super().rank_and_learn(chunk, top=top)
            shares = np.full((len(chunk), 2), np.nan, np.float32)
            shares[::5] = (0.25, 0.75)
            shares[::10] = (0.75, 0.25)
            shares[0] = 0  # nothing to tell
            return Ranks(ranked.names, ranked.ranks, ranked.top_items, shares, ("a", "b"))

    log = zipf()
    evaluation = Prequential(Sometimes(), log, chunk=600)
    for _ in evaluation:
        pass
    curve = evaluation.report().curve
    assert curve.families == ("a", "b")
    told = curve.shares[np.isfinite(curve.shares[:, 0])]
    assert np.allclose(told.sum(axis=1), 1)
    assert 0.25 <= told.min() < 0.5 < told.max() <= 0.75


def test_a_split_that_leaves_nothing_to_score_is_refused() -> None:
    with pytest.raises(ValueError, match="split"):
        Prequential(Counting(), zipf(), split=1.0)


@pytest.mark.parametrize("stream", ["a", "abc", "aa", "aaaaaaaaaaaa"])
def test_the_smallest_streams_give_a_report_with_what_is_known(stream: str) -> None:
    report = run(log_of(stream))
    assert report.scored == len(stream) - len(set(stream))
    text = json.dumps(report.as_json(), allow_nan=False)
    assert set(json.loads(text)["results"]) == {FRESHET, "newest", POPULAR, RANDOM}


def test_one_user_gets_figures_without_intervals() -> None:
    log = EventLog.of(Interactions.of(("u", i, Kind.VIEW, None, 0.0) for i in "abaab"))
    result = run(log, repeats="yes").as_json()["results"][FRESHET]  # type: ignore[index,call-overload]
    assert result["recall@10"] == 1.0  # type: ignore[index,call-overload]
    assert result["interval"]["recall@10"] == [None, None]  # type: ignore[index,call-overload]


@dataclass
class Oblivious:
    """Twenty sources, no learning: what remains is the evaluation's own memory."""

    def rank_and_learn(self, chunk: Interactions, *, top: int = 10) -> Ranks:
        names = (FRESHET, *(f"source {k}" for k in range(20)))
        ranks = np.ones((len(chunk), len(names)), np.float32)
        shares = np.full((len(chunk), 1), np.nan, np.float32)
        return Ranks(names, ranks, np.zeros((len(chunk), top), np.int32), shares)

    rank_and_remember = rank_and_learn

    def upsert_items(self, items: Sequence[ItemFacts]) -> None: ...

    def item_ids(self, numbers: np.ndarray) -> list[str]:
        return [f"i{k}" for k in numbers]


def test_a_hundred_thousand_events_more_cost_a_hundred_bytes_each() -> None:
    """So a million events fit in some hundred megabytes, names of users and items included."""

    def peak(events: int) -> int:
        log = zipf(events, items=500, users=2000)
        tracemalloc.start()
        evaluation = Prequential(Oblivious(), log)
        for _ in evaluation:
            pass
        evaluation.report()
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1000)  # compiles
    assert peak(110_000) - peak(10_000) < 100_000 * 110
