"""River's own recommenders, learned online as River means them to be.

`river.reco` models predict a rating of a user and an item, so each event is learned as 1 for the
item taken and 0 for a few items drawn from those known (without them every model learns that the
answer is always 1). Scoring all items one `predict_one` at a time would take hours, so the models'
own numbers are mirrored in arrays; a test holds the two rankings equal.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from river import optim, reco

from benchmarks.quality.reference import Past


class RiverRanker:
    """`Baseline`, `FunkMF` or `BiasedMF`, by name."""

    refit_every = 0

    def __init__(
        self,
        past: Past,
        *,
        model: str,
        step: float,
        factors: int = 32,
        negatives: int = 4,
        l2: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.settings = [f"{factors} factors, step {step:g}, {negatives} negatives"]
        self._negatives = negatives
        self._rng = np.random.default_rng(seed)
        self._items = np.zeros((past.items, factors + 1), np.float32)  # latents, bias
        self._past, self._known = past, 0
        start = optim.initializers.Normal(mu=0.0, sigma=0.1, seed=seed)
        self.model: reco.base.Ranker
        if model == "Baseline":
            self.settings = [f"step {step:g}, {negatives} negatives"]
            self.model = reco.Baseline(optimizer=optim.SGD(step), l2=l2)
        elif model == "FunkMF":
            self.model = reco.FunkMF(
                n_factors=factors, optimizer=optim.SGD(step), l2=l2, initializer=start
            )
        elif model == "BiasedMF":
            self.model = reco.BiasedMF(
                n_factors=factors,
                bias_optimizer=optim.SGD(step),
                latent_optimizer=optim.SGD(step),
                l2_bias=l2,
                l2_latent=l2,
                latent_initializer=start,
            )
        else:
            raise ValueError(f"no such model in river.reco: {model}")

    def rank(self, user: int, known: int) -> NDArray[np.float32] | None:
        latents = getattr(self.model, "u_latents", {})
        vector = np.zeros(self._items.shape[1], np.float32)
        if user in latents:
            vector[:-1] = latents[user]
        vector[-1] = 1.0  # the item's bias; the user's, and the mean, are the same for all items
        return (self._items[:known] @ vector)[None]

    def learn(self, user: int, item: int) -> None:
        self._known = max(self._known, item + 1)
        for other in self._rng.integers(self._known, size=self._negatives):
            if other != item:
                self._step(user, int(other), 0.0)
        self._step(user, item, 1.0)

    def _step(self, user: int, item: int, y: float) -> None:
        self.model.learn_one(user, item, y)
        if hasattr(self.model, "i_latents"):
            self._items[item, :-1] = self.model.i_latents[item]
        if hasattr(self.model, "i_biases"):
            self._items[item, -1] = self.model.i_biases[item]

    def refit(self) -> None:
        """Everything is learned online."""
