"""What a recommender shows beyond what is popular: coverage and the long tail."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HEAD = 0.2
"""The head is this share of the catalogue, the most popular first; the long tail is the rest."""


def coverage(exposure: NDArray[np.integer], catalogue: int) -> float:
    """Share of the catalogue that was shown at least once. exposure: times shown, per item."""
    return float(np.count_nonzero(exposure)) / catalogue if catalogue else float("nan")


def tail_share(exposure: NDArray[np.integer], popularity: NDArray[np.integer]) -> float:
    """Share of what was shown that lies outside the head. Both arrays per item, same order."""
    shown = int(exposure.sum())
    if not shown:
        return float("nan")
    head = np.argsort(-popularity, kind="stable")[: int(np.ceil(HEAD * len(popularity)))]
    return 1.0 - float(exposure[head].sum()) / shown
