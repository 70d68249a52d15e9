"""What a user takes, as one direction: users are alike whose directions are.

    t = Σ_k out(a_k) / |out(a_k)|   over the newest LIKENED items;  its length is made 1

with `out` of `models.sources.embeddings`. Of what the engine learns, this tells best who will take
the same: better than the users' own vectors there and in the ranker, which are what is left to say
of a user beside the newest items (`docs/decisions/0007-alike-users.md`).
"""

from __future__ import annotations

import numpy as np

from models.jit import bare_kernel
from models.numeric import F, wide
from models.user import ITEM

LIKENED = 100


@bare_kernel
def write_tastes(embeddings, history, users, tastes):  # type: ignore[no-untyped-def]
    """users: int64 [n], their numbers. Filled in: `tastes`, float32 [n, WIDTH]; zeros for one who
    took no item that has vectors."""
    for n in range(users.shape[0]):
        user, taste = users[n], tastes[n]
        for f in range(taste.shape[0]):
            taste[f] = F(0)
        newest = history.start[user] + history.size[user] - 1
        for back in range(min(history.size[user], LIKENED)):
            item = history.words[newest - back, ITEM]
            slot = embeddings.slot[item] if item >= 0 else 0
            if slot > 0:
                _add_direction(embeddings.out[slot], taste)
        length = F(0)
        for f in range(taste.shape[0]):
            length += taste[f] * taste[f]
        if length > 0:
            length = np.sqrt(length)
            for f in range(taste.shape[0]):
                taste[f] /= length


@bare_kernel
def _add_direction(vector, sum_):  # type: ignore[no-untyped-def]
    """Both [WIDTH]; the vector's numbers are halves."""
    length = F(0)
    for f in range(vector.shape[0]):
        length += wide(vector[f]) * wide(vector[f])
    scale = F(1) / np.sqrt(length + F(1e-24))
    for f in range(vector.shape[0]):
        sum_[f] += scale * wide(vector[f])
