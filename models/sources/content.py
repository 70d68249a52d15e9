"""Content: items that are alike in what they say, whoever took them.

State: for every item a row of at most LINKED items that are most like it, most alike first, with
their similarity s (a cosine of their texts' vectors, beside what is usual; `link`). Rows are given
from outside, once, when an item arrives or changes: the search for the nearest of a million items
costs a millisecond, and no event should wait for it. A new item enters the rows of those it is like
as well, so it is found seconds after its record, before anybody took it.

Score of a candidate j for a user with the history a₀ (newest), a₁, …:

    ALIKE(j) = Σ_q 0.85^q · s(a_q, j)    over the last 20 items

Of each of the newest WALK_PROPOSING items, the PROPOSED most alike that few have taken yet are
proposed; what many take, others propose.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.board import ALIKE, choose, line_of
from models.evidence import CONTENT
from models.jit import bare_kernel
from models.numeric import F, log
from models.user import ITEM

LINKED = 32
WALK, DECAY = 20, 0.85
WALK_PROPOSING, PROPOSED = 10, 4
NONE = F(2e-2)
"""Stands for no likeness at all, beneath the logarithm."""

FEW = F(5)
"""Events below which an item is new to most."""


class Content(NamedTuple):
    """item: int32 [items, LINKED], -1 beyond the last; alike: float32. told: int64 by item, the
    content that its row was given for. No rows where there is no content at all."""

    item: NDArray[np.int32]
    alike: NDArray[np.float32]
    told: NDArray[np.int64]


def new_content(items: int) -> Content:
    """Nothing is like anything."""
    return Content(
        np.full((items, LINKED), -1, np.int32),
        np.zeros((items, LINKED), np.float32),
        np.zeros(items, np.int64),
    )


@bare_kernel
def _enter(state, item, other, alike):  # type: ignore[no-untyped-def]
    """Bring `other` to its place in the item's row, if it is alike enough."""
    row, values = state.item[item], state.alike[item]
    at = 0
    while at < LINKED and row[at] >= 0 and row[at] != other:
        at += 1
    if at == LINKED:
        at = LINKED - 1
        if values[at] >= alike:
            return
    while at > 0 and values[at - 1] < alike:
        row[at] = row[at - 1]
        values[at] = values[at - 1]
        at -= 1
    row[at] = other
    values[at] = alike


@bare_kernel
def unlink(state, item):  # type: ignore[no-untyped-def]
    """The item is like nothing, and no row that it knows of names it."""
    for k in range(LINKED):
        other = state.item[item, k]
        if other < 0:
            break
        row, values, kept = state.item[other], state.alike[other], 0
        for x in range(LINKED):
            if row[x] >= 0 and row[x] != item:
                row[kept] = row[x]
                values[kept] = values[x]
                kept += 1
        for x in range(kept, LINKED):
            row[x] = -1
    for k in range(LINKED):
        state.item[item, k] = -1


@bare_kernel
def link(state, items, others, alike):  # type: ignore[no-untyped-def]
    """items: int32 [n]. others: int32 [n, m], what each is most like, -1 for none; alike: float32
    [n, m], similarities above 0. Replaces their rows; they enter the others' rows too."""
    for k in range(items.shape[0]):
        unlink(state, items[k])
    for k in range(items.shape[0]):
        for m in range(others.shape[1]):
            if others[k, m] >= 0 and others[k, m] != items[k] and alike[k, m] > 0:
                _enter(state, items[k], others[k, m], alike[k, m])
                _enter(state, others[k, m], items[k], alike[k, m])


@bare_kernel
def propose(state, history, user, taken, board, norm, chosen):  # type: ignore[no-untyped-def]
    """Walk the rows of the user's newest items; returns the number of candidates."""
    tally = board.tally
    newest = history.start[user] + history.size[user] - 1
    fade = F(1)
    for back in range(min(history.size[user], WALK)):
        item = history.words[newest - back, ITEM]
        if 0 <= item < state.item.shape[0]:
            few = 0
            for k in range(LINKED):
                other = state.item[item, k]
                if other < 0:
                    break
                line = line_of(board, other, norm)
                if line < 0:
                    continue
                tally[line, ALIKE] += fade * state.alike[item, k]
                if back < WALK_PROPOSING and few < PROPOSED and taken[other] < FEW:
                    few += 1
                    chosen = choose(board, line, chosen)
        fade *= F(DECAY)
    return chosen


@bare_kernel
def evidence(board, chosen):  # type: ignore[no-untyped-def]
    """Column CONTENT."""
    for x in range(chosen):
        board.evidence[CONTENT, x] = log(board.tally[board.candidate[x], ALIKE] + NONE)


@bare_kernel
def part(state, item, other, back):  # type: ignore[no-untyped-def]
    """What the item, `back` places from the user's newest, gives to ALIKE of another one."""
    if back < WALK and item < state.item.shape[0]:
        for k in range(LINKED):
            if state.item[item, k] == other:
                return state.alike[item, k] * F(DECAY**back)
    return F(0)
