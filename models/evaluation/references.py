"""Two references every recommender must beat: the most popular items, and chance.

Both obey the engine's own rule on what may be recommended: every item that has occurred, less
those the user has consumed where the stream does not repeat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.evaluation.log import EventLog
from models.jit import kernel

Repeats = Literal["learn", "yes", "no"]

REPEAT_RATE = 0.005
"""With `learn`, consumed items stay in the lists while more than this share of events repeats."""

_RULES: dict[Repeats, int] = {"no": 0, "yes": 1, "learn": 2}


@dataclass(frozen=True, slots=True)
class References:
    """What popularity and chance make of a whole log.

    popular: float32 [events], 0-based mid-rank of the item taken among recommendable items by
        number of positive events so far; NaN where the item had not occurred before.
    pool: int32 [events], number of recommendable items; 0 where the item taken is not one of them
        (it then ranks behind all others).
    exposure: int64 [items], how often the ten most popular showed each item at a scored event.
    """

    popular: NDArray[np.float32]
    pool: NDArray[np.int32]
    exposure: NDArray[np.int64]


def references(
    log: EventLog, scored: NDArray[np.bool_], *, repeats: Repeats = "learn", top: int = 10
) -> References:
    """One pass over the log. scored: bool [events], where lists count towards exposure.

    With `learn`, consumed items are left out once r repeats among n events so far make
    (r + 1) / (n + 20) ≤ REPEAT_RATE: a stream is taken to repeat until some 180 events deny it.
    An event costs O(1) for popularity and O(length of the user's history) for leaving items out.
    """
    events, users, items = len(log), len(log.user_names), len(log.item_names)
    consuming = log.consuming
    lengths = np.bincount(log.users[consuming], minlength=users)
    popular = np.full(events, np.nan, np.float32)
    pool = np.zeros(events, np.int32)
    exposure = np.zeros(items, np.int64)
    _popularity(
        log.users,
        log.items,
        log.positive,
        consuming,
        log.pair_is_new,
        scored,
        np.concatenate(([0], np.cumsum(lengths))),
        _RULES[repeats],
        top,
        popular,
        pool,
        exposure,
    )
    return References(popular, pool, exposure)


@kernel
def _popularity(
    users: NDArray[np.int32],
    items: NDArray[np.int32],
    positive: NDArray[np.bool_],
    consuming: NDArray[np.bool_],
    pair_is_new: NDArray[np.bool_],
    scored: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    rule: int,
    top: int,
    popular: NDArray[np.float32],
    pool: NDArray[np.int32],
    exposure: NDArray[np.int64],
) -> None:
    n_items = len(exposure)
    count = np.zeros(n_items, np.int32)
    # `order` holds the known items by falling count; those counted more than c times fill its
    # first above[c] places, so that one more event moves one item by one swap.
    order = np.zeros(n_items, np.int32)
    place = np.full(n_items, -1, np.int32)
    above = np.zeros(len(users) + 2, np.int32)
    known = 0
    own = np.zeros(offsets[-1], np.int32)
    owned = np.zeros(len(offsets) - 1, np.int32)
    left_out = np.full(n_items, -1, np.int64)
    repeated = 0
    asked = 0

    for event in range(len(users)):
        user = users[event]
        item = items[event]
        start = offsets[user]
        stop = start + owned[user]
        mask = rule == 0 or (rule == 2 and (repeated + 1.0) / (asked + 20.0) <= REPEAT_RATE)

        if place[item] >= 0:
            c = count[item]
            higher = above[c]
            at_least = above[c - 1] if c > 0 else known
            equal = at_least - higher - 1
            size = known
            had = False
            if mask:
                size -= stop - start
                for k in range(start, stop):
                    other = own[k]
                    left_out[other] = event
                    if other == item:
                        had = True
                    elif count[other] > c:
                        higher -= 1
                    elif count[other] == c:
                        equal -= 1
            popular[event] = size if had else higher + 0.5 * equal
            pool[event] = 0 if had else size
            if scored[event]:
                shown = 0
                for k in range(known):
                    if shown == top:
                        break
                    if left_out[order[k]] != event:
                        exposure[order[k]] += 1
                        shown += 1
        else:
            place[item] = known
            order[known] = item
            known += 1

        if positive[event]:
            c = count[item]
            head = above[c]
            here = place[item]
            other = order[head]
            order[head] = item
            order[here] = other
            place[item] = head
            place[other] = here
            above[c] += 1
            count[item] = c + 1
        if consuming[event]:
            asked += 1
            if pair_is_new[event]:
                own[stop] = item
                owned[user] += 1
            else:
                repeated += 1
