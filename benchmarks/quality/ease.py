"""EASE (Steck, WWW 2019), refitted often enough to be nearly fresh.

    P = (XᵀX + λI)⁻¹,   B = I − P / diag(P),   scores = w B

X is binary, users × items; w holds the user's last items, weighted decay^age. A refit is exact but
does not invert anew: users whose rows changed move XᵀX by a matrix of low rank, and so P
(Woodbury). That is what makes a refit every 1,000 events possible on 10,000 items.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.reference import Past

LAST = 100  # items of the history that are read
BLOCK = 512  # columns of one low-rank update


class Ease:
    """One regularisation, several decays of the history."""

    def __init__(
        self,
        past: Past,
        *,
        regularisation: float,
        decays: Sequence[float] = (1.0, 0.97, 0.9, 0.8),
        refit_every: int = 1000,
    ) -> None:
        self.settings = [f"λ {regularisation:g}, decay {decay:g}" for decay in decays]
        self.refit_every = refit_every
        self._past, self._regularisation, self._decays = past, regularisation, decays
        self._inverse = np.zeros((0, 0), np.float32)
        self._rows: list[set[int]] = [set() for _ in range(past.users)]
        self._new: dict[int, set[int]] = {}
        self._fitted = 0

    def rank(self, user: int, known: int) -> NDArray[np.float32] | None:
        history = [i for i in self._past.histories[user][-LAST:] if i < self._fitted]
        if not history:
            return None
        ages = np.arange(len(history), dtype=np.float32)[::-1]
        weights = np.stack([np.float32(decay) ** ages for decay in self._decays])
        fitted = self._fitted
        scores = np.zeros((len(self._decays), known), np.float32)
        sums = weights @ self._inverse[history, :fitted]
        scores[:, :fitted] = -sums / np.diagonal(self._inverse)[:fitted]
        for setting in range(len(self._decays)):
            np.add.at(scores[setting], history, weights[setting])  # the diagonal of B is zero
        return scores

    def learn(self, user: int, item: int) -> None:
        if item not in self._rows[user]:
            self._new.setdefault(user, set()).add(item)

    def refit(self) -> None:
        if not self._new:
            return
        known = 1 + max(self._fitted - 1, *(max(items) for items in self._new.values()))
        self._grow(known)
        columns: list[NDArray[np.float32]] = []
        signs: list[float] = []
        for user, items in self._new.items():
            before = np.zeros(known, np.float32)
            before[list(self._rows[user])] = 1
            after = before.copy()
            after[list(items)] = 1
            columns.append(after)
            signs.append(1.0)
            if self._rows[user]:
                columns.append(before)
                signs.append(-1.0)
            self._rows[user] |= items
            if len(columns) >= BLOCK:
                self._update(np.stack(columns, axis=1), np.asarray(signs, np.float32))
                columns, signs = [], []
        if columns:
            self._update(np.stack(columns, axis=1), np.asarray(signs, np.float32))
        self._new.clear()

    def _grow(self, known: int) -> None:
        """Items nobody has taken have XᵀX = 0, so P = I / λ there."""
        if known > len(self._inverse):
            size = min(self._past.items, max(known, 2 * len(self._inverse)))
            grown = np.zeros((size, size), np.float32)
            grown[: self._fitted, : self._fitted] = self._inverse[: self._fitted, : self._fitted]
            self._inverse = grown
        fresh = np.arange(self._fitted, known)
        self._inverse[fresh, fresh] = 1.0 / self._regularisation
        self._fitted = known

    def _update(self, u: NDArray[np.float32], signs: NDArray[np.float32]) -> None:
        """(A + U S Uᵀ)⁻¹ = P − P U (S + Uᵀ P U)⁻¹ Uᵀ P, in place; S is its own inverse."""
        p = self._inverse[: self._fitted, : self._fitted]
        pu = p @ u
        core = (np.diag(signs) + u.T @ pu).astype(np.float64)
        p -= pu @ np.linalg.solve(core, pu.T.astype(np.float64)).astype(np.float32)
