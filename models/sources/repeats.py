"""Repeats: the user's own items, where people come back to them.

Whether they do is learned: a leaky share of events whose item stands among the user's last
LOOK_BACK. While (returns + 1) / (events + 20) is above RETURN_RATE, own items are candidates;
below it they are masked, as nobody wants to be shown the film they just rated.

Evidence: how often, how many events ago and how long ago the user took the item; how much people
return to this item, beside how much to any (returns r_j of N_j events, and ρ = all returns / all
events),

    OWN = 3 + ln((r_j + 4ρ) / (N_j + 4) / ρ)

and its rhythm: the time since the last visit beside the user's mean time between visits to it, and
beside people's where the user took it once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.board import MASKED, choose, line_of, mask
from models.evidence import BLANK, OWN, OWN_COUNT, OWN_GAP, OWN_RECENCY, OWN_RHYTHM
from models.jit import bare_kernel
from models.numeric import F, log
from models.user import ITEM, TIME

LOOK_BACK, PROPOSED = 200, 50
RETURN_RATE = 0.005
FORGET_AFTER = 20_000.0

LEARN, ALWAYS, NEVER = 0, 1, 2

#: Columns of `of_item`.
RETURNS, TOOK = 0, 1


class Repeats(NamedTuple):
    """returns: float64 [2], returns and events so far, both halved every FORGET_AFTER events.
    of_item: float32 [items, 2], returns to each item, and the mean of ln(1 + seconds) they took.
    of_user: float32 [users], each user's returns."""

    returns: NDArray[np.float64]
    of_item: NDArray[np.float32]
    of_user: NDArray[np.float32]


def new_repeats(items: int, users: int) -> Repeats:
    """Nothing known."""
    return Repeats(np.zeros(2), np.zeros((items, 2), np.float32), np.zeros(users, np.float32))


@bare_kernel
def allowed(state, rule):  # type: ignore[no-untyped-def]
    """Whether own items may be recommended now."""
    if rule == LEARN:
        return (state.returns[0] + 1.0) / (state.returns[1] + 20.0) > RETURN_RATE
    return rule == ALWAYS


@bare_kernel
def learn(state, history, user, item, second):  # type: ignore[no-untyped-def]
    """One event, before it enters the user's history."""
    size = history.size[user]
    if size == 0:
        return
    stop = history.start[user] + size
    for back in range(min(size, LOOK_BACK)):
        entry = stop - 1 - back
        if history.words[entry, ITEM] == item:
            state.returns[0] += 1.0
            state.of_user[user] += F(1)
            of_item = state.of_item[item]
            of_item[RETURNS] += F(1)
            took = log(F(1.0 + max(0, second - history.words[entry, TIME])))
            of_item[TOOK] += (took - of_item[TOOK]) / of_item[RETURNS]
            break
    state.returns[1] += 1.0
    if state.returns[1] > FORGET_AFTER:
        state.returns[0] *= 0.5
        state.returns[1] *= 0.5


@bare_kernel
def mask_own(history, user, board):  # type: ignore[no-untyped-def]
    """Keep every item of a list out of this ranking."""
    start = history.start[user]
    for x in range(start, start + history.size[user]):
        item = history.words[x, ITEM]
        if item >= 0:
            mask(board, item)


@bare_kernel
def propose(history, user, board, norm, chosen):  # type: ignore[no-untyped-def]
    """The newest own items; returns the number of candidates."""
    newest = history.start[user] + history.size[user] - 1
    for back in range(min(history.size[user], PROPOSED)):
        item = history.words[newest - back, ITEM]
        if item >= 0:
            line = line_of(board, item, norm)
            if line >= 0:
                chosen = choose(board, line, chosen)
    return chosen


@bare_kernel
def evidence(state, history, user, second, taken, board, chosen, allowed):  # type: ignore[no-untyped-def]
    """Columns OWN … OWN_RHYTHM."""
    out = board.evidence
    for c in range(OWN, OWN_RHYTHM + 1):
        for x in range(chosen):
            out[c, x] = BLANK[c]
    if not allowed:
        return
    newest = history.start[user] + history.size[user] - 1
    for back in range(min(history.size[user], LOOK_BACK)):
        entry = newest - back
        item = history.words[entry, ITEM]
        if item < 0 or board.mark[item, 0] != board.number[0]:
            continue
        line = board.mark[item, 1]
        if line == MASKED or board.chosen[line] == 0:
            continue
        x = board.chosen[line] - 1
        when = history.words[entry, TIME]
        if out[OWN, x] == 0:
            out[OWN, x] = F(1)
            out[OWN_RECENCY, x] = -log(F(1.0 + back))
            out[OWN_GAP, x] = F(max(0, second - when))
        out[OWN_COUNT, x] += F(1)
        out[OWN_RHYTHM, x] = F(max(0, second - when))  # since the first visit, in the end
    rate = F((state.returns[0] + 1.0) / (state.returns[1] + 20.0))
    for x in range(chosen):
        if out[OWN, x] > 0:
            item = board.item[board.candidate[x]]
            returns = state.of_item[item, RETURNS]
            more = (returns + F(4) * rate) / ((taken[item] + F(4)) * rate)
            out[OWN, x] = F(3) + log(max(more, F(0.1)))
            gap, since = out[OWN_GAP, x], out[OWN_RHYTHM, x]
            visits = out[OWN_COUNT, x]
            usual = (since - gap) / max(visits - F(1), F(1))
            out[OWN_GAP, x] = log(gap + F(1))
            if visits > 1:
                out[OWN_RHYTHM, x] = log((gap + F(1)) / (usual + F(60)))
            else:
                known = returns > 0
                out[OWN_RHYTHM, x] = out[OWN_GAP, x] - state.of_item[item, TOOK] if known else F(0)
            out[OWN_COUNT, x] = log(F(1) + visits)
