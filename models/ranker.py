"""The ranker: weighs the sources' evidence, and learns how from every event.

For a candidate with (normalised) evidence x, in the context c of this user and moment,

    score = (W c + w_user) · x  +  w₂ · relu(W₁ x + V c + b)  +  b_item  +  q · r_item

    W c      linear weights that depend on the context      w_user   this user's deviations
    relu …   a small neural network of HIDDEN units         b_item   what the item is worth to all
    q        t_user + Σ_k 0.9^k · into(a_k) over the user's last 20 items: a low-rank term, learned
             for ranking, where the embeddings are learned for finding

and  p = softmax(score)  over the candidates. One step per event, towards the item r that was really
taken next, by the gradient of a generalised cross-entropy (Zhang & Sabuncu 2018) with a floor:

    max(p_r, LEAST)^Q · ∂(−ln p_r)

so an event that hardly anybody could foresee teaches less than one that could be foreseen, and the
first places are better for it. p is a little too sure of itself then: above the floor, as the
chance to the power 1/(1 − Q). Steps are by schedule-free Adam (Defazio et al. 2024) on the shared
weights, whose running mean over MEAN_OVER steps keeps following the stream, Adagrad on those of a
user or an item. Candidates with p below RARE enter the gradient by unbiased sampling: with
probability p/RARE, and then as if p were RARE.

Evidence is brought to mean 0 and variance 1 by running statistics, and clipped to ±4, so that no
step size has to be tuned to a stream.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.board import DIFFERING
from models.evidence import (
    COLUMNS,
    CONTENT,
    FORWARD,
    KIN,
    NEIGHBOURS,
    NEXT,
    RELATIVE,
    SYMMETRIC,
    TREND,
    TRENDS,
)
from models.jit import bare_kernel
from models.numeric import NEAREST, F, dither, exp, log, narrow, step_down, uniform, wide
from models.prefetch import AHEAD, prefetch
from models.user import AGE, ITEM, POPULARITY

HIDDEN = 32
CONTEXT = 16
RANK = 32

RATE = 1e-3
WARM_UP, MEAN_OVER = 500.0, 4_000.0
"""Steps over which the rate rises, and over which the shared weights are averaged."""

BLEND = F(0.9)
"""The mean's part in the weights that are used; the rest is the newest step's."""

USER_RATE, ITEM_RATE, RANK_RATE = F(0.02), F(0.02), F(0.05)
USER_DECAY = F(0.999)
TASTE_SQUARES = 0.01
"""The memory of a user's gradients, to begin with."""

Q, LEAST = F(0.12), F(3e-2)
"""The loss's exponent, and its floor."""

RARE = F(0.01)
CLIP = F(4)

WALK, WALK_DECAY = 20, 0.9

# Where the shared weights lie in `theta`: first W₁, [COLUMNS, HIDDEN], so that what a column adds
# to all units lies together.
_V = HIDDEN * COLUMNS
_B = _V + HIDDEN * CONTEXT
_W2 = _B + HIDDEN
_W = _W2 + HIDDEN
_END = _W + COLUMNS * CONTEXT

#: Columns of `scalar`.
BIAS, SQUARES_BIAS, SQUARES_IN, SQUARES_OUT = 0, 1, 2, 3


class Ranker(NamedTuple):
    """theta, fast, squares, gradient: float32, the shared weights as used (θ) and as last stepped
    to (z), and the memory of their gradients.

    steps: int64 [1]. mean, variance: float64 [COLUMNS], of the evidence. deviation: float32
    [users, COLUMNS]; deviation_squares: float32 [users]. taste: float32 [users, RANK], t_user;
    taste_squares: float32 [users]. into, out: uint16 [slots, RANK], halves (`numeric.narrow`), and
    scalar: float32 [slots, 4], by the items' slots (`sources.embeddings`).
    context, weight, query, pull: scratch.
    """

    theta: NDArray[np.float32]
    fast: NDArray[np.float32]
    squares: NDArray[np.float32]
    gradient: NDArray[np.float32]
    steps: NDArray[np.int64]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    deviation: NDArray[np.float32]
    deviation_squares: NDArray[np.float32]
    taste: NDArray[np.float32]
    taste_squares: NDArray[np.float32]
    into: NDArray[np.uint16]
    out: NDArray[np.uint16]
    scalar: NDArray[np.float32]
    context: NDArray[np.float32]
    weight: NDArray[np.float32]
    query: NDArray[np.float32]


def new_ranker(users: int, slots: int, random: np.random.Generator) -> Ranker:
    """Sensible before the first event: it follows co-visitation, what is of a kind, and trends."""
    theta = np.zeros(_END, np.float32)
    theta[:_V] = random.normal(0, COLUMNS**-0.5, _V)
    linear = theta[_W:].reshape(COLUMNS, CONTEXT)
    linear[[RELATIVE + SYMMETRIC, RELATIVE + FORWARD], 0] = 0.4
    linear[[RELATIVE + NEXT, RELATIVE + NEIGHBOURS], 0] = 0.2
    linear[[TREND, KIN, CONTENT], 0] = 0.2
    linear[TREND + 1 : TREND + TRENDS, 0] = 0.1
    return Ranker(
        theta=theta,
        fast=theta.copy(),
        squares=np.zeros(_END, np.float32),
        gradient=np.zeros(_END, np.float32),
        steps=np.zeros(1, np.int64),
        mean=np.zeros(COLUMNS),
        variance=np.ones(COLUMNS),
        deviation=np.zeros((users, COLUMNS), np.float32),
        deviation_squares=np.ones(users, np.float32),
        taste=np.zeros((users, RANK), np.float32),
        taste_squares=np.full(users, TASTE_SQUARES, np.float32),
        into=np.zeros((slots, RANK), np.uint16),
        out=np.zeros((slots, RANK), np.uint16),
        scalar=np.zeros((slots, 4), np.float32),
        context=np.zeros(CONTEXT, np.float32),
        weight=np.zeros(COLUMNS, np.float32),
        query=np.zeros(RANK, np.float32),
    )


@bare_kernel
def give(state, slot, random):  # type: ignore[no-untyped-def]
    """Vectors of its own for an item: uniform, of the variance 0.01/RANK."""
    width = 0.2 * np.sqrt(3.0 / RANK)
    for f in range(RANK):
        state.into[slot, f] = narrow((uniform(random) - 0.5) * width, NEAREST)
        state.out[slot, f] = narrow((uniform(random) - 0.5) * width, NEAREST)
    state.scalar[slot, BIAS] = F(0)
    state.scalar[slot, SQUARES_BIAS] = F(1)
    state.scalar[slot, SQUARES_IN] = F(0.01)
    state.scalar[slot, SQUARES_OUT] = F(0.01)


@bare_kernel
def set_context(  # type: ignore[no-untyped-def]
    state, users, user, second, best, lines, met, repeats, returned
):
    """The context c: history, pause, strength of the evidence, habits."""
    history = users.history
    n = history.size[user]
    pause = F(-1)
    if n > 0:
        from_last = second - history.words[history.start[user] + n - 1, 1]
        pause = F(max(0, from_last))
    c = state.context
    c[0] = 1
    c[1] = log(F(1.0 + n)) / F(3)
    c[2] = F(n == 0)
    c[3] = F(n < 5)
    c[4] = log(F(1) + pause) / F(8) if n > 0 else F(0)
    c[5] = F(n > 0 and pause < 1_800)
    c[6] = F(pause > 86_400)
    c[7] = max(F(-1), log(best[SYMMETRIC] + F(1e-3)) / F(4))
    c[8] = max(F(-1), log(best[NEXT] + F(1e-3)) / F(4))
    c[9] = log(F(1.0 + lines)) / F(6)
    c[10] = log(F(1.0 + met)) / F(5)
    c[11] = users.habit[user, POPULARITY] / F(5)
    c[12] = F(n == 1)
    c[13] = users.habit[user, AGE] / F(20)
    c[14] = F(repeats)
    c[15] = min(F(1), (returned + F(1)) / F(n + 4.0))


@bare_kernel
def observe(state, evidence, chosen):  # type: ignore[no-untyped-def]
    """Running mean and variance of the evidence, from every 37th candidate."""
    rate = 0.2 * max(1e-4, 1.0 / (1.0 + state.steps[0] / 4))
    for f in range(COLUMNS):
        for x in range(0, chosen, 37):
            difference = evidence[f, x] - state.mean[f]
            state.mean[f] += rate * difference
            state.variance[f] += rate * (difference * difference - state.variance[f])


@bare_kernel
def normalise(state, board, chosen):  # type: ignore[no-untyped-def]
    """Evidence to mean 0, variance 1, within ±CLIP; in place. And board.order: columns in which
    candidates differ first; most users and streams leave a quarter of them or more without."""
    differing, same = 0, COLUMNS
    for f in range(COLUMNS):
        mean = F(state.mean[f])
        scale = F(1.0 / np.sqrt(state.variance[f] + 1e-4))
        row = board.evidence[f]
        first, others = row[0], np.int32(0)
        for x in range(chosen):
            others += np.int32(row[x] != first)
            row[x] = min(max((row[x] - mean) * scale, -CLIP), CLIP)
        if others > 0:
            board.order[differing] = f
            differing += 1
        else:
            same -= 1
            board.order[same] = f
    board.number[DIFFERING] = (differing + 3) // 4 * 4


@bare_kernel
def ask(state, history, user, slot, board, chosen):  # type: ignore[no-untyped-def]
    """Score the candidates from the board's normalised evidence."""
    theta, context, weight, query = state.theta, state.context, state.weight, state.query
    evidence, score = board.evidence, board.score
    for f in range(COLUMNS):
        z = state.deviation[user, f]
        for c in range(CONTEXT):
            z += theta[_W + f * CONTEXT + c] * context[c]
        weight[f] = z
    for f in range(RANK):
        query[f] = state.taste[user, f]
    newest = history.start[user] + history.size[user] - 1
    fade = F(1)
    for back in range(min(history.size[user], WALK)):
        item = history.words[newest - back, ITEM]
        if item >= 0:
            vector = state.into[slot[item]]
            for f in range(vector.shape[0]):
                query[f] += fade * wide(vector[f])
        fade *= F(WALK_DECAY)
    for x in range(chosen):
        later = slot[board.item[board.candidate[min(x + AHEAD, chosen - 1)]]]
        prefetch(state.out, later)
        prefetch(state.scalar, later)
        s = slot[board.item[board.candidate[x]]]
        z, vector = state.scalar[s, BIAS], state.out[s]
        for f in range(vector.shape[0]):
            z += query[f] * wide(vector[f])
        score[x] = z
    order, differing = board.order, board.number[DIFFERING]
    for k in range(0, differing, 4):
        f0, f1, f2, f3 = order[k], order[k + 1], order[k + 2], order[k + 3]
        w0, w1, w2, w3 = weight[f0], weight[f1], weight[f2], weight[f3]
        r0, r1, r2, r3 = evidence[f0], evidence[f1], evidence[f2], evidence[f3]
        for x in range(chosen):
            score[x] += w0 * r0[x] + w1 * r1[x] + w2 * r2[x] + w3 * r3[x]
    for h in range(HIDDEN):
        z = theta[_B + h]
        for c in range(CONTEXT):
            z += theta[_V + h * CONTEXT + c] * context[c]
        board.units[h] = z
        board.passing[h] = z
    same = F(0)  # to all candidates
    for k in range(differing, COLUMNS):
        f = order[k]
        value, weights = evidence[f, 0], theta[f * HIDDEN : f * HIDDEN + HIDDEN]
        same += weight[f] * value
        for h in range(weights.shape[0]):
            board.passing[h] += weights[h] * value
    for x in range(chosen):
        score[x] += same
    for h in range(0, HIDDEN, 4):
        _four_units(theta, board, h, chosen)


@bare_kernel
def _four_units(theta, board, h, chosen):  # type: ignore[no-untyped-def]
    """Units h to h + 3 of all candidates, and what they add to the scores.

    Four units and four columns at a time: a number that was fetched serves in four products.
    """
    score, units, order, evidence = board.score, board.passing, board.order, board.evidence
    u0, u1, u2, u3 = board.hidden[h], board.hidden[h + 1], board.hidden[h + 2], board.hidden[h + 3]
    z0, z1, z2, z3 = units[h], units[h + 1], units[h + 2], units[h + 3]
    for x in range(chosen):
        u0[x] = z0
        u1[x] = z1
        u2[x] = z2
        u3[x] = z3
    for k in range(0, board.number[DIFFERING], 4):
        f0, f1, f2, f3 = order[k], order[k + 1], order[k + 2], order[k + 3]
        at = f0 * HIDDEN + h
        a0, a1, a2, a3 = theta[at], theta[at + 1], theta[at + 2], theta[at + 3]
        at = f1 * HIDDEN + h
        b0, b1, b2, b3 = theta[at], theta[at + 1], theta[at + 2], theta[at + 3]
        at = f2 * HIDDEN + h
        c0, c1, c2, c3 = theta[at], theta[at + 1], theta[at + 2], theta[at + 3]
        at = f3 * HIDDEN + h
        d0, d1, d2, d3 = theta[at], theta[at + 1], theta[at + 2], theta[at + 3]
        ra, rb, rc, rd = evidence[f0], evidence[f1], evidence[f2], evidence[f3]
        for x in range(chosen):
            a, b, c, d = ra[x], rb[x], rc[x], rd[x]
            u0[x] += a0 * a + b0 * b + c0 * c + d0 * d
            u1[x] += a1 * a + b1 * b + c1 * c + d1 * d
            u2[x] += a2 * a + b2 * b + c2 * c + d2 * d
            u3[x] += a3 * a + b3 * b + c3 * c + d3 * d
    at = _W2 + h
    w0, w1, w2, w3 = theta[at], theta[at + 1], theta[at + 2], theta[at + 3]
    for x in range(chosen):
        z0, z1, z2, z3 = max(u0[x], F(0)), max(u1[x], F(0)), max(u2[x], F(0)), max(u3[x], F(0))
        u0[x] = z0
        u1[x] = z1
        u2[x] = z2
        u3[x] = z3
        score[x] += w0 * z0 + w1 * z1 + w2 * z2 + w3 * z3


@bare_kernel
def units_of(theta, units, column, into):  # type: ignore[no-untyped-def]
    """W₁ x + V c + b for one column of evidence in the context last asked about, to which `units`
    (the board's) belong, before the relu. Filled in: `into`, float32 [HIDDEN]."""
    for h in range(HIDDEN):
        into[h] = units[h]
    for f in range(COLUMNS):
        value, weights = column[f], theta[f * HIDDEN : f * HIDDEN + HIDDEN]
        for h in range(weights.shape[0]):
            into[h] += weights[h] * value


@bare_kernel
def fall_of(theta, weight, units, before, column, passing):  # type: ignore[no-untyped-def]
    """By how much the score falls when the evidence `before`, with `units` (`units_of`), becomes
    `column`; bias and low-rank term aside. Only what differs is computed. passing: float32
    [HIDDEN], scratch."""
    fall = F(0)
    for h in range(HIDDEN):
        passing[h] = units[h]
    for f in range(COLUMNS):
        difference = column[f] - before[f]
        if difference != 0:
            fall -= weight[f] * difference
            weights = theta[f * HIDDEN : f * HIDDEN + HIDDEN]
            for h in range(weights.shape[0]):
                passing[h] += weights[h] * difference
    out = theta[_W2 : _W2 + HIDDEN]
    for h in range(out.shape[0]):
        fall += out[h] * (max(units[h], F(0)) - max(passing[h], F(0)))
    return fall


@bare_kernel
def tell(state, history, user, slot, board, chosen, right, random):  # type: ignore[no-untyped-def]
    """One step towards the candidate that was taken; after `ask` on the same board."""
    theta, context, gradient = state.theta, state.context, state.gradient
    score, chance = board.score, board.chance
    highest = score[0]
    for x in range(chosen):
        highest = max(highest, score[x])
    total = F(0)
    for x in range(chosen):
        chance[x] = exp(score[x] - highest)
        total += chance[x]
    for k in range(_END):
        gradient[k] = F(0)
    length = F(0)
    for f in range(RANK):
        length += state.query[f] * state.query[f]
    length /= F(RANK)
    linear, back, pull, pushed = board.linear, board.units, board.pull, board.pushed
    for f in range(COLUMNS):
        linear[f] = F(0)
    for h in range(HIDDEN):
        back[h] = F(0)
    for f in range(RANK):
        pull[f] = F(0)

    pushing = 0
    lesson = exp(Q * log(max(chance[right] / total, LEAST)))
    for x in range(chosen):
        g = chance[x] / total
        if x == right:
            g -= F(1)
        elif g < RARE:
            if uniform(random) * RARE > g:
                continue
            g = RARE
        g *= lesson
        pushed[pushing] = x
        chance[pushing] = g
        pushing += 1
        s = slot[board.item[board.candidate[x]]]
        if s > 0:
            state.scalar[s, SQUARES_BIAS] += g * g
            state.scalar[s, BIAS] -= ITEM_RATE * g / np.sqrt(state.scalar[s, SQUARES_BIAS])
            state.scalar[s, SQUARES_OUT] += g * g * length
            step = RANK_RATE * g / np.sqrt(state.scalar[s, SQUARES_OUT])
            vector = state.out[s]
            for f in range(vector.shape[0]):
                pull[f] += g * wide(vector[f])
            step_down(vector, step, state.query, dither(state.steps[0], s))
    for k in range(pushing, pushing + 3):  # fill up the last four
        pushed[k] = 0
        chance[k] = F(0)
    for k in range(0, pushing, 4):
        _four_push(theta, gradient, board, k)
    together = F(0)
    for k in range(pushing):
        together += chance[k]
    for k in range(board.number[DIFFERING], COLUMNS):
        f = board.order[k]
        value, into = board.evidence[f, 0], gradient[f * HIDDEN : f * HIDDEN + HIDDEN]
        linear[f] = together * value
        for h in range(into.shape[0]):
            into[h] = back[h] * value
    for h in range(HIDDEN):
        gradient[_B + h] = back[h]
        for c in range(CONTEXT):
            gradient[_V + h * CONTEXT + c] = back[h] * context[c]
    for f in range(COLUMNS):
        for c in range(CONTEXT):
            gradient[_W + f * CONTEXT + c] = linear[f] * context[c]
    _adam(state)

    z = F(0)
    for f in range(COLUMNS):
        z += linear[f] * linear[f]
    state.deviation_squares[user] += z / F(COLUMNS)
    step = USER_RATE / np.sqrt(state.deviation_squares[user])
    for f in range(COLUMNS):
        state.deviation[user, f] = USER_DECAY * state.deviation[user, f] - step * linear[f]
    z = F(0)
    for f in range(RANK):
        z += pull[f] * pull[f]
    z /= F(RANK)
    state.taste_squares[user] += z
    step = RANK_RATE / np.sqrt(state.taste_squares[user])
    for f in range(RANK):
        state.taste[user, f] -= step * pull[f]
    newest = history.start[user] + history.size[user] - 1
    fade = F(1)
    for ago in range(min(history.size[user], WALK)):
        item = history.words[newest - ago, ITEM]
        s = slot[item] if item >= 0 else 0
        if s > 0:
            state.scalar[s, SQUARES_IN] += fade * fade * z
            step = fade * RANK_RATE / np.sqrt(state.scalar[s, SQUARES_IN])
            step_down(state.into[s], step, pull, dither(state.steps[0], s))
        fade *= F(WALK_DECAY)


@bare_kernel
def _four_push(theta, gradient, board, k):  # type: ignore[no-untyped-def]
    """Add to the gradient what `pushed` k to k + 3 give to it, `chance` being how hard they push.

    Four at a time: a number of the gradient is fetched and put back once for four.
    """
    linear, back, pushed, chance = board.linear, board.units, board.pushed, board.chance
    through = board.through
    t0, t1, t2, t3 = through[0], through[1], through[2], through[3]
    x0, x1, x2, x3 = pushed[k], pushed[k + 1], pushed[k + 2], pushed[k + 3]
    g0, g1, g2, g3 = chance[k], chance[k + 1], chance[k + 2], chance[k + 3]
    for h in range(HIDDEN):
        row, w = board.hidden[h], theta[_W2 + h]
        u0, u1, u2, u3 = row[x0], row[x1], row[x2], row[x3]
        gradient[_W2 + h] += g0 * u0 + g1 * u1 + g2 * u2 + g3 * u3
        t0[h] = g0 * w if u0 > 0 else F(0)
        t1[h] = g1 * w if u1 > 0 else F(0)
        t2[h] = g2 * w if u2 > 0 else F(0)
        t3[h] = g3 * w if u3 > 0 else F(0)
        back[h] += t0[h] + t1[h] + t2[h] + t3[h]
    for column in range(board.number[DIFFERING]):
        f = board.order[column]
        row, into = board.evidence[f], gradient[f * HIDDEN : f * HIDDEN + HIDDEN]
        v0, v1, v2, v3 = row[x0], row[x1], row[x2], row[x3]
        linear[f] += g0 * v0 + g1 * v1 + g2 * v2 + g3 * v3
        for h in range(into.shape[0]):
            into[h] += t0[h] * v0 + t1[h] * v1 + t2[h] * v2 + t3[h] * v3


@bare_kernel
def _adam(state):  # type: ignore[no-untyped-def]
    """Schedule-free Adam; the running mean x follows from θ = (1 − BLEND) z + BLEND x."""
    state.steps[0] += 1
    t = state.steps[0]
    step = F(RATE * min(1.0, t / WARM_UP) * np.sqrt(1 - 0.999 ** min(t, 100_000)))
    share = F(max(1.0 / t, 1.0 / MEAN_OVER))
    theta, fast, squares, gradient = state.theta, state.fast, state.squares, state.gradient
    for i in range(_END):
        g = gradient[i]
        mean = (theta[i] - (F(1) - BLEND) * fast[i]) * (F(1) / BLEND)
        v = F(0.999) * squares[i] + F(0.001) * g * g
        squares[i] = v
        fast[i] -= step * g / (np.sqrt(v) + F(1e-6))
        mean += share * (fast[i] - mean)
        theta[i] = (F(1) - BLEND) * fast[i] + BLEND * mean
