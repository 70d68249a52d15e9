"""SASRec and GRU4Rec in torch, trained on from where they are every few thousand events.

Both read the user's last items and predict the next one, trained by softmax cross-entropy over all
known items at every position (stronger than the sampled losses of the original papers: Klenitskiy &
Vasilev, RecSys 2023). SASRec: Kang & McAuley, ICDM 2018. GRU4Rec: Hidasi et al., ICLR 2016.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.quality.reference import Past

LENGTH = 50  # items of the history that are read
NETWORKS = ("SASRec", "GRU4Rec")


class Network(nn.Module):
    """Item vectors in, one state per position out; the same vectors score the next item."""

    def __init__(self, kind: str, items: int, size: int, dropout: float) -> None:
        super().__init__()
        self.items = nn.Embedding(items + 1, size, padding_idx=items)  # the last one pads
        nn.init.normal_(self.items.weight, std=size**-0.5)
        self.bias = nn.Parameter(torch.zeros(items))
        self.dropout = nn.Dropout(dropout)
        self.positions = nn.Parameter(torch.randn(LENGTH, size) * 0.02)
        self.attends = kind == "SASRec"
        if self.attends:
            layer = nn.TransformerEncoderLayer(
                size, 2, 2 * size, dropout, "gelu", batch_first=True, norm_first=True
            )
            self.body: nn.Module = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.register_buffer("mask", torch.ones(LENGTH, LENGTH).triu(1).bool())
        else:
            self.body = nn.GRU(size, size, batch_first=True)
        self.norm = nn.LayerNorm(size)

    def forward(self, items: Tensor) -> Tensor:
        """items: int64 [batch, length], oldest first. Returns states [batch, length, size]."""
        x = self.items(items)
        length = items.shape[1]
        if self.attends:
            x = self.dropout(x + self.positions[:length])
            x = self.body(x, mask=self.mask[:length, :length], is_causal=True)
        else:
            x, _ = self.body(self.dropout(x))
        return self.norm(x)

    def scores(self, states: Tensor, known: int) -> Tensor:
        return states @ self.items.weight[:known].T + self.bias[:known]


class Sequence:
    """One network, trained on for `epochs` over the whole past every `refit_every` events, and for
    no fewer than `updates` steps of `batch` histories."""

    def __init__(
        self,
        past: Past,
        *,
        network: str,
        size: int,
        refit_every: int = 5000,
        epochs: int = 2,
        updates: int = 300,
        batch: int = 16,
        step: float = 2e-3,
        dropout: float = 0.2,
        seed: int = 0,
    ) -> None:
        if network not in NETWORKS:
            raise ValueError(f"network is one of {', '.join(NETWORKS)}, not {network}")
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        self.settings = [f"{size} wide, dropout {dropout:g}"]
        self.refit_every = refit_every
        self._past, self._epochs, self._updates, self._batch = past, epochs, updates, batch
        self._rng = np.random.default_rng(seed)
        self._network = Network(network, past.items, size, dropout)
        self._optimiser = torch.optim.Adam(self._network.parameters(), lr=step)
        self._fitted = 0

    def rank(self, user: int, known: int) -> NDArray[np.float32] | None:
        history = self._past.histories[user][-LENGTH:]
        if not self._fitted or not history:
            return None
        with torch.inference_mode():
            states = self._network(torch.tensor([history]))
            found = self._network.scores(states[0, -1], self._fitted).numpy()
        scores = np.full((1, known), found.min() - 1.0, np.float32)
        scores[0, : self._fitted] = found
        return scores

    def learn(self, user: int, item: int) -> None:
        """Between refits only the history grows."""

    def refit(self) -> None:
        windows = self._windows()
        self._fitted = int(np.flatnonzero(self._past.popularity)[-1]) + 1
        self._network.train()
        in_an_epoch = max(1, -(-len(windows) // self._batch))
        epochs = max(self._epochs, -(-self._updates // in_an_epoch))
        for _ in range(epochs if len(windows) else 0):
            order = self._rng.permutation(len(windows))
            for at in range(0, len(order), self._batch):
                self._train(windows[order[at : at + self._batch]])
        self._network.eval()

    def _windows(self) -> Tensor:
        """Every history in pieces of LENGTH + 1 that overlap by one, padded, [windows, LENGTH + 1].
        Where a history is cut moves from refit to refit."""
        pieces = []
        for history in self._past.histories:
            start = -int(self._rng.integers(LENGTH)) if len(history) > LENGTH else 0
            for at in range(start, len(history) - 1, LENGTH):
                piece = history[max(at, 0) : at + LENGTH + 1]
                if len(piece) > 1:
                    pieces.append(piece + [self._past.items] * (LENGTH + 1 - len(piece)))
        return torch.tensor(pieces)

    def _train(self, windows: Tensor) -> None:
        inputs, targets = windows[:, :-1], windows[:, 1:]
        real = targets != self._past.items
        longest = int(real.sum(dim=1).max())
        inputs, targets, real = inputs[:, :longest], targets[:, :longest], real[:, :longest]
        states = self._network(inputs)[real]
        scores = self._network.scores(states, self._fitted)
        loss = nn.functional.cross_entropy(scores, targets[real])
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._optimiser.step()
