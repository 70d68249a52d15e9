"""Reasons are true: without what is named, the item's score falls, and most of all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from streams_of import DAY, START, learned, views, zipf

from models.engine import FEW
from models.evidence import BLANK, FAMILIES, FAMILY
from models.interactions import Interactions
from models.numeric import widened
from models.ranker import _W2, CLIP, HIDDEN
from models.recommender import Recommender
from streams.files import read_columns

DATA = Path("../shared/data")


class Named(NamedTuple):
    """What became of an item's score without each of the user's own items, one at a time.

    first: whether it fell furthest without the one the reason names. fell: whether it fell without
    that one. place: how many others mattered more, as a share of all others.
    """

    first: bool
    fell: bool
    place: float


def score_of(engine: Recommender, user: str, now: float, item: str) -> float:
    """The item's score for the user, −∞ where it is no longer among the first hundred."""
    (ranking,) = engine.recommend([user], now, 100, reasons=False)
    return next((i.score for i in ranking.items if i.item_id == item), -np.inf)


def tried(
    engine: Recommender, users: Sequence[str], now: float, longest: int = 60
) -> Iterator[Named]:
    """Each user's first three items whose reason names own items: take every own item out of the
    history (a gap stays in its place), rank anew, put it back."""
    history = engine._state.users.history
    for user in users:
        number = engine._users.get(user)
        if number is None:
            continue
        begin, size = history.start[number], int(history.size[number])
        entries = history.words[begin : begin + size]
        items = entries[:, 0].copy()
        own = np.unique(items)
        if len(own) < 3 or size > longest:
            continue
        for shown in engine.recommend([user], now, 3)[0].items:
            if not shown.reason or not shown.reason.because_of:
                continue
            falls = {}
            for item in own:
                entries[:, 0] = np.where(items == item, -1, items)
                falls[engine._items.name(int(item))] = shown.score - score_of(
                    engine, user, now, shown.item_id
                )
                entries[:, 0] = items
            fall = falls[shown.reason.because_of[0].item_id]
            worse = sum(other > fall for other in falls.values())
            yield Named(worse == 0, fall > 0, worse / (len(falls) - 1))


def test_without_the_item_of_ones_own_that_is_named_the_score_falls_most() -> None:
    engine = learned(zipf(1_500, users=80))
    found = list(tried(engine, [f"u{k}" for k in range(80)], START + 11 * DAY))
    assert len(found) > 150
    assert np.mean([named.first for named in found]) > 0.95
    assert np.mean([named.fell for named in found]) > 0.99


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stream", "first"),
    [
        ("ml-latest-small-2018", 0.45),  # of 36 own items at the mean
        ("movietweetings-2013", 0.7),
        ("completejourney-sample", 0.9),
    ],
)
def test_on_real_streams_too_the_item_that_is_named_matters_most(stream: str, first: float) -> None:
    path = DATA / stream / "events.csv.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there: the real streams are kept beside the repository")
    rows = read_columns(path, at_most=20_000).rows
    engine = Recommender(seed=3)
    engine.learn(rows)
    users = list(dict.fromkeys(rows.users))
    chosen = [users[k] for k in np.random.default_rng(0).permutation(len(users))[:600]]
    found = list(tried(engine, chosen, float(rows.times.max())))
    assert len(found) > 100
    assert np.mean([named.first for named in found]) > first
    assert np.mean([named.fell for named in found]) > 0.94
    assert np.mean([named.place for named in found]) < 0.12


def falls_by_source(engine: Recommender, item: str) -> tuple[float, NDArray[np.float64]]:
    """The item's score on the board of the last ranking, and how far it falls as each family's
    evidence is blanked: the ranker's formula, written once more.

    score(x) = w · e + Σ_h a_h max(0, u_h + e · V_h) + b + q · r
    """
    state, number = engine._state, engine._items.get(item)
    assert number is not None
    board, ranker = state.board, state.ranker
    slot = int(state.embeddings.slot[number])
    evidence = board.evidence[:, board.chosen[board.mark[number, 1]] - 1].astype(np.float64)
    columns = len(evidence)
    hidden = ranker.theta[: HIDDEN * columns].reshape(columns, HIDDEN).astype(np.float64)
    bias = float(ranker.scalar[slot, 0])
    low_rank = float(ranker.query.astype(np.float64) @ widened(ranker.out[slot]))

    def score(column: NDArray[np.float64], rest: float) -> float:
        units = np.maximum(0, board.units[:HIDDEN] + column @ hidden)
        return float(rest + ranker.weight @ column + ranker.theta[_W2 : _W2 + HIDDEN] @ units)

    blank = np.clip((BLANK - ranker.mean) / np.sqrt(ranker.variance + 1e-4), -CLIP, CLIP)
    whole = score(evidence, bias + low_rank)
    falls = np.zeros(len(FAMILIES))
    for k, family in enumerate(FAMILIES):
        rest = (family != "embeddings") * low_rank + (family != "trends") * bias
        falls[k] = whole - score(np.where(k == FAMILY, blank, evidence), rest)
    return whole, falls


def test_without_the_source_that_is_named_the_score_falls_most_and_by_its_share() -> None:
    engine, seen = learned(zipf(1_500, users=400)), set()
    for k in range(401):
        (ranking,) = engine.recommend([f"u{k}"], START + 11 * DAY, 10)
        for shown in ranking.items:
            assert shown.reason is not None
            score, falls = falls_by_source(engine, shown.item_id)
            assert score == pytest.approx(shown.score, abs=1e-3)
            best = int(np.argmax(falls))
            clear = falls[best] > 1.001 * np.sort(falls)[-2] + 1e-3  # else rounding may choose
            if shown.reason.source == "explore":  # its place is not due to its score
                assert shown is ranking.items[-1]
                assert engine.taken([shown.item_id])[0] < FEW
                assert FAMILIES[best] == "trends" or not clear
                assert shown.reason.share == 1
                continue
            if clear:
                assert shown.reason.source == FAMILIES[best]
            named = FAMILIES.index(shown.reason.source)
            share = falls[named] / np.maximum(falls, 0).sum()
            assert shown.reason.share == pytest.approx(share, abs=0.01)
            seen.add(shown.reason.source)
    assert len(seen) >= 3


def test_what_only_one_source_can_know_is_put_down_to_it() -> None:
    fad = [(f"u{k}", "fad" if k % 3 == 0 else f"i{k % 211}") for k in range(1_500)]
    (ranking,) = learned(views(fad)).recommend(["stranger"], START + 1_500 * 60.0, 1)
    assert ranking.items[0].item_id == "fad"
    assert ranking.items[0].reason is not None
    assert ranking.items[0].reason.source == "trends"
    assert ranking.items[0].reason.because_of == ()

    rng = np.random.default_rng(0)
    pairs = [(f"u{k}", f"p{p}.{s}") for k, p in enumerate(rng.integers(60, size=900)) for s in "ab"]
    engine = learned(views([*pairs, ("ann", "p7.a")]))
    (ranking,) = engine.recommend(["ann"], START + 1_802 * 60.0, 1)
    assert ranking.items[0].item_id == "p7.b"
    assert ranking.items[0].reason is not None
    assert ranking.items[0].reason.source == "covisitation"
    assert ranking.items[0].reason.because_of[0].item_id == "p7.a"


def test_shares_of_own_items_are_shares() -> None:
    engine = learned(zipf(1_500))
    for ranking in engine.recommend([f"u{k}" for k in range(40)], START + 11 * DAY, 10):
        for shown in ranking.items:
            assert shown.reason is not None
            assert 0 < shown.reason.share <= 1
            shares = [own.share for own in shown.reason.because_of]
            assert shares == sorted(shares, reverse=True)
            assert all(share > 0 for share in shares)
            assert sum(shares) <= 1.0001
            assert len({own.item_id for own in shown.reason.because_of}) == len(shares)


def test_an_item_without_which_nothing_falls_is_not_named() -> None:
    rows = Interactions.of(zipf(1_500))
    engine = Recommender(seed=3)
    engine.learn(rows)
    (ranking,) = engine.recommend(["stranger"], START + 11 * DAY, 10)
    assert all(item.reason and item.reason.because_of == () for item in ranking.items)
