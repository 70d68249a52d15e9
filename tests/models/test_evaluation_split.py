"""Rating-type metrics, against river and scipy where they know them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.split import Judgements, best_cut, classification, roc_auc

river_metrics = pytest.importorskip("river.metrics")
stats = pytest.importorskip("scipy.stats")

questions = st.lists(st.tuples(st.booleans(), st.integers(0, 10)), min_size=1, max_size=60).map(
    lambda rows: Judgements(
        np.array([label for label, _ in rows]), np.array([score / 10 for _, score in rows])
    )
)


@settings(deadline=None)
@given(questions, st.integers(0, 11))
def test_accuracy_precision_recall_and_f1_agree_with_river(judged: Judgements, cut: int) -> None:
    theirs = {
        "accuracy": river_metrics.Accuracy(),
        "precision": river_metrics.Precision(),
        "recall": river_metrics.Recall(),
        "f1": river_metrics.F1(),
    }
    for label, score in zip(judged.labels, judged.scores, strict=True):
        for metric in theirs.values():
            metric.update(bool(label), bool(score >= cut / 10))
    ours = classification(judged, cut / 10)
    for name, metric in theirs.items():
        assert getattr(ours, name) == pytest.approx(metric.get()), name


@settings(deadline=None)
@given(questions)
def test_roc_auc_agrees_with_the_mann_whitney_statistic(judged: Judgements) -> None:
    true, false = judged.scores[judged.labels], judged.scores[~judged.labels]
    if not len(true) or not len(false):
        assert np.isnan(roc_auc(judged))
        return
    expected = stats.mannwhitneyu(true, false).statistic / (len(true) * len(false))
    assert roc_auc(judged) == pytest.approx(expected)


@settings(deadline=None)
@given(questions)
def test_no_other_cut_has_a_higher_f1(judged: Judgements) -> None:
    best = classification(judged, best_cut(judged)).f1
    for score in judged.scores:
        assert best >= classification(judged, score).f1 - 1e-12


def test_a_recommender_that_ranks_the_item_first_is_always_right() -> None:
    judged = Judgements.of(np.zeros(500), np.full(500, 1000), np.random.default_rng(0))
    found = classification(judged, best_cut(judged))
    assert (found.accuracy, found.f1, found.roc_auc) == (1.0, 1.0, 1.0)


def test_a_recommender_that_ranks_by_chance_is_right_half_of_the_time() -> None:
    rng = np.random.default_rng(0)
    judged = Judgements.of(rng.integers(0, 1000, 20_000), np.full(20_000, 1000), rng)
    assert roc_auc(judged) == pytest.approx(0.5, abs=0.01)


def test_the_other_item_is_never_the_one_taken_and_any_other_is_as_likely() -> None:
    judged = Judgements.of(np.full(30_000, 1.0), np.full(30_000, 4), np.random.default_rng(1))
    scores, counts = np.unique(judged.scores[~judged.labels].round(6), return_counts=True)
    np.testing.assert_allclose(scores, [0.0, 1 / 3, 1.0], atol=1e-6)  # places 3, 2 and 0
    np.testing.assert_allclose(counts / 30_000, 1 / 3, atol=0.02)


def test_an_event_without_alternatives_asks_nothing() -> None:
    judged = Judgements.of(np.zeros(3), np.array([0, 1, 2]), np.random.default_rng(0))
    assert len(judged.labels) == 2
    nothing = Judgements.of(np.zeros(1), np.ones(1, int), np.random.default_rng(0))
    assert np.isnan(classification(nothing, best_cut(nothing)).f1)
