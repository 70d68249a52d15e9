"""The references are what their papers say, and are evaluated by the rules Freshet is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from benchmarks.quality.ease import Ease
from benchmarks.quality.factors import Als, Bpr
from benchmarks.quality.neighbours import ItemNeighbours
from benchmarks.quality.reference import MASKS, Past, evaluate
from benchmarks.quality.river_rankers import RiverRanker
from models.evaluation import EventLog
from models.evaluation.buckets import earlier
from models.evaluation.metrics import metric_values
from models.evaluation.references import references
from models.interactions import Interactions, Kind

pytestmark = pytest.mark.filterwarnings("ignore:Method expects CSR input")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


class Silent:
    """Has no opinion: popularity decides."""

    settings = ("none",)
    refit_every = 0

    def __init__(self, past: Past) -> None:
        self.past = past

    def rank(self, _user: int, _known: int) -> None:
        return None

    def learn(self, _user: int, _item: int) -> None: ...

    def refit(self) -> None: ...


def checkerboard(events: int = 3000, seed: int = 0) -> EventLog:
    """Even users take even items, odd users odd ones, uniformly from 40 items."""
    rng = np.random.default_rng(seed)

    def row(t: int) -> tuple[str, str, Kind, None, float]:
        user = int(rng.integers(100))
        item = 2 * int(rng.integers(20)) + user % 2
        return f"u{user}", f"i{item}", Kind.VIEW, None, float(t)

    return EventLog.of(Interactions.of(row(t) for t in range(events)))


def taken_before(log: EventLog) -> np.ndarray:
    return earlier(log.items, log.positive) > 0


def grown(log: EventLog, build: type, **settings: object) -> tuple[Past, object]:
    past = Past(len(log.user_names), len(log.item_names))
    model = build(past, **settings)
    for user, item in zip(log.users.tolist(), log.items.tolist(), strict=True):
        past.add(user, item)
        model.learn(user, item)
    model.refit()
    return past, model


@pytest.mark.parametrize(("repeats", "mask"), [("no", MASKS[0]), ("yes", MASKS[1])])
def test_a_reference_without_opinion_is_the_most_popular(repeats: str, mask: str) -> None:
    log = checkerboard(800)
    scored = taken_before(log)
    found = evaluate(log, scored, Silent)
    ranks = references(log, log.positive, repeats=repeats).popular[scored]
    assert found.scored == scored.sum()
    np.testing.assert_allclose(
        list(found.metrics[f"none, {mask}"].values()), metric_values(ranks).mean(axis=0), rtol=1e-6
    )


@pytest.mark.parametrize(
    "build",
    [
        lambda past: Ease(past, regularisation=20.0, decays=(1.0,), refit_every=200),
        lambda past: ItemNeighbours(past, similarity="cosine", decays=(1.0,), refit_every=200),
        lambda past: Als(past, factors=8, regularisation=0.1, alpha=5.0, refit_every=200),
        lambda past: Bpr(past, factors=8, learning_rate=0.1, refit_every=200),
        lambda past: RiverRanker(past, model="FunkMF", step=0.05, factors=8),
    ],
    ids=["ease", "knn", "als", "bpr", "river"],
)
def test_a_reference_learns_a_checkerboard(build: object) -> None:
    """Chance finds one of 40 items in a quarter of top tens; whoever knows the colour, in half."""
    log = checkerboard()
    found = evaluate(log, taken_before(log), build)  # type: ignore[arg-type]
    assert max(row["recall@10"] for row in found.metrics.values()) > 0.36


def test_refitting_ease_by_low_rank_updates_is_the_inverse_from_scratch() -> None:
    log = checkerboard(600)
    past = Past(len(log.user_names), len(log.item_names))
    ease = Ease(past, regularisation=10.0, decays=(0.9,))
    for event, (user, item) in enumerate(zip(log.users, log.items, strict=True)):
        past.add(int(user), int(item))
        ease.learn(int(user), int(item))
        if event % 37 == 0:
            ease.refit()
    ease.refit()

    x = (past.matrix().toarray() > 0).astype(np.float64)
    inverse = np.linalg.inv(x.T @ x + 10.0 * np.eye(past.items))
    weights = -inverse / np.diagonal(inverse)
    np.fill_diagonal(weights, 0.0)
    history = past.histories[7]
    expected = sum(0.9**age * weights[item] for age, item in enumerate(reversed(history)))
    found = ease.rank(7, past.items)
    assert found is not None
    np.testing.assert_allclose(found[0], expected, atol=1e-4)


@pytest.mark.parametrize("model", ["Baseline", "FunkMF", "BiasedMF"])
def test_the_mirrored_river_model_ranks_as_river_does(model: str) -> None:
    log = checkerboard(300)
    past, ranker = grown(log, RiverRanker, model=model, step=0.05, factors=4)
    assert isinstance(ranker, RiverRanker)
    scores = ranker.rank(3, past.items)
    assert scores is not None
    theirs = ranker.model.rank(3, set(range(past.items)))
    ours = sorted(range(past.items), key=lambda item: -scores[0, item])
    assert ours[:10] == theirs[:10]
