"""Rating-type metrics of a split stream: "will this user take this item?", answered yes or no.

Each scored event asks the question twice: of the item the user took (yes), and of an item drawn
uniformly from those the user could have been recommended at that moment instead (no). A recommender
answers by where it ranks the item: with 0-based rank r among m recommendable items its score is

    s = 1 − r / (m − 1)          (1 first, 0 last)

and it says yes where s ≥ cut. Each recommender's cut is the one with the highest F1 on the *first*
part of the stream, so the part that is scored has no say in it. Half of all questions are true: a
coin has accuracy .5 and ROC-AUC .5, and always-yes has F1 .667.

Only the item's rank is needed of an engine: a uniformly drawn other item has, by definition, a
uniformly distributed other rank.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Classification:
    """Rating-type metrics of one recommender, and the cut they were read at."""

    accuracy: float
    precision: float
    recall: float
    f1: float
    roc_auc: float
    cut: float


@dataclass(frozen=True, slots=True)
class Judgements:
    """Questions and answers. labels: bool [questions]; scores: float64 [questions], 0 to 1."""

    labels: NDArray[np.bool_]
    scores: NDArray[np.float64]

    @classmethod
    def of(
        cls, ranks: NDArray[np.floating], pool: NDArray[np.integer], rng: np.random.Generator
    ) -> Judgements:
        """Two questions per event. ranks [events], 0-based; pool [events], items ranked.

        Events with fewer than two recommendable items ask nothing. An item outside the pool has
        rank ≥ m and scores 0.
        """
        asked = pool >= 2
        m = pool[asked].astype(np.float64)
        taken = np.minimum(ranks[asked], m - 1)
        other = np.floor(rng.random(len(m)) * (m - 1))
        other += other >= taken  # skip the place of the item taken
        scores = 1.0 - np.concatenate((taken, np.minimum(other, m - 1))) / np.tile(m - 1, 2)
        return cls(np.repeat([True, False], len(m)), scores)


def best_cut(judged: Judgements) -> float:
    """The lowest score worth a yes: the cut with the highest F1. 0.5 where nothing was asked."""
    if not len(judged.scores):
        return 0.5
    order = np.argsort(-judged.scores, kind="stable")
    scores, true = judged.scores[order], np.cumsum(judged.labels[order])
    last = np.append(np.diff(scores) != 0, True)  # a cut takes all of a tie or none
    f1 = 2.0 * true / (np.arange(1, len(scores) + 1) + max(int(true[-1]), 1))
    return float(scores[last][np.argmax(f1[last])])


def classification(judged: Judgements, cut: float) -> Classification:
    """All metrics at one cut. Precision is 0 where nothing got a yes; NaN without questions."""
    yes, labels = judged.scores >= cut, judged.labels
    if not len(labels):
        nan = float("nan")
        return Classification(nan, nan, nan, nan, nan, cut)
    true_yes = int(np.sum(yes & labels))
    precision = true_yes / max(int(yes.sum()), 1)
    recall = true_yes / max(int(labels.sum()), 1)
    return Classification(
        accuracy=float(np.mean(yes == labels)),
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / (precision + recall) if true_yes else 0.0,
        roc_auc=roc_auc(judged),
        cut=cut,
    )


def roc_auc(judged: Judgements) -> float:
    """P(score of a true item > score of a false one), ties half: Mann and Whitney's U / (n₁ n₀)."""
    n_true = int(judged.labels.sum())
    n_false = len(judged.labels) - n_true
    if not n_true or not n_false:
        return float("nan")
    _, place, size = np.unique(judged.scores, return_inverse=True, return_counts=True)
    mid_ranks = np.cumsum(size) - (size - 1) / 2.0
    u = float(mid_ranks[place][judged.labels].sum()) - n_true * (n_true + 1) / 2.0
    return u / (n_true * n_false)
