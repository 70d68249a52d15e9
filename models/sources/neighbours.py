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
from models.prefetch import AHEAD, prefetch
from models.user import ITEM

VISITORS = 64
"""Newest visitors kept of an item."""

LOOK_BACK, MOST_ALIKE = 6, 50
BEFORE, AFTER = 5, 10
MET = LOOK_BACK * VISITORS
"""Most users met in one ranking."""

HEARD = MOST_ALIKE + 10
"""Most users heard: more than MOST_ALIKE may be equally alike."""

TOLD = HEARD * (BEFORE + AFTER)
"""Most that they tell."""

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
def _keep_the_most_alike(board, met):  # type: ignore[no-untyped-def]
    """Of the users met, move the most alike to the front; returns how many."""
    least = _least_of_the_most_alike(board.similarity, met)
    kept = 0
    for m in range(met):
        similarity = board.similarity[m]
        board.similarity[kept] = similarity
        board.visitor[kept] = board.visitor[m]
        board.anchor[kept] = board.anchor[m]
        board.anchor_item[kept] = board.anchor_item[m]
        kept += similarity >= least
    return kept


@bare_kernel
def _meet(visits, history, user, board):  # type: ignore[no-untyped-def]
    """Bring who visited the user's last items to the board, with their similarity; how many."""
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
        stop = start + count
        for x in range(start, stop):
            prefetch(board.user_mark, visits.words[min(x + AHEAD, stop - 1), USER])
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
    return met


@bare_kernel
def _hear(users, alike, board):  # type: ignore[no-untyped-def]
    """Bring to the board what the first `alike` visitors took around their visits; how much."""
    history, heard, told = users.history, 0, 0
    for m in range(alike):
        later = board.visitor[min(m + AHEAD // 2, alike - 1)]
        prefetch(history.start, later)
        prefetch(history.size, later)
        prefetch(users.dropped, later)
        soon = min(m + AHEAD // 4, alike - 1)
        place = board.anchor[soon] - users.dropped[board.visitor[soon]]
        if 0 <= place < history.size[board.visitor[soon]]:
            prefetch(history.words, history.start[board.visitor[soon]] + place)

        visitor = board.visitor[m]
        size, start = history.size[visitor], history.start[visitor]
        place = board.anchor[m] - users.dropped[visitor]
        if place < 0 or place >= size or history.words[start + place, ITEM] != board.anchor_item[m]:
            continue
        for y in range(max(0, place - BEFORE), min(size, place + AFTER + 1)):
            item = history.words[start + y, ITEM]
            if y != place and item >= 0:
                board.told_item[told] = item
                board.told_distance[told] = y - place
                board.told_by[told] = m
                told += 1
        heard += 1
        if heard >= HEARD:
            break
    return told


@bare_kernel
def propose(state, users, user, board, norm):  # type: ignore[no-untyped-def]
    """Add up what the most alike users took around their visits; returns users met."""
    met = _meet(state.visits, users.history, user, board)
    alike = _keep_the_most_alike(board, met)
    told = _hear(users, alike, board)
    for k in range(told):
        later = board.told_item[min(k + AHEAD, told - 1)]
        prefetch(board.mark, later)
        prefetch(norm, later)
        line = line_of(board, board.told_item[k], norm)
        if line >= 0:
            similarity = board.similarity[board.told_by[k]]
            distance = F(abs(board.told_distance[k]))
            board.tally[line, NEIGHBOURS] += similarity / np.sqrt(F(1.0) + distance)
            if board.told_distance[k] > 0:
                board.tally[line, FOLLOWED] += similarity / distance
    return met
