"""What is kept of a user: history, habits, and what they never want to see again."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.jit import bare_kernel, inlined
from models.lists import Lists, grow, new_lists

ITEM, TIME = 0, 1
"""Words of a history entry: item number; seconds since the engine's epoch."""

SESSION = 1_800
"""Seconds of silence after which a new session begins."""

KINDS_KEPT = 16
"""Events whose kind is remembered: so far back one interaction may deepen."""

POPULARITY, AGE = 0, 1
"""Columns of `habit`: running means of log popularity and log age of what the user takes."""

GUEST = 0
"""The user whose history is put together for one question (an unknown user, a session)."""

INFLUENCE_EVENTS = 20_000.0
"""Events over which a user's share of the stream is measured."""


class Users(NamedTuple):
    """history: lists of (item, second), oldest first. dropped: int32, events forgotten before it.

    refused: lists of (item, second), disliked or dismissed. kinds: int64, the kinds of the newest
    16 events, 4 bits each, newest lowest. habit: float32 [users, 2]. rate: float64 [users, 2], a
    leaky count of the user's events and the event number when it was brought up to date. value:
    float32, the running mean of the values (ratings) the user gives.
    """

    history: Lists
    dropped: NDArray[np.int32]
    refused: Lists
    kinds: NDArray[np.int64]
    habit: NDArray[np.float32]
    rate: NDArray[np.float64]
    value: NDArray[np.float32]


def new_users(users: int) -> Users:
    """Users without a past."""
    return Users(
        history=new_lists(users, 2),
        dropped=np.zeros(users, np.int32),
        refused=new_lists(users, 2),
        kinds=np.zeros(users, np.int64),
        habit=np.zeros((users, 2), np.float32),
        rate=np.zeros((users, 2), np.float64),
        value=np.zeros(users, np.float32),
    )


@bare_kernel
def remember(users, user, item, second, kind, longest):  # type: ignore[no-untyped-def]
    """Append to the history; when it is `longest`, its older quarter is forgotten first."""
    history = users.history
    size = history.size[user]
    at = history.start[user]
    if size >= longest:
        gone = longest // 4
        for x in range(size - gone):
            history.words[at + x, ITEM] = history.words[at + x + gone, ITEM]
            history.words[at + x, TIME] = history.words[at + x + gone, TIME]
        size -= gone
        history.size[user] = size
        users.dropped[user] += gone
    if size == history.room[user]:
        grow(history, user)
        at = history.start[user]
    history.words[at + size, ITEM] = item
    history.words[at + size, TIME] = second
    history.size[user] = size + 1
    users.kinds[user] = (users.kinds[user] << 4) | kind


@bare_kernel
def deepens(users, user, item, second, kind):  # type: ignore[no-untyped-def]
    """How far back this session holds the same item under another kind, or -1.

    A view, then a click, then a purchase of one item are one interaction that deepens, not three
    visits: it adds no entry to the history, teaches no transition from the item to itself and says
    nothing about whether people return. The same kind again is a return.
    """
    history = users.history
    size, at = history.size[user], history.start[user]
    for back in range(min(size, KINDS_KEPT)):
        x = at + size - 1 - back
        if second - history.words[x, TIME] > SESSION:
            break
        if history.words[x, ITEM] == item:
            return back if ((users.kinds[user] >> (4 * back)) & 15) != kind else -1
    return -1


@bare_kernel
def refuse(users, user, item, second, most):  # type: ignore[no-untyped-def]
    """Never again; or not until `most` others have been refused since."""
    refused = users.refused
    size, at = refused.size[user], refused.start[user]
    for x in range(at, at + size):
        if refused.words[x, ITEM] == item:
            return
    if size >= most:
        gone = most // 4
        for x in range(at, at + size - gone):
            refused.words[x, ITEM] = refused.words[x + gone, ITEM]
            refused.words[x, TIME] = refused.words[x + gone, TIME]
        size -= gone
        refused.size[user] = size
    if size == refused.room[user]:
        grow(refused, user)
        at = refused.start[user]
    refused.words[at + size, ITEM] = item
    refused.words[at + size, TIME] = second
    refused.size[user] = size + 1


@inlined
def weight_of(users, user, event, influence):  # type: ignore[no-untyped-def]
    """What this user's next event counts: 1, or less once they send more than their share.

    With c the user's events among the last INFLUENCE_EVENTS (a leaky count), the weight is
    min(1, influence · INFLUENCE_EVENTS / c).
    """
    passed = event - users.rate[user, 1]
    count = users.rate[user, 0] * np.exp(-passed / INFLUENCE_EVENTS) + 1.0
    users.rate[user, 0] = count
    users.rate[user, 1] = event
    return np.float32(min(1.0, influence * INFLUENCE_EVENTS / count))
