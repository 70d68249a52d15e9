"""Categories: what this user takes of each, and what is taken now in each.

State: for every category its events, and its LISTED items of the highest decayed count (one of
`sources.trends`', on the event clock), highest first. With

    idf(c) = ln(1 + events / (1 + events of c))

the user's profile over the last items a₀ (newest), a₁, … is

    long(c) = idf(c) · Σ_q 0.98^q [c ∈ a_q]   over 120 items        now(c): 0.6^q over 3 items

A candidate j, with the vector idf(c) for c ∈ j, gets as evidence

    KIN, KIN_NOW  the cosine of j with long, and with now
    KIN_TREND     ln of its decayed count beside the highest in that category of j of which the
                  profile has most

Of the MOST_OF categories of which the profile has most, the first items are proposed, and those of
the newest that few have taken yet.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.board import choose, line_of
from models.evidence import KIN, KIN_NOW, KIN_TREND
from models.jit import bare_kernel
from models.numeric import F, log
from models.user import ITEM

KEPT = 6
"""Categories of an item that count: its first ones."""

MOST_CATEGORIES = 65_536
"""Categories that are followed; items of later ones are in none of these."""

LISTED = 64
DECAY = 6
"""The trend by which a category's items are ordered: half-life 5,000 events."""

LONG_WALK, LONG_DECAY = 120, 0.98
NOW_WALK, NOW_DECAY = 3, 0.6

MOST_OF, PROPOSED = 4, 16
"""Categories of the profile that propose, and items each."""

NEWEST, FEW = 4, F(2)
"""Newest items of a category that are kept in mind, and events below which they are proposed."""

#: Columns of `board.profile`; SEEN: 1 where the category has a place in `board.profiled`.
LONG, NOW, SEEN = range(3)


class Categories(NamedTuple):
    """of: int32 [items, KEPT], category numbers, -1 beyond the last. events, idf: float32 by
    category. total: float64 [1], events of items that have categories. listed: int32 [categories,
    LISTED], items; length: int32. newest: int32 [categories, NEWEST], a ring of items, -1 where
    there are fewer; arrived: int64, how many ever came.
    """

    of: NDArray[np.int32]
    events: NDArray[np.float32]
    idf: NDArray[np.float32]
    total: NDArray[np.float64]
    listed: NDArray[np.int32]
    length: NDArray[np.int32]
    newest: NDArray[np.int32]
    arrived: NDArray[np.int64]


def new_categories(items: int, categories: int) -> Categories:
    """No item is of any category."""
    return Categories(
        of=np.full((items, KEPT), -1, np.int32),
        events=np.zeros(categories, np.float32),
        idf=np.zeros(categories, np.float32),
        total=np.zeros(1, np.float64),
        listed=np.zeros((categories, LISTED), np.int32),
        length=np.zeros(categories, np.int32),
        newest=np.full((categories, NEWEST), -1, np.int32),
        arrived=np.zeros(categories, np.int64),
    )


@bare_kernel
def _place(state, decayed, category, item):  # type: ignore[no-untyped-def]
    """Bring the item to its place in the category's list."""
    listed, size = state.listed[category], np.int64(state.length[category])
    count = decayed[item, DECAY]
    at = np.int64(0)
    while at < size and listed[at] != item:
        at += 1
    if at == size:
        if size < LISTED:
            state.length[category] = size + 1
        else:
            at = size - 1
            if decayed[listed[at], DECAY] >= count:
                return
    while at > 0 and decayed[listed[at - 1], DECAY] < count:
        listed[at] = listed[at - 1]
        at -= 1
    listed[at] = item


@bare_kernel
def _count(state, category, events):  # type: ignore[no-untyped-def]
    state.events[category] += events
    state.idf[category] = F(
        np.log(1.0 + state.total[0] / (1.0 + np.float64(state.events[category])))
    )


@bare_kernel
def describe(state, decayed, item, categories, events):  # type: ignore[no-untyped-def]
    """The item is of these categories, int32 [KEPT], and of no others; `events`: the item's."""
    for k in range(KEPT):
        category = state.of[item, k]
        if category < 0:
            break
        _count(state, category, -events)
        listed, kept = state.listed[category], 0
        for x in range(state.length[category]):
            if listed[x] != item:
                listed[kept] = listed[x]
                kept += 1
        state.length[category] = kept
        for x in range(NEWEST):
            if state.newest[category, x] == item:
                state.newest[category, x] = -1
    state.total[0] += events * (F(categories[0] >= 0) - F(state.of[item, 0] >= 0))
    for k in range(KEPT):
        category = categories[k]
        state.of[item, k] = category
        if category >= 0:
            _count(state, category, events)
            _place(state, decayed, category, item)
            state.newest[category, state.arrived[category] % NEWEST] = item
            state.arrived[category] += 1


@bare_kernel
def learn(state, decayed, item, weight):  # type: ignore[no-untyped-def]
    """One event, after the trends learned it."""
    if state.of[item, 0] < 0:
        return
    state.total[0] += weight
    for k in range(KEPT):
        category = state.of[item, k]
        if category < 0:
            break
        _count(state, category, weight)
        _place(state, decayed, category, item)


@bare_kernel
def propose(state, history, user, taken, board, norm, chosen):  # type: ignore[no-untyped-def]
    """Make the user's profile; the first items of its categories become candidates."""
    profile, profiled = board.profile, board.profiled
    for x in range(board.number[2]):
        for c in range(SEEN + 1):
            profile[profiled[x], c] = F(0)
    newest = history.start[user] + history.size[user] - 1
    used = 0
    long, now = F(1), F(1)
    for back in range(min(history.size[user], LONG_WALK)):
        item = history.words[newest - back, ITEM]
        if item >= 0:
            for k in range(KEPT):
                category = state.of[item, k]
                if category < 0:
                    break
                if profile[category, SEEN] == 0:
                    profile[category, SEEN] = F(1)
                    profiled[used] = category
                    used += 1
                profile[category, LONG] += long * state.idf[category]
                if back < NOW_WALK:
                    profile[category, NOW] += now * state.idf[category]
        long *= F(LONG_DECAY)
        now *= F(NOW_DECAY)
    board.number[2] = used
    above, last = F(1e30), -1
    for _ in range(MOST_OF):
        best, most, at = np.int32(-1), F(0), -1
        for x in range(used):
            value = profile[profiled[x], LONG]
            if most < value and (value < above or (value == above and x > last)):
                best, most, at = profiled[x], value, x
        if best < 0:
            break
        above, last = most, at
        proposed = 0
        for x in range(state.length[best]):
            line = line_of(board, state.listed[best, x], norm)
            if line < 0:
                continue
            chosen = choose(board, line, chosen)
            proposed += 1
            if proposed >= PROPOSED:
                break
        for x in range(NEWEST):
            item = state.newest[best, x]
            if item >= 0 and taken[item] < FEW:
                line = line_of(board, item, norm)
                if line >= 0:
                    chosen = choose(board, line, chosen)
    return chosen


@bare_kernel
def evidence(state, decayed, board, chosen):  # type: ignore[no-untyped-def]
    """Columns KIN, KIN_NOW and KIN_TREND."""
    out, profile, profiled = board.evidence, board.profile, board.profiled
    long, now = F(1e-12), F(1e-12)
    for x in range(board.number[2]):
        category = profiled[x]
        long += profile[category, LONG] * profile[category, LONG]
        now += profile[category, NOW] * profile[category, NOW]
    long, now = F(1) / np.sqrt(long), F(1) / np.sqrt(now)
    for x in range(chosen):
        item = board.item[board.candidate[x]]
        with_long, with_now, size, most = F(0), F(0), F(1e-12), F(-1)
        best = np.int32(-1)
        for k in range(KEPT):
            category = state.of[item, k]
            if category < 0:
                break
            idf = state.idf[category]
            with_long += profile[category, LONG] * idf
            with_now += profile[category, NOW] * idf
            size += idf * idf
            if profile[category, LONG] > most:
                best, most = category, profile[category, LONG]
        size = F(1) / np.sqrt(size)
        out[KIN, x] = with_long * long * size
        out[KIN_NOW, x] = with_now * now * size
        out[KIN_TREND, x] = F(-9)
        if best >= 0 and state.length[best] > 0:
            highest = decayed[state.listed[best, 0], DECAY]
            z = log(max(decayed[item, DECAY], F(1e-30)) / max(highest, F(1e-30)))
            out[KIN_TREND, x] = max(F(-9), z)
