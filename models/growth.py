"""The engine's state as it begins, grows, and shrinks again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models import engine
from models.board import new_board
from models.engine import Rules, State
from models.evidence import STRATEGIES
from models.lists import Lists, release
from models.ranker import HIDDEN, new_ranker
from models.sources import covisitation, embeddings, neighbours, repeats, trends
from models.sources.neighbours import MET
from models.user import GUEST, ITEM, TIME, new_users, remember

FIRST = 1024
"""Users, items and slots that there is room for at the beginning."""

MOST_OF_A_GUEST = 4_096
"""Events of a guest's past; room for them is kept at all times."""

GROWTH = 1.5
RESTART_NUMBERS_AT = 2**31 - 2**24


def new_state(seed: int) -> State:
    """Nothing learned."""
    covisited = covisitation.new_covisitation(FIRST)
    return State(
        users=new_users(FIRST),
        covisitation=covisited,
        trends=trends.new_trends(FIRST),
        neighbours=neighbours.new_neighbours(FIRST),
        embeddings=embeddings.new_embeddings(FIRST, FIRST, FIRST),
        repeats=repeats.new_repeats(),
        ranker=new_ranker(FIRST, FIRST, np.random.default_rng(seed)),
        clock=np.zeros(4, np.int64),
        time=np.zeros(3),
        random=np.array([seed], np.uint64),
        hits=np.zeros((1 + len(STRATEGIES), 2), np.int64),
        board=new_board(FIRST, FIRST, HIDDEN, MET),
    )


def with_items(state: State, items: int) -> State:
    """The same, with room for this many items."""
    if items <= len(state.covisitation.norm):
        return state
    n = _enlarged(len(state.covisitation.norm), items)
    covisited, seen = state.covisitation, state.neighbours
    return state._replace(
        covisitation=covisited._replace(
            rows=_more_lists(covisited.rows, n),
            count=_longer(covisited.count, n),
            norm=_longer(covisited.norm, n, 1),
        ),
        trends=state.trends._replace(
            count=_longer(state.trends.count, n),
            place=_longer(state.trends.place, n, -1),
            life=_longer(state.trends.life, n),
        ),
        neighbours=seen._replace(visits=_more_lists(seen.visits, n), seen=_longer(seen.seen, n)),
        embeddings=state.embeddings._replace(slot=_longer(state.embeddings.slot, n)),
        board=state.board._replace(mark=_longer(state.board.mark, n)),
    )


def with_users(state: State, users: int) -> State:
    """The same, with room for this many users."""
    held = state.users
    if users <= len(held.dropped):
        return state
    n = _enlarged(len(held.dropped), users)
    return state._replace(
        users=held._replace(
            history=_more_lists(held.history, n),
            dropped=_longer(held.dropped, n),
            refused=_more_lists(held.refused, n),
            kinds=_longer(held.kinds, n),
            habit=_longer(held.habit, n),
            rate=_longer(held.rate, n),
        ),
        embeddings=state.embeddings._replace(
            user=_longer(state.embeddings.user, n),
            user_squares=_longer(state.embeddings.user_squares, n, 1e-3),
        ),
        ranker=state.ranker._replace(
            deviation=_longer(state.ranker.deviation, n),
            deviation_squares=_longer(state.ranker.deviation_squares, n, 1),
        ),
        board=state.board._replace(user_mark=_longer(state.board.user_mark, n)),
    )


def with_room(state: State, user: int, rules: Rules) -> State:
    """The same, with room in every block of memory for what the next event of `user` may need."""
    rows = _more_places(state.covisitation.rows, covisitation.PLACES_PER_EVENT)
    users = state.users._replace(
        history=_more_places(state.users.history, 4 * rules.longest),
        refused=_more_places(state.users.refused, 4 * int(state.users.refused.room[user]) + 8),
    )
    visits = _more_places(state.neighbours.visits, 4 * neighbours.VISITORS)
    state = state._replace(
        users=users,
        covisitation=state.covisitation._replace(
            rows=rows, weights=rows.words.view(np.float32)
        ),
        neighbours=state.neighbours._replace(visits=visits),
    )
    slots = len(state.embeddings.into)
    wanted = int(state.embeddings.used[0]) + engine.SLOTS_PER_EVENT
    if wanted <= slots:
        return state
    n = _enlarged(slots, wanted)
    return state._replace(
        embeddings=state.embeddings._replace(
            into=_longer(state.embeddings.into, n),
            out=_longer(state.embeddings.out, n),
            scalar=_longer(state.embeddings.scalar, n),
        ),
        ranker=state.ranker._replace(
            into=_longer(state.ranker.into, n),
            out=_longer(state.ranker.out, n),
            scalar=_longer(state.ranker.scalar, n),
        ),
    )


def rest_the_board(state: State, rankings: int) -> None:
    """Begin numbering rankings anew before the numbers run out."""
    if state.board.number[0] + rankings > RESTART_NUMBERS_AT:
        state.board.number[0] = 0
        state.board.mark.fill(0)
        state.board.user_mark.fill(0)


def set_available(state: State, item: int, available: bool) -> None:
    """Whether an item may be recommended."""
    norm, count = state.covisitation.norm, state.covisitation.count
    norm[item] = (count[item] + 1.0) ** -0.5 if available else 0.0


def as_guest(state: State, user: int, items: Sequence[int], second: int) -> int:
    """Give the guest the newest of the user's past and then these items; the guest's number."""
    users = state.users
    history = users.history
    entries: list[tuple[int, int]] = []
    if user != GUEST:
        users.habit[GUEST] = users.habit[user]
        state.embeddings.user[GUEST] = state.embeddings.user[user]
        state.ranker.deviation[GUEST] = state.ranker.deviation[user]
        stop = int(history.start[user] + history.size[user])
        start = max(int(history.start[user]), stop - MOST_OF_A_GUEST + len(items))
        entries = [(int(e[ITEM]), int(e[TIME])) for e in history.words[start:stop]]
    entries += [(item, second) for item in items]
    for item, when in entries[-MOST_OF_A_GUEST:]:
        remember(users, GUEST, item, when, 0, MOST_OF_A_GUEST)
    return GUEST


def clear_guest(state: State) -> None:
    """The guest has no past."""
    forget_user(state, GUEST)


def forget_user(state: State, user: int) -> None:
    """As if the user had never been; visits that name them fail their check from now on."""
    users = state.users
    release(users.history, user)
    release(users.refused, user)
    for field in (users.dropped, users.kinds, users.habit, users.rate):
        field[user] = 0
    state.embeddings.user[user] = 0
    state.embeddings.user_squares[user] = 1e-3
    state.ranker.deviation[user] = 0
    state.ranker.deviation_squares[user] = 1


def _enlarged(now: int, wanted: int) -> int:
    return max(wanted, int(now * GROWTH))


def _longer(array: Any, n: int, fill: float = 0) -> Any:
    """The array with `n` rows, in place where the system can (no copy, no second block)."""
    before = len(array)
    array.resize((n, *array.shape[1:]), refcheck=False)
    if fill:
        array[before:] = fill
    return array


def _more_lists(lists: Lists, n: int) -> Lists:
    return lists._replace(
        start=_longer(lists.start, n), size=_longer(lists.size, n), room=_longer(lists.room, n)
    )


def _more_places(lists: Lists, wanted: int) -> Lists:
    used, places = int(lists.top[0]), len(lists.words)
    if places - used >= wanted:
        return lists
    return lists._replace(words=_longer(lists.words, _enlarged(places, used + wanted)))
