"""Trends: what is taken now, for eight meanings of *now*.

State: for every item eight counts with forward decay (Cormode et al. 2009): an event at time t adds

    w · exp(λ_k (t − landmark_k))

with λ_k = ln 2 / half-life. Reading divides by exp(λ_k (now − landmark_k)); for a comparison
between items that is not even needed. Half-lives 6 h, 1 d, 7 d and 30 d run on event time, 500,
5,000 and 50,000 events on the event clock, which follows a stream's own pace; the eighth never
decays. Late events add what is left of them. When exponents grow, the landmark moves and every
count of that half-life is scaled down once.

Each half-life keeps the LISTED highest items in order. It proposes the first PROPOSED of them that
may be recommended to the user.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.board import choose, line_of
from models.evidence import TRENDS
from models.jit import bare_kernel
from models.numeric import F, log
from models.places import place_of, shift
from models.prefetch import AHEAD, prefetch

LISTED, PROPOSED = 1_000, 40

HALF_LIVES = (6 * 3600.0, 86_400.0, 7 * 86_400.0, 30 * 86_400.0)
"""In seconds: trends 1 to 4."""

HALF_LIVES_IN_EVENTS = (500.0, 5_000.0, 50_000.0)
"""Trends 5 to 7."""

ON_EVENT_CLOCK = 1 + len(HALF_LIVES)
RATE = np.array([0.0, *(np.log(2) / h for h in HALF_LIVES + HALF_LIVES_IN_EVENTS)])
LARGEST_EXPONENT = 40.0

FIRST_SECOND, LAST_SECOND, FIRST_EVENT = 0, 1, 2
"""Columns of `life`."""


class Trends(NamedTuple):
    """decayed: float32 [items, 8], decayed counts.

    listed: int32 [8, LISTED], items, highest first; level: float32, their counts once more, so that
    nothing else is read to keep the order. length: int64 [8]. landmark: float64 [8].
    life: int32 [items, 3], first second, last second, first event number. esteem: float32, a
    running mean of the values given, each beside its user's mean; 0 where none were.
    """

    decayed: NDArray[np.float32]
    listed: NDArray[np.int32]
    level: NDArray[np.float32]
    length: NDArray[np.int64]
    landmark: NDArray[np.float64]
    life: NDArray[np.int32]
    esteem: NDArray[np.float32]


def new_trends(items: int) -> Trends:
    """Nothing was ever taken."""
    return Trends(
        decayed=np.zeros((items, TRENDS), np.float32),
        listed=np.zeros((TRENDS, LISTED), np.int32),
        level=np.zeros((TRENDS, LISTED), np.float32),
        length=np.zeros(TRENDS, np.int64),
        landmark=np.zeros(TRENDS),
        life=np.zeros((items, 3), np.int32),
        esteem=np.zeros(items, np.float32),
    )


@bare_kernel
def value(state, item, given):  # type: ignore[no-untyped-def]
    """What somebody thinks of an item: `given` is beside that user's mean, within ±3."""
    state.esteem[item] += F(0.1) * (given - state.esteem[item])


@bare_kernel
def _rise(listed, level, at, item, count):  # type: ignore[no-untyped-def]
    """Put the item before all that are lower, which fill the place `at` where it was."""
    above, below = np.int64(0), at
    while above < below:
        middle = (above + below) // 2
        if level[middle] >= count:
            above = middle + 1
        else:
            below = middle
    shift(listed, above, at - above)
    shift(level, above, at - above)
    listed[above] = item
    level[above] = count


@bare_kernel
def learn(state, item, second, event, weight):  # type: ignore[no-untyped-def]
    """One event."""
    for k in range(TRENDS):
        clock = np.float64(event) if k >= ON_EVENT_CLOCK else np.float64(second)
        exponent = RATE[k] * (clock - state.landmark[k])
        if exponent > LARGEST_EXPONENT:
            scale = F(np.exp(-min(exponent, 700.0)))
            for j in range(state.decayed.shape[0]):
                state.decayed[j, k] *= scale
            for x in range(LISTED):
                state.level[k, x] *= scale
            state.landmark[k] = clock
            exponent = 0.0
        before = state.decayed[item, k]
        count = before + weight * F(np.exp(max(exponent, -80.0)))
        state.decayed[item, k] = count
        size, level = state.length[k], state.level[k]
        at = np.int64(-1)
        if size > 0 and before >= level[size - 1]:
            at = place_of(state.listed[k, :size], item)
        if at < 0:
            at = min(size, np.int64(LISTED - 1))
            if size == LISTED and level[at] >= count:
                continue
            state.length[k] = at + 1
        _rise(state.listed[k], level, at, item, count)
    state.life[item, LAST_SECOND] = second


@bare_kernel
def remove(state, item):  # type: ignore[no-untyped-def]
    """Take an item out of every list (its counts remain)."""
    for k in range(TRENDS):
        at, size = place_of(state.listed[k, : state.length[k]], item), state.length[k]
        if at >= 0:
            for x in range(at, size - 1):
                state.listed[k, x] = state.listed[k, x + 1]
                state.level[k, x] = state.level[k, x + 1]
            state.level[k, size - 1] = F(0)
            state.length[k] = size - 1


@bare_kernel
def propose(state, norm, board, chosen):  # type: ignore[no-untyped-def]
    """The first of each list that may be recommended; returns the number of candidates."""
    for k in range(TRENDS):
        proposed = 0
        for x in range(state.length[k]):
            line = line_of(board, state.listed[k, x], norm)
            if line < 0:
                continue
            chosen = choose(board, line, chosen)
            proposed += 1
            if proposed >= PROPOSED:
                break
    return chosen


@bare_kernel
def evidence(state, board, chosen, second, event, known, habit, out):  # type: ignore[no-untyped-def]
    """Columns TREND … PACE. `out`: their rows of the board's evidence."""
    top = board.top
    top[0] = log(F(event + 1.0))
    for k in range(1, TRENDS):
        top[k] = log(max(state.level[k, 0], F(1e-30)))
    for x in range(chosen):
        later = board.item[board.candidate[min(x + AHEAD, chosen - 1)]]
        prefetch(state.decayed, later)
        prefetch(state.life, later)
        prefetch(state.esteem, later)
        item = board.item[board.candidate[x]]
        for k in range(TRENDS):
            out[k, x] = state.decayed[item, k]
        out[9, x] = F(max(0, second - state.life[item, FIRST_SECOND])) + F(60.0)
        out[10, x] = F(max(0, second - state.life[item, LAST_SECOND])) + F(1.0)
        out[11, x] = F(max(0, event - state.life[item, FIRST_EVENT])) + F(1.0)
        out[15, x] = state.esteem[item]
    # Logarithms apart from the look-ups: so they are taken of many at once.
    first = out[0]
    for x in range(chosen):
        first[x] = log(max(first[x], F(1e-3)))
    for k in range(1, TRENDS):
        row, highest = out[k], top[k]
        for x in range(chosen):
            row[x] = max(log(max(row[x], F(1e-30))) - highest, F(-9.0))
    for k in range(9, 12):
        row = out[k]
        for x in range(chosen):
            row[x] = log(row[x])
    for x in range(chosen):
        out[8, x] = out[2, x] - out[4, x]
        out[12, x] = abs(first[x] - habit[0]) if known else F(0)
        out[13, x] = abs(out[9, x] - habit[1]) if known else F(0)
        out[14, x] = out[5, x] - out[7, x]
    for x in range(chosen):
        first[x] -= top[0]
