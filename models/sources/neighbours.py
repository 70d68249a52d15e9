"""Neighbours: users who were where this user is now, and what they took around then.

State: for every item its newest visitors, as (user, how-many-th event of theirs). Those who visited
the user's last LOOK_BACK items are alike by

    sim(v) = Σ_q  1/(1+q) / √(1+visitors(a_q))      over the items a_q that v visited,

and the most alike recommend what stands around their visit, from BEFORE earlier to AFTER later:

    score(j) = Σ_v  sim(v) · 1/√(1 + distance of j from v's visit) / √(N(j)+1)

and, as evidence beside it, the same over what they took afterwards only, by 1/distance.

A visit is checked against the visitor's history when it is used, so visits of users that were
forgotten since need no clearing up.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.board import AFTER as FOLLOWED
from models.board import line_of
from models.evidence import NEIGHBOURS
from models.jit import bare_kernel
from models.lists import Lists, grow, new_lists
from models.numeric import F
from models.user import ITEM

VISITORS = 64
"""Newest visitors kept of an item."""

LOOK_BACK, MOST_ALIKE = 6, 50
BEFORE, AFTER = 5, 10
MET = LOOK_BACK * VISITORS
"""Most users met in one ranking."""

USER, ORDINAL = 0, 1


class Neighbours(NamedTuple):
    """visits: by item, (user, ordinal of the event in the user's whole past); a ring once full.

    seen: int32, visits of each item so far.
    """

    visits: Lists
    seen: NDArray[np.int32]


def new_neighbours(items: int) -> Neighbours:
    """No visits."""
    return Neighbours(new_lists(items, 2), np.zeros(items, np.int32))


@bare_kernel
def learn(state, user, item, ordinal):  # type: ignore[no-untyped-def]
    """The user takes the item as their `ordinal`-th event."""
    visits = state.visits
    size = visits.size[item]
    if size < VISITORS:
        if size == visits.room[item]:
            grow(visits, item)
        visits.size[item] = size + 1
        at = visits.start[item] + size
    else:
        at = visits.start[item] + state.seen[item] % VISITORS
    visits.words[at, USER] = user
    visits.words[at, ORDINAL] = ordinal
    state.seen[item] += 1


@bare_kernel
def _least_of_the_most_alike(similarity, met):  # type: ignore[no-untyped-def]
    """A similarity that about MOST_ALIKE of the users met reach: by halving the interval."""
    if met <= MOST_ALIKE:
        return F(0)
    low, high = F(0), F(0)
    for m in range(met):
        high = max(high, similarity[m])
    for _ in range(12):
        middle = F(0.5) * (low + high)
        reach = 0
        for m in range(met):
            reach += similarity[m] >= middle
        if reach > MOST_ALIKE:
            low = middle
        else:
            high = middle
    return low


@bare_kernel
def propose(state, users, user, board, norm):  # type: ignore[no-untyped-def]
    """Add up what the most alike users took around their visits; returns users met."""
    visits, history = state.visits, users.history
    newest = history.start[user] + history.size[user] - 1
    met = 0
    number = np.int32(board.number[0])
    for back in range(min(history.size[user], LOOK_BACK)):
        item = history.words[newest - back, ITEM]
        if item < 0:
            continue
        count = visits.size[item]
        weight = F(1.0 / (1.0 + back)) / np.sqrt(F(1.0) + F(count))
        start = visits.start[item]
        for x in range(start, start + count):
            visitor = visits.words[x, USER]
            if visitor == user:
                continue
            if board.user_mark[visitor, 0] != number:
                board.user_mark[visitor, 0] = number
                board.user_mark[visitor, 1] = met
                board.visitor[met] = visitor
                board.similarity[met] = F(0)
                board.anchor[met] = visits.words[x, ORDINAL]
                board.anchor_item[met] = item
                met += 1
            board.similarity[board.user_mark[visitor, 1]] += weight
    least = _least_of_the_most_alike(board.similarity, met)
    heard = 0
    for m in range(met):
        similarity = board.similarity[m]
        if similarity < least:
            continue
        visitor = board.visitor[m]
        size = history.size[visitor]
        place = board.anchor[m] - users.dropped[visitor]
        start = history.start[visitor]
        if place < 0 or place >= size or history.words[start + place, ITEM] != board.anchor_item[m]:
            continue
        for y in range(max(0, place - BEFORE), min(size, place + AFTER + 1)):
            item = history.words[start + y, ITEM]
            if y == place or item < 0:
                continue
            line = line_of(board, item, norm)
            if line >= 0:
                distance = F(abs(y - place))
                board.tally[line, NEIGHBOURS] += similarity / np.sqrt(F(1.0) + distance)
                if y > place:
                    board.tally[line, FOLLOWED] += similarity / distance
        heard += 1
        if heard >= MOST_ALIKE + 10:
            break
    return met
