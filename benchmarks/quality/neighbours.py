"""Item-kNN of implicit: cosine, TF-IDF and BM25 similarities, refitted periodically."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from benchmarks.quality.reference import Past

MODELS = {"cosine": CosineRecommender, "tf-idf": TFIDFRecommender, "bm25": BM25Recommender}
LAST = 100


class ItemNeighbours:
    """One similarity, several decays of the history: scores = Σ decay^age · similarity[item]."""

    def __init__(
        self,
        past: Past,
        *,
        similarity: str,
        neighbours: int = 200,
        decays: Sequence[float] = (1.0, 0.97, 0.9, 0.8),
        refit_every: int = 1000,
    ) -> None:
        self.settings = [f"{similarity}, K {neighbours}, decay {decay:g}" for decay in decays]
        self.refit_every = refit_every
        self._past, self._decays = past, decays
        self._model = MODELS[similarity](K=neighbours, num_threads=1)
        self._rows: csr_matrix | None = None

    def rank(self, user: int, known: int) -> NDArray[np.float32] | None:
        history = self._past.histories[user][-LAST:]
        if self._rows is None or not history:
            return None
        ages = np.arange(len(history), dtype=np.float32)[::-1]
        weights = np.stack([np.float32(decay) ** ages for decay in self._decays])
        return np.ascontiguousarray((weights @ self._rows[history])[:, :known], np.float32)

    def learn(self, user: int, item: int) -> None:
        """Between refits only the history grows."""

    def refit(self) -> None:
        self._model.fit(self._past.matrix(), show_progress=False)
        self._rows = self._model.similarity.tocsr().astype(np.float32)
