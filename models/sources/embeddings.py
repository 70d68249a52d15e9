"""Embeddings: a vector per item, learned from who takes what after what.

A user is the vector  q = p_u + Σ_k 1/(1+k) · in(a_k)  over the last REMEMBERED items; an item's
affinity is  q · out(j) + b_j. One step of sampled softmax per event: the item taken against
NEGATIVES others, every other one drawn from recent events and the rest uniformly, each score
corrected by the logarithm of how likely it was to be drawn (Bengio & Senécal 2008). Adagrad with
one accumulator per vector (Duchi et al. 2011).

An item gets vectors with its GIVEN_AT-th event; until then it shares slot 0, all zeros, which is
read like any other and never written.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.evidence import AFFINITY, LEANING
from models.jit import bare_kernel
from models.numeric import NEAREST, F, dither, exp, narrow, step_down, uniform, wide
from models.prefetch import AHEAD, prefetch
from models.user import ITEM

WIDTH = 32
NEGATIVES = 40
REMEMBERED = 20
RATE = F(0.2)
RECENT = 65_536
"""Newest events from which negatives are drawn."""

GIVEN_AT = 2
"""Events after which an item has vectors of its own."""

#: Columns of `scalar`.
BIAS, SQUARES_BIAS, SQUARES_IN, SQUARES_OUT = 0, 1, 2, 3


class Embeddings(NamedTuple):
    """slot: int32 by item, its row below; 0 is the row of zeros. used: int64 [2], rows
    ever given and rows given back, whose numbers stand at the beginning of vacant, int32 [slots].

    into, out: uint16 [slots, WIDTH], halves (`numeric.narrow`). scalar: float32 [slots, 4]. user:
    float32 [users, WIDTH]; user_squares: float32. recent: int32 [RECENT], a ring of items; seen:
    int64 [1].
    """

    slot: NDArray[np.int32]
    used: NDArray[np.int64]
    vacant: NDArray[np.int32]
    into: NDArray[np.uint16]
    out: NDArray[np.uint16]
    scalar: NDArray[np.float32]
    user: NDArray[np.float32]
    user_squares: NDArray[np.float32]
    recent: NDArray[np.int32]
    seen: NDArray[np.int64]


def new_embeddings(items: int, users: int, slots: int) -> Embeddings:
    """No vectors but the zeros."""
    return Embeddings(
        slot=np.zeros(items, np.int32),
        used=np.array([1, 0]),
        vacant=np.zeros(slots, np.int32),
        into=np.zeros((slots, WIDTH), np.uint16),
        out=np.zeros((slots, WIDTH), np.uint16),
        scalar=np.zeros((slots, 4), np.float32),
        user=np.zeros((users, WIDTH), np.float32),
        user_squares=np.full(users, 1e-3, np.float32),
        recent=np.zeros(RECENT, np.int32),
        seen=np.zeros(1, np.int64),
    )


@bare_kernel
def give(state, item, random):  # type: ignore[no-untyped-def]
    """Vectors of its own for an item, at random: uniform, of the variance 1/WIDTH (into), a
    tenth of it (out)."""
    if state.used[1] > 0:
        state.used[1] -= 1
        s = np.int64(state.vacant[state.used[1]])
    else:
        s = state.used[0]
        state.used[0] = s + 1
    state.slot[item] = s
    width = 2.0 * np.sqrt(3.0 / WIDTH)
    for f in range(WIDTH):
        state.into[s, f] = narrow((uniform(random) - 0.5) * width, NEAREST)
        state.out[s, f] = narrow((uniform(random) - 0.5) * width * 0.3, NEAREST)
    state.scalar[s, BIAS] = F(0)
    for c in range(SQUARES_BIAS, SQUARES_OUT + 1):
        state.scalar[s, c] = F(1e-3)


@bare_kernel
def take_back(state, item):  # type: ignore[no-untyped-def]
    """The item has no vectors any more."""
    s = state.slot[item]
    if s > 0:
        state.vacant[state.used[1]] = s
        state.used[1] += 1
        state.slot[item] = 0


@bare_kernel
def user_vector(state, history, user, query):  # type: ignore[no-untyped-def]
    """Write q into `query`, float32 [WIDTH]."""
    for f in range(WIDTH):
        query[f] = state.user[user, f]
    newest = history.start[user] + history.size[user] - 1
    for back in range(min(history.size[user], REMEMBERED)):
        item = history.words[newest - back, ITEM]
        if item >= 0:
            vector = state.into[state.slot[item]]
            weight = F(1.0) / F(1.0 + back)
            for f in range(vector.shape[0]):
                query[f] += weight * wide(vector[f])


@bare_kernel
def evidence(state, board, chosen):  # type: ignore[no-untyped-def]
    """Columns AFFINITY (without the bias) and LEANING (the bias)."""
    query = board.query
    for x in range(chosen):
        later = state.slot[board.item[board.candidate[min(x + AHEAD, chosen - 1)]]]
        prefetch(state.out, later)
        prefetch(state.scalar, later)
        s = state.slot[board.item[board.candidate[x]]]
        z, vector = F(0), state.out[s]
        for f in range(vector.shape[0]):
            z += query[f] * wide(vector[f])
        board.evidence[AFFINITY, x] = z
        board.evidence[LEANING, x] = state.scalar[s, BIAS]


@bare_kernel
def learn(state, history, user, item, count, events, known, board, random):  # type: ignore[no-untyped-def]
    """One step; `count`: events by item; `events`: of all; `known`: numbers that items have."""
    recent = min(state.seen[0], RECENT)
    if history.size[user] == 0 or recent < 10 or known < 2:
        return
    query, drawn, z, pull = board.query, board.drawn, board.odds, board.pull
    user_vector(state, history, user, query)
    highest = F(-1e9)
    drawn[0] = item
    for k in range(1, NEGATIVES + 1):
        if k & 1:
            drawn[k] = state.recent[np.int64(uniform(random) * recent)]
        else:
            drawn[k] = np.int32(np.int64(uniform(random) * known))
        prefetch(state.slot, drawn[k])
        prefetch(count, drawn[k])
    for k in range(NEGATIVES + 1):
        prefetch(state.out, state.slot[drawn[k]])
        prefetch(state.scalar, state.slot[drawn[k]])
    for k in range(NEGATIVES + 1):
        j = drawn[k]
        drawn[k] = state.slot[j]
        y, vector = state.scalar[drawn[k], BIAS], state.out[drawn[k]]
        for f in range(vector.shape[0]):
            y += query[f] * wide(vector[f])
        if k > 0:
            odds = 0.5 * (count[j] + 1.0) / (events + 1.0) + 0.5 / known
            y -= F(np.log(odds * NEGATIVES))
            if j == item:
                y = F(-1e9)
        z[k] = y
        highest = max(highest, y)
    total = F(0)
    for k in range(NEGATIVES + 1):
        z[k] = exp(max(z[k] - highest, F(-80)))
        total += z[k]
    length = F(0)
    for f in range(WIDTH):
        pull[f] = F(0)
        length += query[f] * query[f]
    length /= F(WIDTH)
    for k in range(NEGATIVES + 1):
        g = z[k] / total - (F(1) if k == 0 else F(0))
        s = drawn[k]
        if abs(g) < F(1e-4) or s == 0:
            continue
        vector = state.out[s]
        for f in range(vector.shape[0]):
            pull[f] += g * wide(vector[f])
        state.scalar[s, SQUARES_OUT] += g * g * length
        step = RATE * g / np.sqrt(state.scalar[s, SQUARES_OUT])
        step_down(vector, step, query, dither(events, s))
        state.scalar[s, SQUARES_BIAS] += g * g
        state.scalar[s, BIAS] -= RATE * g / np.sqrt(state.scalar[s, SQUARES_BIAS])
    size = F(0)
    for f in range(WIDTH):
        size += pull[f] * pull[f]
    size /= F(WIDTH)
    state.user_squares[user] += size
    step = RATE / np.sqrt(state.user_squares[user])
    for f in range(WIDTH):
        state.user[user, f] -= step * pull[f]
    newest = history.start[user] + history.size[user] - 1
    for back in range(min(history.size[user], REMEMBERED)):
        other = history.words[newest - back, ITEM]
        s = state.slot[other] if other >= 0 else 0
        if s > 0:
            weight = F(1.0) / F(1.0 + back)
            state.scalar[s, SQUARES_IN] += weight * weight * size
            step = weight * RATE / np.sqrt(state.scalar[s, SQUARES_IN])
            step_down(state.into[s], step, pull, dither(events, s))
