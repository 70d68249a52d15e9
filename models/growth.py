"""The engine's state as it begins, grows, and shrinks again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import engine
from models.board import new_board
from models.engine import Rules, State
from models.evidence import STRATEGIES
from models.lists import Lists, blank, compact, grow, purge, release
from models.ranker import HIDDEN, TASTE_SQUARES, new_ranker
from models.sources import (
    categories,
    content,
    covisitation,
    embeddings,
    neighbours,
    repeats,
    trends,
)
from models.sources.content import Content
from models.sources.covisitation import Covisitation
from models.sources.neighbours import MET, TOLD
from models.user import GUEST, ITEM, TIME, Users, new_users, remember

FIRST = 1024
"""Users, items and slots that there is room for at the beginning."""

MOST_OF_A_GUEST = 128
"""Events of a guest's past."""

GROWTH, GROWTH_OF_BLOCKS = 1.5, 1.125
ABANDONED = 0.2
"""Share of a block that lists must have left before it is worth moving them together."""

RESTART_NUMBERS_AT = 2**31 - 2**24


def new_state(seed: int) -> State:
    """Nothing learned; the guest has a list of the greatest length from the beginning, so that
    asking never allocates."""
    covisited = covisitation.new_covisitation(FIRST)
    return State(
        users=_new_users(FIRST),
        covisitation=covisited,
        trends=trends.new_trends(FIRST),
        neighbours=neighbours.new_neighbours(FIRST),
        embeddings=embeddings.new_embeddings(FIRST, FIRST, FIRST),
        repeats=repeats.new_repeats(FIRST, FIRST),
        categories=categories.new_categories(FIRST, FIRST),
        content=content.new_content(0),
        ranker=new_ranker(FIRST, FIRST, np.random.default_rng(seed)),
        clock=np.zeros(4, np.int64),
        time=np.zeros(4),
        random=np.array([seed], np.uint64),
        hits=np.zeros((1 + len(STRATEGIES), 2), np.int64),
        board=new_board(FIRST, FIRST, FIRST, HIDDEN, MET, TOLD),
    )


def relinked(state: State) -> State:
    """The same after loading: the rows' others are the rows' memory again."""
    return state._replace(covisitation=_with_rows(state.covisitation, state.covisitation.rows))


def with_board(state: State) -> State:
    """The same after loading arrays: with a board as large as it needs, and views made anew."""
    items, users = len(state.covisitation.norm), len(state.users.dropped)
    count = len(state.categories.events)
    return relinked(state._replace(board=new_board(items, users, count, HIDDEN, MET, TOLD)))


def with_categories(state: State, count: int) -> State:
    """The same, with room for this many categories."""
    held = state.categories
    if count <= len(held.events):
        return state
    n = _enlarged(len(held.events), count)
    return state._replace(
        categories=held._replace(
            events=_longer(held.events, n),
            idf=_longer(held.idf, n),
            listed=_longer(held.listed, n),
            length=_longer(held.length, n),
            newest=_longer(held.newest, n, -1),
            arrived=_longer(held.arrived, n),
        ),
        board=state.board._replace(
            profile=_longer(state.board.profile, n), profiled=_longer(state.board.profiled, n)
        ),
    )


def with_content(state: State) -> State:
    """The same, with a row of what is alike for every item."""
    items = len(state.covisitation.norm)
    if len(state.content.item) == items:
        return state
    return state._replace(content=_more_content(state.content, items))


def with_items(state: State, items: int) -> State:
    """The same, with room for this many items."""
    if items <= len(state.covisitation.norm):
        return state
    n = _enlarged(len(state.covisitation.norm), items)
    covisited, seen = state.covisitation, state.neighbours
    return state._replace(
        covisitation=covisited._replace(
            rows=_more_lists(covisited.rows, n),
            taken=_longer(covisited.taken, n),
            norm=_longer(covisited.norm, n, 1),
        ),
        trends=state.trends._replace(
            decayed=_longer(state.trends.decayed, n),
            life=_longer(state.trends.life, n),
            esteem=_longer(state.trends.esteem, n),
        ),
        neighbours=seen._replace(visits=_more_lists(seen.visits, n), seen=_longer(seen.seen, n)),
        repeats=state.repeats._replace(of_item=_longer(state.repeats.of_item, n)),
        embeddings=state.embeddings._replace(slot=_longer(state.embeddings.slot, n)),
        categories=state.categories._replace(of=_longer(state.categories.of, n, -1)),
        content=_more_content(state.content, n) if len(state.content.item) else state.content,
        board=state.board._replace(mark=_longer(state.board.mark, n)),
    )


def with_users(state: State, users: int) -> State:
    """The same, with room for this many users."""
    held = state.users
    if users <= len(held.dropped):
        return state
    n = _enlarged(len(held.dropped), users)
    return state._replace(
        users=_more_users(held, n),
        repeats=state.repeats._replace(of_user=_longer(state.repeats.of_user, n)),
        embeddings=state.embeddings._replace(
            user=_longer(state.embeddings.user, n),
            user_squares=_longer(state.embeddings.user_squares, n, 1e-3),
        ),
        ranker=state.ranker._replace(
            deviation=_longer(state.ranker.deviation, n),
            deviation_squares=_longer(state.ranker.deviation_squares, n, 1),
            taste=_longer(state.ranker.taste, n),
            taste_squares=_longer(state.ranker.taste_squares, n, TASTE_SQUARES),
        ),
        board=state.board._replace(user_mark=_longer(state.board.user_mark, n)),
    )


def with_other_users(state: State, users: Users | None) -> State:
    """The same, with what is kept of users replaced: by `users`, which gets as many rows, or by
    users without a past."""
    n = len(state.users.dropped)
    return state._replace(users=_more_users(users, n) if users else _new_users(n))


def with_room(state: State, rules: Rules) -> State:
    """The same, with room in every block of memory for what the next event may need."""
    rows = _more_places(state.covisitation.rows, covisitation.PLACES_PER_EVENT)
    users = state.users._replace(
        history=_more_places(state.users.history, 4 * rules.longest),
        refused=_more_places(state.users.refused, 4 * rules.longest),
    )
    visits = _more_places(state.neighbours.visits, 4 * neighbours.VISITORS)
    state = state._replace(
        users=users,
        covisitation=_with_rows(state.covisitation, rows),
        neighbours=state.neighbours._replace(visits=visits),
    )
    slots = len(state.embeddings.into)
    wanted = int(state.embeddings.used[0]) + engine.SLOTS_PER_EVENT
    if wanted <= slots:
        return state
    n = _enlarged(slots, wanted, GROWTH_OF_BLOCKS)
    return state._replace(
        embeddings=state.embeddings._replace(
            vacant=_longer(state.embeddings.vacant, n),
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


def memory(state: State, users: int, items: int) -> dict[str, float]:
    """Bytes in use per user and per item. Blocks and vectors count whole, with their room ahead of
    growth and what was abandoned; other arrays by what they hold for each."""

    def block(lists: Lists) -> int:
        return lists.words.nbytes + lists.halves.nbytes

    covisited, trended, seen = state.covisitation, state.trends, state.neighbours
    embedded, ranked, held = state.embeddings, state.ranker, state.users
    returned = state.repeats
    of_slots = (*embedded[3:6], ranked.into, ranked.out, ranked.scalar)
    of_items = (
        trended.decayed,
        trended.life,
        trended.esteem,
        returned.of_item,
    )
    of_users = (
        embedded.user,
        embedded.user_squares,
        ranked.deviation,
        ranked.deviation_squares,
        ranked.taste,
        ranked.taste_squares,
        returned.of_user,
    )
    per_row = sum(array[:1].nbytes for array in (*of_users, *held[1:2], *held[3:]))
    return {
        "item: neighbour rows": block(covisited.rows) / items + 16 + 8,
        "item: trends": float(sum(array[:1].nbytes for array in of_items)),
        "item: visitors": block(seen.visits) / items + 16 + 4,
        "item: vectors": sum(array.nbytes for array in of_slots) / items + 4,
        "item: catalogue": float(
            state.categories.of[:1].nbytes
            + sum(array[:1].nbytes for array in state.content if len(array))
        ),
        "item: scratch": float(state.board.mark[:1].nbytes),
        "user": (block(held.history) + block(held.refused)) / users + per_row + 32,
    }


def rest_the_board(state: State, rankings: int) -> None:
    """Begin numbering rankings anew before the numbers run out."""
    if state.board.number[0] + rankings > RESTART_NUMBERS_AT:
        state.board.number[0] = 0
        state.board.mark.fill(0)
        state.board.user_mark.fill(0)


def set_available(state: State, item: int, available: bool) -> None:
    """Whether an item may be recommended."""
    norm, count = state.covisitation.norm, state.covisitation.taken
    if available != (norm[item] > 0):
        norm[item] = (count[item] + 1.0) ** -0.5 if available else 0.0


def set_categories(state: State, item: int, numbers: Sequence[int]) -> None:
    """The item is of these categories, and no others."""
    kept = np.full(categories.KEPT, -1, np.int32)
    kept[: len(numbers)] = numbers[: categories.KEPT]
    if np.array_equal(kept, state.categories.of[item]):
        return
    taken = state.covisitation.taken[item]
    categories.describe(state.categories, state.trends.decayed, item, kept, taken)


def kept_out(state: State, user: int, rules: Rules) -> NDArray[np.int32]:
    """Items that are not for this user: refused, and, where nobody returns, taken before."""
    kept = [state.users.refused]
    if not repeats.allowed(state.repeats, rules.repeats):
        kept.append(state.users.history)
    found = [
        lists.words[lists.start[user] : lists.start[user] + lists.size[user], 0] for lists in kept
    ]
    items = np.concatenate(found)
    return items[items >= 0]


def as_guest(state: State, user: int, items: Sequence[int], second: int) -> int:
    """Give the guest the newest of the user's past and then these items; the guest's number."""
    users = state.users
    history = users.history
    entries: list[tuple[int, int]] = []
    if user != GUEST:
        users.habit[GUEST] = users.habit[user]
        state.embeddings.user[GUEST] = state.embeddings.user[user]
        state.ranker.deviation[GUEST] = state.ranker.deviation[user]
        state.ranker.taste[GUEST] = state.ranker.taste[user]
        state.repeats.of_user[GUEST] = state.repeats.of_user[user]
        stop = int(history.start[user] + history.size[user])
        start = max(int(history.start[user]), stop - MOST_OF_A_GUEST + len(items))
        entries = [(int(e[ITEM]), int(e[TIME])) for e in history.words[start:stop]]
    entries += [(item, second) for item in items]
    for item, when in entries[-MOST_OF_A_GUEST:]:
        remember(users, GUEST, item, when, 0, MOST_OF_A_GUEST)
    return GUEST


def clear_guest(state: State) -> None:
    """The guest has no past; the places for one stay the guest's."""
    users = state.users
    start, room = int(users.history.start[GUEST]), int(users.history.room[GUEST])
    users.history.words[start : start + room] = 0
    users.history.size[GUEST] = 0
    users.kinds[GUEST] = 0
    users.habit[GUEST] = 0
    state.embeddings.user[GUEST] = 0
    state.ranker.deviation[GUEST] = 0
    state.ranker.taste[GUEST] = 0
    state.repeats.of_user[GUEST] = 0


def forget_user(state: State, user: int) -> None:
    """As if the user had never been; visits that name them fail their check from now on."""
    users = state.users
    release(users.history, user)
    release(users.refused, user)
    for field in (users.dropped, users.kinds, users.habit, users.rate, users.value):
        field[user] = 0
    state.embeddings.user[user] = 0
    state.embeddings.user_squares[user] = 1e-3
    state.ranker.deviation[user] = 0
    state.ranker.deviation_squares[user] = 1
    state.ranker.taste[user] = 0
    state.ranker.taste_squares[user] = TASTE_SQUARES
    state.repeats.of_user[user] = 0


def longest_away(state: State, users: NDArray[np.int64], count: int) -> list[int]:
    """So many of these user numbers: those whose last event is longest ago."""
    order = np.argsort(state.users.rate[users, 1], kind="stable")[:count]
    return [int(number) for number in users[order]]


def idle_since(state: State, users: int, second: float) -> list[int]:
    """The user numbers below `users` of whom nothing is kept that is as late as `second`, of events
    as of refusals."""
    newest = np.full(users, np.iinfo(np.int32).min, np.int32)
    for lists in (state.users.history, state.users.refused):
        some = np.flatnonzero(lists.size[:users])
        last = lists.words[lists.start[some] + lists.size[some] - 1, TIME]
        newest[some] = np.maximum(newest[some], last)
    return [int(number) for number in np.flatnonzero(newest < second)]


def longest_untaken(state: State, items: NDArray[np.int64], count: int) -> list[int]:
    """So many of these item numbers: those last taken longest ago, or never."""
    taken = state.covisitation.taken[items] > 0
    last = np.where(taken, state.trends.life[items, trends.LAST_SECOND], np.iinfo(np.int32).min)
    order = np.argsort(last, kind="stable")[:count]
    return [int(number) for number in items[order]]


def forget_items(state: State, items: Sequence[int]) -> None:
    """As if these items had never been; a walk over the whole state, so better many at once."""
    gone = np.zeros(len(state.covisitation.norm), np.bool_)
    gone[list(items)] = True
    for item in items:
        release(state.covisitation.rows, item)
        release(state.neighbours.visits, item)
        trends.remove(state.trends, item)
        embeddings.take_back(state.embeddings, item)
        set_categories(state, item, [])
    _unlink(state.content, gone)
    state.clock[engine.KNOWN] -= int(np.count_nonzero(state.covisitation.taken[gone]))
    state.covisitation.taken[gone] = 0
    state.covisitation.norm[gone] = 1
    state.trends.decayed[gone] = 0
    state.trends.life[gone] = 0
    state.trends.esteem[gone] = 0
    state.repeats.of_item[gone] = 0
    state.neighbours.seen[gone] = 0
    purge(state.covisitation.rows, gone)
    purge(state.users.refused, gone)
    blank(state.users.history, gone)


def _enlarged(now: int, wanted: int, growth: float = GROWTH) -> int:
    return max(wanted, int(now * growth))


def _longer(array: Any, n: int, fill: float = 0) -> Any:
    """The array with `n` rows, in place where the system can (no copy, no second block)."""
    before = len(array)
    array.resize((n, *array.shape[1:]), refcheck=False)
    if fill:
        array[before:] = fill
    return array


def _unlink(held: Content, gone: NDArray[np.bool_]) -> None:
    """Take items out of all rows of what is alike; what is left moves together."""
    if not len(held.item):
        return
    held.item[gone], held.told[gone] = -1, 0
    named = (held.item >= 0) & gone[held.item]
    for row in np.flatnonzero(named.any(axis=1)):
        left = held.item[row][(held.item[row] >= 0) & ~named[row]]
        kept = held.alike[row][(held.item[row] >= 0) & ~named[row]]
        held.item[row] = -1
        held.item[row, : len(left)], held.alike[row, : len(left)] = left, kept


def _more_content(held: Content, n: int) -> Content:
    return Content(_longer(held.item, n, -1), _longer(held.alike, n), _longer(held.told, n))


def _new_users(n: int) -> Users:
    users = new_users(n)
    while users.history.room[GUEST] < MOST_OF_A_GUEST:
        grow(users.history, GUEST)
    return users


def _more_users(held: Users, n: int) -> Users:
    return held._replace(
        history=_more_lists(held.history, n),
        dropped=_longer(held.dropped, n),
        refused=_more_lists(held.refused, n),
        kinds=_longer(held.kinds, n),
        habit=_longer(held.habit, n),
        rate=_longer(held.rate, n),
        value=_longer(held.value, n),
    )


def _more_lists(lists: Lists, n: int) -> Lists:
    return lists._replace(
        start=_longer(lists.start, n), size=_longer(lists.size, n), room=_longer(lists.room, n)
    )


def _more_places(lists: Lists, wanted: int) -> Lists:
    """Room for so many more: among what was abandoned, if that is much, or in a longer block."""
    places = len(lists.words)
    if places - int(lists.top[0]) >= wanted:
        return lists
    if int(lists.top[0]) - int(lists.room.sum()) > ABANDONED * places:
        compact(lists)
    used = int(lists.top[0])
    if places - used >= wanted:
        return lists
    n = _enlarged(places, used + wanted, GROWTH_OF_BLOCKS)
    # Words last: where memory ends between the two, the block must not seem to have room.
    halves = _longer(lists.halves, n)
    return lists._replace(words=_longer(lists.words, n), halves=halves)


def _with_rows(held: Covisitation, rows: Lists) -> Covisitation:
    return held._replace(rows=rows, others=rows.words.reshape(-1))
