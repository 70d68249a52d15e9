"""Co-visitation: what people took together.

State: for every item a bounded row of neighbours with three weights. When a user takes item i with
the items a₀ (newest), a₁, … before it, each pair (a_q, i) gains

    symmetric  s += w/√(1+q)          in both rows
    forward    f += w/√(1+q)          in the row of a_q only, q < 5: i came *after* a_q
    session    b += w/√(1+q) · 1/(1+Δt/30 min)    in both rows: taken in one go

where w = √(N + 1) of the row's item, with N(x) = number of events of x: the n-th event of an item
counts √n times as much as its first, so its row follows the times at that item's own pace (forward
decay by a polynomial; Cormode et al. 2009). Scores of a candidate j for a user with the history a₀,
a₁, …:

    score(j) = Σ_q  decay^q · weight(a_q, j) / √(N(a_q)+1) / √N(a_q) / √(N(j)+1)

    SYMMETRIC  0.8^q over 10 items of s      LONG     0.95^q over 30 items of s
    FORWARD    0.8^q over 10 items of f      NEXT     a₀ alone, of f
    SESSION    0.8^q over 10 items of b

Weights are numbers of 16 bits, rounded by chance (`numeric.narrow`): 8 bits are plenty for a score,
too few to add up in.

Rows grow with use up to WIDEST. Heavy entries move towards the front; in a full row a newcomer
replaces the lightest of 8 entries sampled from the back half, or else makes that one lighter, so
that what is no longer seen gives way (after Metwally et al. 2005, space-saving).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.board import BEST, BEST_FORWARD, LINKS, line_of
from models.evidence import FORWARD, LONG, NEXT, SESSION, SYMMETRIC
from models.jit import bare_kernel, inlined, small
from models.lists import Lists, grow, new_lists
from models.numeric import SPREAD, F, dither, narrow, wide
from models.places import place_of
from models.prefetch import AHEAD as ENTRIES_AHEAD
from models.prefetch import prefetch
from models.user import ITEM, TIME
from models.user import SESSION as SESSION_SECONDS

WIDEST = 512
"""Most neighbours of an item."""

PAIRED, PAIRED_FORWARD = 10, 5
"""How many earlier items an event is paired with."""

SHORT_WALK, LONG_WALK = 10, 30
SHORT_DECAY, LONG_DECAY = 0.8, 0.95

FIRST_READ, READ_DECAY, LEAST_READ = 400.0, 0.9, 40
"""Entries read of the newest item's row; by how much fewer for each older one; the fewest."""

PLACES_PER_EVENT = PAIRED * 4 * WIDEST
"""Places that one event may take from the block, at most."""

WEIGHT, AHEAD, TOGETHER = 0, 1, 2
"""Columns of a row's `halves`: s, f and b."""

FETCHED, NUMBERS_PER_LINE = 256, 16
"""Entries of a row that are fetched ahead, and how many numbers come together."""


class Covisitation(NamedTuple):
    """rows: by item, entries of one word, the neighbour's number, and three halves. others: int32
    [places], the same memory as `rows.words`.

    taken: float32, events of each item. norm: float32, 1/√(count+1); 0 where it is not to be had.
    """

    rows: Lists
    others: NDArray[np.int32]
    taken: NDArray[np.float32]
    norm: NDArray[np.float32]


def new_covisitation(items: int) -> Covisitation:
    """Nothing was ever taken together."""
    rows = new_lists(items, 1, 3)
    return Covisitation(
        rows, rows.words.reshape(-1), np.zeros(items, np.float32), np.ones(items, np.float32)
    )


@small
def scale_of(taken):  # type: ignore[no-untyped-def]
    """1 / √((N + 1) N): what the weights in the row of an item taken N times are read with."""
    return F(1.0) / np.sqrt((taken + F(1.0)) * (taken + F(1e-9)))


@bare_kernel
def _put(weights, together, ahead, session, chance):  # type: ignore[no-untyped-def]
    weights[WEIGHT] = narrow(together, chance)
    weights[AHEAD] = narrow(ahead, chance + SPREAD)
    weights[TOGETHER] = narrow(session, chance + np.int32(2) * SPREAD)


@bare_kernel
def _pair(state, item, other, together, ahead, session, salt):  # type: ignore[no-untyped-def]
    """Add to one entry of one row."""
    rows, others, weights = state.rows, state.others, state.rows.halves
    at, size = rows.start[item], np.int64(rows.size[item])
    chance = dither(salt, other)
    x = place_of(others[at : at + size], other)
    if x >= 0:
        y = at + (x >> 1)
        x += at
        together += wide(weights[x, WEIGHT])
        ahead += wide(weights[x, AHEAD])
        session += wide(weights[x, TOGETHER])
        if together > wide(weights[y, WEIGHT]):
            others[x] = others[y]
            for c in range(TOGETHER + 1):
                weights[x, c] = weights[y, c]
            x = y
            others[x] = other
        _put(weights[x], together, ahead, session, chance)
        return
    if size == WIDEST:
        half = size // 2
        lightest = at + half
        for k in range(8):
            x = at + half + (salt + k * 13) % (size - half)
            if wide(weights[x, WEIGHT]) < wide(weights[lightest, WEIGHT]):
                lightest = x
        if wide(weights[lightest, WEIGHT]) > together * F(2):
            other = others[lightest]
            together = F(0.9) * wide(weights[lightest, WEIGHT])
            ahead = F(0.9) * wide(weights[lightest, AHEAD])
            session = F(0.9) * wide(weights[lightest, TOGETHER])
        x = lightest
    else:
        if size == rows.room[item]:
            grow(rows, item)
            at = rows.start[item]
        x = at + size
        rows.size[item] = size + 1
    others[x] = other
    _put(weights[x], together, ahead, session, chance)


@inlined
def fetch(state, item):  # type: ignore[no-untyped-def]
    """Fetch an item's row towards the processor, as it will soon be walked or added to."""
    at = state.rows.start[item]
    for x in range(at, at + min(np.int64(state.rows.size[item]), FETCHED), NUMBERS_PER_LINE):
        prefetch(state.others, x)
        prefetch(state.rows.halves, x)


@bare_kernel
def learn(state, history, user, item, second, weight, event):  # type: ignore[no-untyped-def]
    """One event, before it enters the user's history."""
    newest = history.start[user] + history.size[user] - 1
    salt = event * 7
    for back in range(min(history.size[user], PAIRED)):
        other = history.words[newest - back, ITEM]
        if other < 0:
            continue
        together = weight * F(1.0 / np.sqrt(1.0 + back))
        gap = max(0, second - history.words[newest - back, TIME])
        session = together * F(1.0 / (1.0 + gap / SESSION_SECONDS))
        ahead = together if back < PAIRED_FORWARD else F(0)
        w = np.sqrt(state.taken[other] + F(1))
        _pair(state, other, item, w * together, w * ahead, w * session, salt + item)
        if other != item:
            w = np.sqrt(state.taken[item] + F(1))
            _pair(state, item, other, w * together, F(0), w * session, salt + other)
    state.taken[item] += weight
    if state.norm[item] > 0:
        state.norm[item] = F(1.0) / np.sqrt(state.taken[item] + F(1.0))


@bare_kernel
def propose(state, history, user, board, norm):  # type: ignore[no-untyped-def]
    """Walk the rows of the user's newest items and add up every neighbour's scores."""
    at = history.start[user]
    newest = at + history.size[user] - 1
    others, weights, tally = state.others, state.rows.halves, board.tally
    short, long, read = F(1.0), F(1.0), FIRST_READ
    for back in range(min(history.size[user], LONG_WALK)):
        item = history.words[newest - back, ITEM]
        if item >= 0 and state.rows.size[item] > 0:
            start = state.rows.start[item]
            stop = start + min(np.int64(state.rows.size[item]), max(LEAST_READ, np.int64(read)))
            read *= READ_DECAY
            scale = scale_of(state.taken[item])
            near, far = short * scale, long * scale
            if back >= SHORT_WALK:  # nothing but LONG and what is like it
                for x in range(start, stop):
                    later = others[min(x + ENTRIES_AHEAD, stop - 1)]
                    prefetch(board.mark, later)
                    prefetch(norm, later)
                    line = line_of(board, others[x], norm)
                    if line >= 0:
                        weight = far * wide(weights[x, WEIGHT])
                        tally[line, LONG] += weight
                        tally[line, LINKS] += F(1)
                        tally[line, BEST] = max(tally[line, BEST], weight)
            else:
                last = scale if back == 0 else F(0)
                for x in range(start, stop):
                    later = others[min(x + ENTRIES_AHEAD, stop - 1)]
                    prefetch(board.mark, later)
                    prefetch(norm, later)
                    line = line_of(board, others[x], norm)
                    if line < 0:
                        continue
                    weight, ahead = wide(weights[x, WEIGHT]), wide(weights[x, AHEAD])
                    tally[line, SYMMETRIC] += near * weight
                    tally[line, LONG] += far * weight
                    tally[line, FORWARD] += near * ahead
                    tally[line, NEXT] += last * ahead
                    tally[line, SESSION] += near * wide(weights[x, TOGETHER])
                    tally[line, LINKS] += F(1)
                    tally[line, BEST] = max(tally[line, BEST], far * weight)
                    tally[line, BEST_FORWARD] = max(tally[line, BEST_FORWARD], near * ahead)
        short *= F(SHORT_DECAY)
        long *= F(LONG_DECAY)
