"""Ranking metrics of one event: what the rank of the item a user really took is worth.

Every event has exactly one relevant item, the one the user took next, so with its 0-based rank r:

    recall@k = hit@k = [r < k]          precision@k = [r < k] / k
    mrr      = 1 / (r + 1)              ndcg@k      = [r < k] / log2(r + 2)

A rank may be a mid-rank (ties share the middle of their places, so it may end in .5).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]  # [..., len(METRICS)], each metric in [0, 1]

METRICS: tuple[str, ...] = ("recall@10", "recall@50", "mrr", "ndcg@10", "precision@10")
RECALL_10 = METRICS.index("recall@10")


def metric_values(ranks: NDArray[np.floating]) -> Values:
    """Every metric of every rank.

    ranks: 0-based, any shape, no NaN (an infinite rank is a miss in every metric).
    Returns float64 of shape [*ranks.shape, len(METRICS)], in the order of METRICS.
    """
    r = ranks.astype(np.float64)
    values = np.empty((*r.shape, len(METRICS)))
    hit = r < 10
    values[..., 0] = hit
    values[..., 1] = r < 50
    values[..., 2] = 1.0 / (r + 1.0)
    values[..., 3] = hit / np.log2(r + 2.0)
    values[..., 4] = hit / 10.0
    return values


def expected_at_random(pool: NDArray[np.integer]) -> Values:
    """The same metrics in expectation, where the item lies at a uniformly random place of `pool`.

    pool: number of recommendable items, any shape; 0 or less where the item is not among them,
    which is a certain miss. Analytic: no list is drawn.
    """
    m = np.maximum(pool, 1).astype(np.float64)
    values = np.empty((*m.shape, len(METRICS)))
    gains = np.concatenate(([0.0], np.cumsum(1.0 / np.log2(np.arange(10) + 2.0))))
    values[..., 0] = np.minimum(m, 10) / m
    values[..., 1] = np.minimum(m, 50) / m
    values[..., 2] = _harmonic(m) / m
    values[..., 3] = gains[np.minimum(m, 10).astype(np.int64)] / m
    values[..., 4] = values[..., 0] / 10.0
    values[pool <= 0] = 0.0
    return values


def _harmonic(m: NDArray[np.float64]) -> NDArray[np.float64]:
    """H(m) = 1 + 1/2 + … + 1/m: summed up to 100, by Euler and Maclaurin beyond (error < 1e-12)."""
    table = np.cumsum(1.0 / np.arange(1, 101))
    far = np.log(m) + np.euler_gamma + 1 / (2 * m) - 1 / (12 * m**2) + 1 / (120 * m**4)
    return np.where(m <= 100, table[np.minimum(m, 100).astype(np.int64) - 1], far)
