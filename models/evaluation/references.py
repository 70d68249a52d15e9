"""Two references every recommender must beat: the most popular items, and chance.

Both may recommend what the engine may: every item that was taken before, less those the user has
taken where the stream does not repeat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.evaluation.log import EventLog
from models.jit import kernel

Repeats = Literal["learn", "yes", "no"]


@dataclass(frozen=True, slots=True)
class References:
    """What popularity and chance make of a whole log.

    popular: float32 [events], 0-based mid-rank of the item taken among recommendable items by
        number of positive events so far; NaN where nobody had taken the item before.
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
    """Replay the log. scored: bool [events], where lists count towards exposure.

    With `learn` the references get the better of both rules in hindsight: whichever puts more of
    the scored items among the ten most popular. An event costs O(1) for popularity, and O(items
    the user has taken) for leaving those out.
    """
    if repeats != "learn":
        return _replayed(log, scored, repeats == "no", top)
    both = [_replayed(log, scored, mask, top) for mask in (True, False)]
    return max(both, key=lambda found: int(np.sum(found.popular[scored] < 10)))


def _replayed(log: EventLog, scored: NDArray[np.bool_], mask: bool, top: int) -> References:
    events, users, items = len(log), len(log.user_names), len(log.item_names)
    positive = log.positive
    lengths = np.bincount(log.users[positive], minlength=users)
    popular = np.full(events, np.nan, np.float32)
    pool = np.zeros(events, np.int32)
    exposure = np.zeros(items, np.int64)
    _popularity(
        log.users,
        log.items,
        positive,
        log.pair_is_new,
        scored,
        np.concatenate(([0], np.cumsum(lengths))),
        mask,
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
    pair_is_new: NDArray[np.bool_],
    scored: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    mask: bool,
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

    for event in range(len(users)):
        user = users[event]
        item = items[event]
        start = offsets[user]
        stop = start + owned[user]

        if place[item] >= 0:
            c = count[item]
            higher = above[c]
            equal = above[c - 1] - higher - 1
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
        if not positive[event]:
            continue
        if place[item] < 0:
            place[item] = known
            order[known] = item
            known += 1
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
        if pair_is_new[event]:
            own[stop] = item
            owned[user] += 1
