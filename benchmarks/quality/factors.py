"""ALS and BPR of implicit, refitted periodically from where the last fit ended."""

from __future__ import annotations

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from benchmarks.quality.reference import Past

Factors = NDArray[np.float32]


class Als:
    """Implicit-feedback ALS (Hu, Koren & Volinsky 2008). The user's vector is solved anew from the
    whole history at every event, so only the items' vectors are ever stale."""

    def __init__(
        self,
        past: Past,
        *,
        factors: int,
        regularisation: float,
        alpha: float,
        refit_every: int = 2000,
        iterations: int = 3,
    ) -> None:
        self.settings = [f"{factors} factors, λ {regularisation:g}, α {alpha:g}"]
        self.refit_every = refit_every
        self._past = past
        self._model = AlternatingLeastSquares(
            factors=factors,
            regularization=regularisation,
            alpha=alpha,
            iterations=iterations,
            num_threads=1,
            random_state=0,
            use_native=True,
        )

    def rank(self, user: int, known: int) -> NDArray[np.float32] | None:
        history = self._past.histories[user]
        if self._model.item_factors is None or not history:
            return None
        items, counts = np.unique(np.asarray(history, np.int32), return_counts=True)
        row = csr_matrix(
            (counts.astype(np.float32), items, np.array([0, len(items)])),
            shape=(1, self._past.items),
        )
        vector = self._model.recalculate_user(0, row)
        return (self._model.item_factors[:known] @ vector.reshape(-1))[None].astype(np.float32)

    def learn(self, user: int, item: int) -> None:
        """Between refits only the history grows."""

    def refit(self) -> None:
        self._model.fit(self._past.matrix(), show_progress=False)


class Bpr:
    """Bayesian personalised ranking (Rendle et al. 2009); a user new since the last fit has no
    vector and gets what is popular."""

    def __init__(
        self,
        past: Past,
        *,
        factors: int,
        learning_rate: float,
        regularisation: float = 0.01,
        refit_every: int = 2000,
        iterations: int = 10,
    ) -> None:
        self.settings = [f"{factors} factors, step {learning_rate:g}, λ {regularisation:g}"]
        self.refit_every = refit_every
        self._past = past
        self._fitted = np.zeros(past.users, np.bool_)
        self._model = BayesianPersonalizedRanking(
            factors=factors,
            learning_rate=learning_rate,
            regularization=regularisation,
            iterations=iterations,
            num_threads=1,
            random_state=0,
            verify_negative_samples=True,
        )

    def rank(self, user: int, known: int) -> NDArray[np.float32] | None:
        if not self._fitted[user]:
            return None
        scores = self._model.item_factors[:known] @ self._model.user_factors[user]
        return scores[None].astype(np.float32)

    def learn(self, user: int, item: int) -> None:
        """Between refits nothing is learned."""

    def refit(self) -> None:
        matrix = self._past.matrix()
        self._model.fit(matrix, show_progress=False)
        self._fitted = np.diff(matrix.indptr) > 0
