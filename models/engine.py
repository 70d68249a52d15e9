"""The engine's state, and its two passes over events: learn, and recommend.

Everything here runs as machine code over arrays. The path of one event:

    1. rank     gather what the sources propose for the user, with their evidence
    2. measure  where does the item stand that was really taken?
    3. tell     one step of the ranker towards it
    4. learn    every source learns the event
    5. remember it enters the user's history

1 to 3 happen on a share of the events when serving, on all when evaluating; 4 and 5 always.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models import ranker, reasons
from models.board import (
    AFTER,
    BEST,
    BEST_FORWARD,
    LINKS,
    NORM,
    SHORTLIST,
    Board,
    choose,
    line_of,
)
from models.evidence import (
    ABSOLUTE,
    BLANK,
    ESTEEM,
    FAMILIES,
    FLOOR,
    FOLLOWING,
    LINKED,
    NEIGHBOURS,
    NOTHING,
    RELATIVE,
    SCORES,
    STRATEGY_COLUMNS,
    STRONGEST,
    STRONGEST_FORWARD,
    SUPPORT,
    TREND,
)
from models.jit import bare_kernel, inlined
from models.lists import spare
from models.numeric import GOLDEN, F, log, uniform
from models.prefetch import prefetch
from models.ranker import Ranker
from models.sources import (
    categories,
    content,
    covisitation,
    embeddings,
    neighbours,
    repeats,
    trends,
)
from models.sources.categories import Categories
from models.sources.content import Content
from models.sources.covisitation import Covisitation
from models.sources.embeddings import Embeddings
from models.sources.neighbours import Neighbours
from models.sources.repeats import Repeats
from models.sources.trends import Trends
from models.user import AGE, ITEM, POPULARITY, Users, deepens, refuse, remember, weight_of

LAST_POSITIVE, IMPRESSION = 5, 8

EVENTS, TAKEN, KNOWN, REACH = 0, 1, 2, 3
"""Entries of `clock`: events learned, of which positives; items that were ever taken, and the
highest number of them, plus 1."""

EPOCH, NOW, BEGUN, AHEAD = 0, 1, 2, 3
"""Entries of `time`: seconds since 1970 of second 0; the latest second; 1 once there was one;
events in a row that were too far ahead."""

NO_TIME = -1e18
"""Stands for a time that is none; the event is dated at the latest one."""

LONGEST_JUMP = 10 * 365 * 86_400.0
"""An event so far ahead of all others is dated at the latest of them, or one wrong clock would wipe
every decayed count; unless the next is ahead as well."""

SLOTS_PER_EVENT = 2

SHARES_EVERY = 50
"""Events between those on which an evaluation asks what each family of sources gave."""

FEW = F(5)
"""Events below which an item is new to most."""

UNKNOWN = F(1e9)
"""The rank of an item that the sources have never met, where that counts as a miss."""


class State(NamedTuple):
    """All that is learned, and the board to work on."""

    users: Users
    covisitation: Covisitation
    trends: Trends
    neighbours: Neighbours
    embeddings: Embeddings
    repeats: Repeats
    categories: Categories
    content: Content
    ranker: Ranker
    clock: NDArray[np.int64]
    time: NDArray[np.float64]
    random: NDArray[np.uint64]
    hits: NDArray[np.int64]
    board: Board


class Answers(NamedTuple):
    """Room for answers; a row per event or question, or no rows where they are not wanted.

    ranks: float32 [rows, 1 + strategies], where the item taken stood by Freshet and by each
    strategy, NaN where not scored. items: int32 [rows, n], the list, -1 beyond its end; scores:
    float32 [rows, n]. source: int8, share: float32 [rows, n]; causes: int32, cause_shares: float32
    [rows, n, reasons.NAMED] (`reasons.explain`). shares: float32 [rows, families], what each
    family of sources gave to the list (`reasons.shares`), NaN on all but one event in SHARES_EVERY.
    tried: bool [rows], whether the list's last item is there because few have taken it.
    """

    ranks: NDArray[np.float32]
    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    source: NDArray[np.int8]
    share: NDArray[np.float32]
    causes: NDArray[np.int32]
    cause_shares: NDArray[np.float32]
    shares: NDArray[np.float32]
    tried: NDArray[np.bool_]


def no_answers(ranks: int = 0, lists: int = 0, n: int = 1, reasons_for: int = 0) -> Answers:
    """Room for this many rows of ranks, lists of `n` items, and lists with reasons."""
    return Answers(
        ranks=np.full((ranks, 1 + len(STRATEGY_COLUMNS)), np.nan, np.float32),
        items=np.full((lists, n), -1, np.int32),
        scores=np.zeros((lists, n), np.float32),
        source=np.zeros((reasons_for, n), np.int8),
        share=np.zeros((reasons_for, n), np.float32),
        causes=np.full((reasons_for, n, reasons.NAMED), -1, np.int32),
        cause_shares=np.zeros((reasons_for, n, reasons.NAMED), np.float32),
        shares=np.full((ranks, len(FAMILIES)), np.nan, np.float32),
        tried=np.zeros(lists, np.bool_),
    )


class Rules(NamedTuple):
    """The settings that kernels need. repeats: `sources.repeats.LEARN`, ALWAYS or NEVER."""

    repeats: int
    practice: float
    influence: float
    longest: int
    deepening: float
    embeddings: bool
    explore: float


@bare_kernel
def second_of(time, t):  # type: ignore[no-untyped-def]
    """Seconds since the engine's epoch, as an int32; a useless time becomes the latest."""
    if t == NO_TIME:
        return np.int32(time[NOW])
    return np.int32(min(max(t - time[EPOCH], -1e9), 1e9))


@bare_kernel
def _tick(time, t):  # type: ignore[no-untyped-def]
    """Move the clock to an event's time; the event's second."""
    if time[BEGUN] == 0 and t != NO_TIME:
        time[BEGUN] = 1
        time[EPOCH] = np.floor(t)
    second = second_of(time, t)
    if second > time[NOW] + LONGEST_JUMP:
        time[AHEAD] += 1
        if time[AHEAD] < 2:
            return np.int32(time[NOW])
    time[AHEAD] = 0
    time[NOW] = max(time[NOW], np.float64(second))
    return second


@bare_kernel
def _reached_by(values, most):  # type: ignore[no-untyped-def]
    """The highest of the values, and one that at most `most` of them exceed: as nearly as 24
    halvings of the interval find it, so that equal values may leave fewer above it."""
    highest = F(0)
    for x in range(values.shape[0]):
        highest = max(highest, values[x])
    low, high = F(0), highest
    above = np.int32(0)
    for x in range(values.shape[0]):
        above += np.int32(values[x] > low)
    if above <= most:
        return highest, low
    for _ in range(24):
        middle = F(0.5) * (low + high)
        above = np.int32(0)
        for x in range(values.shape[0]):
            above += np.int32(values[x] > middle)
        if above > most:
            low = middle
        else:
            high = middle
            if above == most:
                break
    return highest, high


@bare_kernel
def _shortlist(board, chosen):  # type: ignore[no-untyped-def]
    """Each score's SHORTLIST highest lines become candidates, and `best` its highest.

    A bisection counts all lines up to 24 times, over vectors of numbers: half of what heaps cost.
    """
    tally, lines = board.tally, board.number[1]
    for line in range(lines):
        norm = tally[line, NORM]
        for c in range(SCORES):
            board.by_score[c, line] = tally[line, c] * norm
    for c in range(SCORES):
        values = board.by_score[c, :lines]
        board.best[c], least = _reached_by(values, SHORTLIST)
        for line in range(lines):
            if values[line] > least:
                chosen = choose(board, line, chosen)
    return chosen


@bare_kernel
def _scores_as_evidence(board, chosen, walked):  # type: ignore[no-untyped-def]
    """Columns RELATIVE … STRONGEST_FORWARD, FOLLOWING and LINKED, from the tallies."""
    out, tally = board.evidence, board.tally
    for x in range(chosen):
        line = board.candidate[x]
        norm = tally[line, NORM]
        for c in range(SCORES):
            out[RELATIVE + c, x] = tally[line, c] * norm
        out[SUPPORT, x] = tally[line, LINKS]
        out[FOLLOWING, x] = tally[line, AFTER] * norm
        out[STRONGEST, x] = tally[line, BEST] * norm
        out[STRONGEST_FORWARD, x] = tally[line, BEST_FORWARD] * norm
    # Logarithms apart from the look-ups: so they are taken of many at once.
    for c in range(SCORES):
        best, relative, absolute = board.best[c], out[RELATIVE + c], out[ABSOLUTE + c]
        if best > 0:
            inverse = F(1) / best
            offset = max(F(-6), log(best + F(1e-9)))
            for x in range(chosen):
                score = relative[x]
                z = log(score * inverse + F(2e-3))
                relative[x] = z
                absolute[x] = z + offset if score > 0 else F(NOTHING)
        else:
            for x in range(chosen):
                relative[x] = F(FLOOR)
                absolute[x] = F(NOTHING)
    support, linked, following = out[SUPPORT], out[LINKED], out[FOLLOWING]
    strongest, forward = out[STRONGEST], out[STRONGEST_FORWARD]
    inverse = F(1) / max(board.best[NEIGHBOURS], F(1e-9))
    share = F(1) / F(max(walked, 1))
    for x in range(chosen):
        linked[x] = support[x] * share
        support[x] = log(support[x] + F(1))
        following[x] = log(following[x] * inverse + F(2e-3))
        strongest[x] = log(strongest[x] + F(1e-3))
        forward[x] = log(forward[x] + F(1e-3))


@inlined
def _gather(state, user, second, norm, excluded, turn, rule):  # type: ignore[no-untyped-def]
    """Step 1: candidates on the board with their evidence; returns how many.

    norm: float32 by item, 0 where it must not be recommended. excluded: int32, items left out.
    turn: int32, items proposed whatever the sources say; -1 is none.
    """
    board, users = state.board, state.users
    history = users.history
    board.number[0] += 1
    board.number[1] = 0
    own = repeats.allowed(state.repeats, rule)
    if not own:
        repeats.mask_own(history, user, board)
    repeats.mask_own(users.refused, user, board)
    for k in range(excluded.shape[0]):
        board.mark[excluded[k], 0] = board.number[0]
        board.mark[excluded[k], 1] = -1

    covisitation.propose(state.covisitation, history, user, board, norm)
    met = neighbours.propose(state.neighbours, users, user, board, norm)
    lines = board.number[1]
    chosen = _shortlist(board, 0)
    chosen = trends.propose(state.trends, norm, board, chosen)
    if own:
        chosen = repeats.propose(history, user, board, norm, chosen)
    taken = state.covisitation.taken
    chosen = content.propose(state.content, history, user, taken, board, norm, chosen)
    chosen = categories.propose(state.categories, history, user, taken, board, norm, chosen)
    for k in range(turn.shape[0]):
        line = line_of(board, turn[k], norm) if turn[k] >= 0 else np.int32(-1)
        if line >= 0:
            chosen = choose(board, line, chosen)
    if chosen == 0:
        return 0

    _scores_as_evidence(board, chosen, min(history.size[user], covisitation.LONG_WALK))
    trends.evidence(
        state.trends,
        board,
        chosen,
        second,
        state.clock[TAKEN],
        history.size[user] > 0,
        users.habit[user],
        board.evidence[TREND : ESTEEM + 1],
    )
    embeddings.user_vector(state.embeddings, history, user, board.query)
    embeddings.evidence(state.embeddings, board, chosen)
    repeats.evidence(state.repeats, history, user, second, taken, board, chosen, own)
    categories.evidence(state.categories, state.trends.decayed, board, chosen)
    content.evidence(board, chosen)
    returned = state.repeats.of_user[user]
    ranker.set_context(state.ranker, users, user, second, board.best, lines, met, own, returned)
    return chosen


@inlined
def _place_of(board, item):  # type: ignore[no-untyped-def]
    """The item's place among the candidates, or -1."""
    line = board.mark[item, 1] if board.mark[item, 0] == board.number[0] else np.int32(-1)
    return np.int64(board.chosen[line]) - 1 if line >= 0 else np.int64(-1)


@bare_kernel
def _mid_rank(row, chosen, place, floor, known):  # type: ignore[no-untyped-def]
    """0-based mid-rank of the candidate at `place` (-1: none) by this row of values.

    What is not above the floor is not proposed: it stands behind all that is, at the middle.
    """
    value = row[place] if place >= 0 else floor
    proposed, higher, equal = np.int32(0), np.int32(0), np.int32(0)
    for x in range(chosen):
        proposed += np.int32(row[x] > floor)
        higher += np.int32(row[x] > value)
        equal += np.int32(row[x] == value)
    if place >= 0 and value > floor:
        return F(higher + 0.5 * (equal - 1))
    return F(proposed + 0.5 * max(0, known - proposed - 1))


@inlined
def _note(hits, ranks, k, name, rank):  # type: ignore[no-untyped-def]
    """Keep one rank: in the running totals, and in the answers where there is room."""
    hits[name, 0] += rank < 10
    hits[name, 1] += 1
    if k < ranks.shape[0]:
        ranks[k, name] = rank


@inlined
def _short_of_room(state, rules):  # type: ignore[no-untyped-def]
    """Whether some block of memory might not hold the next event."""
    return (
        spare(state.covisitation.rows) < covisitation.PLACES_PER_EVENT
        or spare(state.users.history) < 4 * rules.longest
        or spare(state.users.refused) < 4 * rules.longest
        or spare(state.neighbours.visits) < 4 * neighbours.VISITORS
        or state.embeddings.used[0] + SLOTS_PER_EVENT > state.embeddings.into.shape[0]
    )


@inlined
def _deepen(state, user, item, second, kind, weight, rules, learning):  # type: ignore[no-untyped-def]
    """Whether the event only deepens an interaction of this session (`user.deepens`); if so, it
    adds to the trends, where they learn, and that is all."""
    back = deepens(state.users, user, item, second, kind)
    if back < 0:
        return False
    held = (state.users.kinds[user] >> (4 * back)) & 15
    if kind > held:
        state.users.kinds[user] += np.int64(kind - held) << (4 * back)
        if learning:
            added = weight * F(rules.deepening)
            trends.learn(state.trends, item, second, state.clock[TAKEN], added)
    return True


@bare_kernel
def _best_of(board, chosen, items, scores):  # type: ignore[no-untyped-def]
    """The highest scores in order into `items`, -1 beyond the last, and `scores`."""
    n, most = 0, items.shape[0]
    for x in range(most):
        items[x] = -1
    for x in range(chosen):
        score = board.score[x]
        if n == most and score <= scores[n - 1]:
            continue
        at = n if n < most else most - 1
        n = min(n + 1, most)
        while at > 0 and scores[at - 1] < score:
            scores[at] = scores[at - 1]
            items[at] = items[at - 1]
            at -= 1
        scores[at] = score
        items[at] = board.item[board.candidate[x]]


@inlined
def _draw(state, user, given_out):  # type: ignore[no-untyped-def]
    """What decides whether a list explores, 0 to 1: drawn from the number of events, the user and
    how many lists were given out before, so that asking changes nothing that is learned, and
    strangers, who are all one user, draw anew while no event comes."""
    draw = state.board.draw
    draw[0] = np.uint64(state.clock[TAKEN]) * np.uint64(0x9E3779B1) + np.uint64(user)
    draw[0] += np.uint64(given_out) * GOLDEN
    return uniform(draw)


@bare_kernel
def _took(history, user, item):  # type: ignore[no-untyped-def]
    """Whether the item is in the user's history."""
    start, found = history.start[user], False
    for x in range(start, start + history.size[user]):
        found |= history.words[x, ITEM] == item
    return found


@bare_kernel
def _explore(state, user, chosen, shown, turn, items, scores):  # type: ignore[no-untyped-def]
    """Give the last place to what few have taken and the user never; returns the item, or -1.

    Of the candidates that have their turn the best, where there is one; else of all those that were
    in the fewest lists, as far as `shown` counts.
    """
    board, last = state.board, items.shape[0] - 1
    if last < 1 or items[last] < 0:
        return np.int32(-1)
    best, waits = -1, False
    for x in range(chosen):
        item = board.item[board.candidate[x]]
        if state.covisitation.taken[item] >= FEW or board.score[x] >= scores[last]:
            continue
        has_turn = False
        for k in range(turn.shape[0]):
            if turn[k] == item:
                has_turn = True
        if best >= 0:
            other = board.item[board.candidate[best]]
            if has_turn != waits:
                better = has_turn
            elif has_turn or shown[item] == shown[other]:
                better = board.score[x] > board.score[best]
            else:
                better = shown[item] < shown[other]
            if not better:
                continue
        if not _took(state.users.history, user, item):
            best, waits = x, has_turn
    if best < 0:
        return np.int32(-1)
    items[last] = board.item[board.candidate[best]]
    scores[last] = board.score[best]
    return items[last]


@bare_kernel
def _look_ahead(state, users, items, k):  # type: ignore[no-untyped-def]
    """Fetch what the events after `k` will read: each step needs what the one before it brought, so
    that it is taken for one event more, while this event is worked on."""
    history, covisited = state.users.history, state.covisitation
    slot, last = state.embeddings.slot, users.shape[0] - 1
    user, item = users[min(k + 4, last)], items[min(k + 4, last)]
    prefetch(history.start, user)
    prefetch(history.size, user)
    prefetch(state.users.rate, user)
    prefetch(state.users.kinds, user)
    _fetch_item(state, item)
    prefetch(state.trends.decayed, item)
    prefetch(state.trends.life, item)
    prefetch(state.neighbours.seen, item)

    user, item = users[min(k + 3, last)], items[min(k + 3, last)]
    newest = history.start[user] + history.size[user] - 1
    if history.size[user] > 0:
        prefetch(history.words, newest)
        prefetch(history.words, max(newest - covisitation.PAIRED, history.start[user]))
    covisitation.fetch(covisited, item)
    prefetch(state.neighbours.visits.words, state.neighbours.visits.start[item])

    user = users[min(k + 2, last)]
    newest = history.start[user] + history.size[user] - 1
    for back in range(min(history.size[user], covisitation.PAIRED)):
        if history.words[newest - back, ITEM] >= 0:
            _fetch_item(state, history.words[newest - back, ITEM])

    user = users[min(k + 1, last)]
    newest = history.start[user] + history.size[user] - 1
    for back in range(min(history.size[user], covisitation.PAIRED)):
        other = history.words[newest - back, ITEM]
        if other >= 0:
            covisitation.fetch(covisited, other)
            prefetch(state.embeddings.into, slot[other])
            prefetch(state.ranker.into, slot[other])


@inlined
def _fetch_item(state, item):  # type: ignore[no-untyped-def]
    prefetch(state.covisitation.rows.start, item)
    prefetch(state.covisitation.rows.size, item)
    prefetch(state.covisitation.taken, item)
    prefetch(state.neighbours.visits.start, item)
    prefetch(state.neighbours.visits.size, item)
    prefetch(state.embeddings.slot, item)


@inlined
def _learn_everywhere(state, user, item, second, value, weight, rules, full):  # type: ignore[no-untyped-def]
    """Step 4: the event enters every source, before it enters the user's history."""
    users, clock, board = state.users, state.clock, state.board
    history = users.history
    count = state.covisitation.taken
    repeats.learn(state.repeats, history, user, item, second)
    if count[item] == 0:
        clock[KNOWN] += 1
        clock[REACH] = max(clock[REACH], item + 1)
        state.trends.life[item, 0] = second
        state.trends.life[item, 2] = clock[TAKEN]
    elif state.embeddings.slot[item] == 0:
        embeddings.give(state.embeddings, item, state.random)
        ranker.give(state.ranker, state.embeddings.slot[item], state.random)
    if full and rules.embeddings:
        embeddings.learn(
            state.embeddings,
            history,
            user,
            item,
            count,
            clock[TAKEN],
            clock[REACH],
            board,
            state.random,
        )
    covisitation.learn(state.covisitation, history, user, item, second, weight, clock[TAKEN])
    trends.learn(state.trends, item, second, clock[TAKEN], weight)
    categories.learn(state.categories, state.trends.decayed, item, weight)
    neighbours.learn(state.neighbours, user, item, users.dropped[user] + history.size[user])
    state.embeddings.recent[state.embeddings.seen[0] % embeddings.RECENT] = item
    state.embeddings.seen[0] += 1

    seen = users.value[user]
    if full and value != 0 and seen != 0:
        trends.value(state.trends, item, min(max(value - seen, F(-3)), F(3)))
    clock[TAKEN] += 1


@inlined
def _remember(state, user, item, second, kind, value, rules):  # type: ignore[no-untyped-def]
    """Step 5: the event enters the user's history and habits."""
    users, count = state.users, state.covisitation.taken
    history = users.history
    if value != 0:
        step = max(F(0.02), F(1.0 / (1.0 + history.size[user])))
        users.value[user] += (value - users.value[user]) * step
    rate = max(F(0.05), F(1.0 / (1.0 + history.size[user])))
    habit = users.habit[user]
    habit[POPULARITY] += rate * (log(max(count[item], F(1e-3))) - habit[POPULARITY])
    age = F(max(0, second - state.trends.life[item, 0])) + F(60)
    habit[AGE] += rate * (log(age) - habit[AGE])
    remember(users, user, item, second, kind, rules.longest)


LEARN, LEARN_AND_RANK, REMEMBER, RECOMMEND, EXPLAIN = range(5)
"""What `run` does with its rows: learn events and rank on a share of them; learn events and rank
on each; rank on each event and take it into its user's history, but learn nothing of items; answer
questions; answer and say why."""


@bare_kernel
def run(  # type: ignore[no-untyped-def]
    state,
    rules,
    task,
    users,
    items,
    kinds,
    values,
    times,
    begin,
    norm,
    excluded,
    shown,
    turn,
    given_out,
    answers,
):
    """Take rows `begin` and on, in order; returns the first one not done.

    A single function for learning and recommending, as both need the ranking and its machine code
    is what takes long to build. It stops short when a block of memory might not hold the next
    event; the caller enlarges it and calls again.

    users, items: int32; kinds: int8; values: float32, 0 where absent; times: float64, finite: the
    events, or the questions' users and times. norm: float32 by item, 0 where it must not be
    recommended. excluded: int32, items left out of each list. shown, turn: `models.newcomers`.
    given_out: how many lists were given out before. answers: filled in where there are rows for it.
    """
    clock, time, board = state.clock, state.time, state.board
    history, slot = state.users.history, state.embeddings.slot
    count = state.covisitation.taken
    learning, asked = task < REMEMBER, task >= RECOMMEND
    for k in range(begin, users.shape[0]):
        user, item, kind = users[k], items[k], kinds[k]
        second = second_of(time, times[k])
        weight, full = F(1), True
        if not asked:
            _look_ahead(state, users, items, k)
            if _short_of_room(state, rules):
                return k
            second = _tick(time, times[k])
            clock[EVENTS] += learning
            if kind > LAST_POSITIVE:
                if kind < IMPRESSION:
                    refuse(state.users, user, item, second, rules.longest)
                continue
            weight = weight_of(state.users, user, clock[TAKEN], rules.influence)
            if _deepen(state, user, item, second, kind, weight, rules, learning):
                continue
            if learning and weight < 1:
                full = uniform(state.random) < weight

        if task != LEARN or uniform(state.random) < rules.practice:
            draw = _draw(state, user, given_out + k) if asked else F(1)
            asking = turn if draw < F(0.5) * rules.explore else turn[:0]
            chosen = _gather(state, user, second, norm, excluded, asking, rules.repeats)
            right, tried = -1, np.int32(-1)
            if not asked:
                right = _place_of(board, item)
                if count[item] > 0:
                    for c in range(STRATEGY_COLUMNS.shape[0]):
                        row = board.evidence[STRATEGY_COLUMNS[c]]
                        floor = BLANK[STRATEGY_COLUMNS[c]] + F(1e-4)
                        rank = _mid_rank(row, chosen, right, floor, clock[KNOWN])
                        _note(state.hits, answers.ranks, k, 1 + c, rank)
                elif task == REMEMBER:
                    for c in range(1 + STRATEGY_COLUMNS.shape[0]):
                        _note(state.hits, answers.ranks, k, c, UNKNOWN)
            if learning:
                ranker.observe(state.ranker, board.evidence, chosen)
            ranker.normalise(state.ranker, board, chosen)
            ranker.ask(state.ranker, history, user, slot, board, chosen)
            if k < answers.items.shape[0]:
                _best_of(board, chosen, answers.items[k], answers.scores[k])
                if draw < rules.explore:
                    tried = _explore(
                        state, user, chosen, shown, asking, answers.items[k], answers.scores[k]
                    )
                    answers.tried[k] = tried >= 0
            told = learning and k < answers.shares.shape[0] and chosen > 0
            if told and clock[EVENTS] % SHARES_EVERY == 0:
                reasons.shares(state, answers.items[k], answers.shares[k])
            if task == EXPLAIN and chosen > 0:
                reasons.explain(
                    state,
                    user,
                    chosen,
                    tried,
                    answers.items[k],
                    answers.source[k],
                    answers.share[k],
                    answers.causes[k],
                    answers.cause_shares[k],
                )
            if not asked and count[item] > 0:
                rank = _mid_rank(board.score, chosen, right, F(-1e30), clock[KNOWN])
                _note(state.hits, answers.ranks, k, 0, rank)
            if learning and right >= 0 and chosen > 1 and full:
                ranker.tell(state.ranker, history, user, slot, board, chosen, right, state.random)
        if learning:
            _learn_everywhere(state, user, item, second, values[k], weight, rules, full)
        if not asked:
            _remember(state, user, item, second, kind, values[k], rules)
    return users.shape[0]
