"""The engine's state, and its two passes over events: learn, and recommend.

Everything here runs as machine code over arrays. The path of one event:

    1. rank     gather what the sources propose for the user, with their evidence
    2. measure  where does the item stand that was really taken?
    3. tell     one step of the ranker towards it
    4. learn    every source learns the event

1 to 3 happen on a share of the events when serving, on all when evaluating; 4 always.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models import ranker
from models.board import BEST, BEST_FORWARD, LINKS, NORM, SHORTLIST, Board, choose
from models.evidence import (
    ABSOLUTE,
    AGE_GAP,
    BLANK,
    FLOOR,
    NOTHING,
    RELATIVE,
    SCORES,
    STRATEGY_COLUMNS,
    STRONGEST,
    STRONGEST_FORWARD,
    SUPPORT,
    TREND,
)
from models.jit import kernel
from models.lists import spare
from models.numeric import F, log, uniform
from models.ranker import Ranker
from models.sources import covisitation, embeddings, neighbours, repeats, trends
from models.sources.covisitation import Covisitation
from models.sources.embeddings import Embeddings
from models.sources.neighbours import Neighbours
from models.sources.repeats import Repeats
from models.sources.trends import Trends
from models.user import AGE, POPULARITY, Users, deepens, refuse, remember, weight_of

LAST_POSITIVE, IMPRESSION = 5, 8

EVENTS, TAKEN, KNOWN, REACH = 0, 1, 2, 3
"""Entries of `clock`: events learned, of which positives; items that were ever taken, and the
highest number of them, plus 1."""

EPOCH, NOW, BEGUN = 0, 1, 2
"""Entries of `time`: seconds since 1970 of second 0; the latest second; 1 once there was one."""

LONGEST_JUMP = 10 * 365 * 86_400.0
"""An event so far ahead of all others is dated at the latest of them instead, or one wrong clock
would wipe every decayed count."""

SLOTS_PER_EVENT = 2


class State(NamedTuple):
    """All that is learned, and the board to work on."""

    users: Users
    covisitation: Covisitation
    trends: Trends
    neighbours: Neighbours
    embeddings: Embeddings
    repeats: Repeats
    ranker: Ranker
    clock: NDArray[np.int64]
    time: NDArray[np.float64]
    random: NDArray[np.uint64]
    hits: NDArray[np.int64]
    board: Board


class Rules(NamedTuple):
    """The settings that kernels need. repeats: `sources.repeats.LEARN`, ALWAYS or NEVER."""

    repeats: int
    practice: float
    influence: float
    longest: int
    deepening: float


@kernel
def second_of(time, t):  # type: ignore[no-untyped-def]
    """Seconds since the engine's epoch, as an int32; a useless time becomes the latest."""
    second = t - time[EPOCH]
    if second > time[NOW] + LONGEST_JUMP:
        second = time[NOW]
    return np.int32(min(max(second, -1e9), 2e9))


@kernel
def _shortlist(board, chosen):  # type: ignore[no-untyped-def]
    """Each score's SHORTLIST highest lines become candidates, and `best` its highest."""
    value, line_at, tally = board.heap_value, board.heap_line, board.tally
    size = np.zeros(SCORES, np.int64)
    least = np.zeros(SCORES, np.float32)
    for line in range(board.number[1]):
        norm = tally[line, NORM]
        for c in range(SCORES):
            v = tally[line, c] * norm
            if v <= least[c]:
                continue
            n = size[c]
            if n < SHORTLIST:
                at = n
                size[c] = n + 1
                while at > 0:
                    parent = (at - 1) >> 1
                    if value[c, parent] <= v:
                        break
                    value[c, at] = value[c, parent]
                    line_at[c, at] = line_at[c, parent]
                    at = parent
            else:
                at = 0
                while True:
                    child = 2 * at + 1
                    if child >= n:
                        break
                    if child + 1 < n and value[c, child + 1] < value[c, child]:
                        child += 1
                    if value[c, child] >= v:
                        break
                    value[c, at] = value[c, child]
                    line_at[c, at] = line_at[c, child]
                    at = child
            value[c, at] = v
            line_at[c, at] = line
            if size[c] == SHORTLIST:
                least[c] = value[c, 0]
    for c in range(SCORES):
        board.best[c] = F(0)
        for k in range(size[c]):
            board.best[c] = max(board.best[c], value[c, k])
            chosen = choose(board, line_at[c, k], chosen)
    return chosen


@kernel
def _scores_as_evidence(board, chosen):  # type: ignore[no-untyped-def]
    """Columns RELATIVE … STRONGEST_FORWARD, from the tallies."""
    out, tally = board.evidence, board.tally
    for c in range(SCORES):
        best = board.best[c]
        if best > 0:
            inverse = F(1) / best
            offset = max(F(-6), log(best + F(1e-9)))
            for x in range(chosen):
                line = board.candidate[x]
                z = log(tally[line, c] * tally[line, NORM] * inverse + F(2e-3))
                out[RELATIVE + c, x] = z
                out[ABSOLUTE + c, x] = z + offset if tally[line, c] > 0 else F(NOTHING)
        else:
            for x in range(chosen):
                out[RELATIVE + c, x] = F(FLOOR)
                out[ABSOLUTE + c, x] = F(NOTHING)
    for x in range(chosen):
        line = board.candidate[x]
        norm = tally[line, NORM]
        out[SUPPORT, x] = log(tally[line, LINKS] + F(1))
        out[STRONGEST, x] = log(tally[line, BEST] * norm + F(1e-3))
        out[STRONGEST_FORWARD, x] = log(tally[line, BEST_FORWARD] * norm + F(1e-3))


@kernel
def gather(state, user, second, norm, excluded, rule, query):  # type: ignore[no-untyped-def]
    """Step 1: candidates on the board with their evidence; returns how many.

    norm: float32 by item, 0 where it must not be recommended. excluded: int32, items left out.
    query: float32 [embeddings.WIDTH], scratch.
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

    covisitation.propose(state.covisitation, history, user, board)
    met = neighbours.propose(state.neighbours, users, user, board, norm)
    lines = board.number[1]
    chosen = _shortlist(board, 0)
    chosen = trends.propose(state.trends, norm, board, chosen)
    if own:
        chosen = repeats.propose(history, user, board, norm, chosen)
    if chosen == 0:
        return 0

    _scores_as_evidence(board, chosen)
    trends.evidence(
        state.trends,
        board,
        chosen,
        second,
        state.clock[TAKEN],
        history.size[user] > 0,
        users.habit[user],
        board.evidence[TREND : AGE_GAP + 1],
    )
    embeddings.user_vector(state.embeddings, history, user, query)
    embeddings.evidence(state.embeddings, board, chosen, query)
    repeats.evidence(history, user, second, board, chosen, own)
    ranker.set_context(state.ranker, users, user, second, board.best, lines, met, own)
    return chosen


@kernel
def _rank_in(row, chosen, place, floor, known):  # type: ignore[no-untyped-def]
    """0-based mid-rank of the candidate at `place` (-1: none) by this row of values.

    What is not above the floor is not proposed: it stands behind all that is, at the middle.
    """
    proposed, higher, equal = 0, 0, 0
    value = row[place] if place >= 0 else floor
    for x in range(chosen):
        proposed += row[x] > floor
        higher += row[x] > value
        equal += row[x] == value
    if place >= 0 and value > floor:
        return F(higher + 0.5 * (equal - 1))
    return F(proposed + 0.5 * max(0, known - proposed - 1))


@kernel
def _best_of(board, chosen, items, scores):  # type: ignore[no-untyped-def]
    """The highest scores in order into `items` (-1 beyond the last) and `scores`; their number."""
    n, most = 0, items.shape[0]
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
    return n


@kernel
def _learn_everywhere(state, user, item, second, kind, weight, rules, query, vectors):  # type: ignore[no-untyped-def]
    """Step 4: the event enters every source, and then the user's history."""
    users, clock = state.users, state.clock
    history = users.history
    count = state.covisitation.count
    repeats.learn(state.repeats, history, user, item)
    if count[item] == 0:
        clock[KNOWN] += 1
        clock[REACH] = max(clock[REACH], item + 1)
        state.trends.life[item, 0] = second
        state.trends.life[item, 2] = clock[TAKEN]
    elif state.embeddings.slot[item] == 0:
        embeddings.give(state.embeddings, item, state.random)
        ranker.give(state.ranker, state.embeddings.slot[item], state.random)
    if vectors:
        embeddings.learn(
            state.embeddings,
            history,
            user,
            item,
            count,
            clock[TAKEN],
            clock[REACH],
            query,
            state.random,
        )
    covisitation.learn(state.covisitation, history, user, item, second, weight, clock[TAKEN])
    trends.learn(state.trends, item, second, clock[TAKEN], weight)
    neighbours.learn(state.neighbours, user, item, users.dropped[user] + history.size[user])
    state.embeddings.recent[state.embeddings.seen[0] % embeddings.RECENT] = item
    state.embeddings.seen[0] += 1

    rate = max(F(0.05), F(1.0 / (1.0 + history.size[user])))
    habit = users.habit[user]
    habit[POPULARITY] += rate * (log(max(count[item], F(1e-3))) - habit[POPULARITY])
    age = F(max(0, second - state.trends.life[item, 0])) + F(60)
    habit[AGE] += rate * (log(age) - habit[AGE])
    remember(users, user, item, second, kind, rules.longest)
    clock[TAKEN] += 1


@kernel
def learn(state, rules, every, users, items, kinds, times, begin, ranks, top):  # type: ignore[no-untyped-def]
    """Learn events from `begin` on, in order; returns the first one not learned.

    It stops short when a block of memory might not hold the next event; the caller enlarges it and
    calls again. every: rank on every event rather than on a share of them. users, items: int32;
    kinds: int8; times: float64, finite. ranks: float32 [events or 0, 1 + strategies], filled with
    Freshet's and each strategy's rank of the item taken, NaN where it is not scored. top: int32
    [events or 0, n], the list that Freshet would have shown.
    """
    clock, time, board = state.clock, state.time, state.board
    query = np.empty(embeddings.WIDTH, np.float32)
    none = np.empty(0, np.int32)
    list_items = np.empty(max(1, top.shape[1]), np.int32)
    list_scores = np.empty(max(1, top.shape[1]), np.float32)
    norm, count = state.covisitation.norm, state.covisitation.count
    for k in range(begin, users.shape[0]):
        user, item, kind = users[k], items[k], kinds[k]
        if (
            spare(state.covisitation.rows) < covisitation.PLACES_PER_EVENT
            or spare(state.users.history) < 4 * rules.longest
            or spare(state.users.refused) < 4 * state.users.refused.room[user] + 8
            or spare(state.neighbours.visits) < 4 * neighbours.VISITORS
            or state.embeddings.used[0] + SLOTS_PER_EVENT > state.embeddings.into.shape[0]
        ):
            return k
        if time[BEGUN] == 0:
            time[BEGUN] = 1
            time[EPOCH] = np.floor(times[k])
        second = second_of(time, times[k])
        time[NOW] = max(time[NOW], np.float64(second))
        clock[EVENTS] += 1
        if kind > LAST_POSITIVE:
            if kind < IMPRESSION:
                refuse(state.users, user, item)
            continue
        weight = weight_of(state.users, user, clock[TAKEN], rules.influence)
        back = deepens(state.users, user, item, second, kind)
        if back >= 0:
            held = (state.users.kinds[user] >> (4 * back)) & 15
            if kind > held:
                state.users.kinds[user] += np.int64(kind - held) << (4 * back)
                trends.learn(
                    state.trends, item, second, clock[TAKEN], weight * F(rules.deepening)
                )
            continue

        full = weight >= 1 or uniform(state.random) < weight
        if clock[KNOWN] > 0 and (every or uniform(state.random) < rules.practice):
            chosen = gather(state, user, second, norm, none, rules.repeats, query)
            right = -1
            if board.mark[item, 0] == board.number[0] and board.mark[item, 1] >= 0:
                right = np.int64(board.chosen[board.mark[item, 1]]) - 1
            scored = count[item] > 0
            if scored:
                for c in range(STRATEGY_COLUMNS.shape[0]):
                    column = STRATEGY_COLUMNS[c]
                    rank = _rank_in(
                        board.evidence[column], chosen, right, BLANK[column] + F(1e-4), clock[KNOWN]
                    )
                    state.hits[1 + c, 0] += rank < 10
                    state.hits[1 + c, 1] += 1
                    if k < ranks.shape[0]:
                        ranks[k, 1 + c] = rank
            if chosen > 0:
                ranker.observe(state.ranker, board.evidence, chosen)
                ranker.normalise(state.ranker, board.evidence, chosen)
                ranker.ask(
                    state.ranker, state.users.history, user, state.embeddings.slot, board, chosen
                )
            if k < top.shape[0]:
                n = _best_of(board, chosen, list_items, list_scores)
                for x in range(top.shape[1]):
                    top[k, x] = list_items[x] if x < n else -1
            if scored:
                rank = _rank_in(board.score, chosen, right, F(-1e30), clock[KNOWN])
                state.hits[0, 0] += rank < 10
                state.hits[0, 1] += 1
                if k < ranks.shape[0]:
                    ranks[k, 0] = rank
            if right >= 0 and chosen > 1 and full:
                ranker.tell(
                    state.ranker,
                    state.users.history,
                    user,
                    state.embeddings.slot,
                    board,
                    chosen,
                    right,
                    state.random,
                )
        _learn_everywhere(state, user, item, second, kind, weight, rules, query, full)
    return users.shape[0]


@kernel
def recommend(state, rules, users, t, norm, excluded, items, scores):  # type: ignore[no-untyped-def]
    """The best items of each user at time t, into items, int32 [users, n] (-1 beyond the last),
    and scores, float32 [users, n]. Only scratch is written."""
    query = np.empty(embeddings.WIDTH, np.float32)
    second = second_of(state.time, t)
    for k in range(users.shape[0]):
        user = users[k]
        chosen = gather(state, user, second, norm, excluded, rules.repeats, query)
        if chosen > 0:
            ranker.normalise(state.ranker, state.board.evidence, chosen)
            ranker.ask(
                state.ranker,
                state.users.history,
                user,
                state.embeddings.slot,
                state.board,
                chosen,
            )
        n = _best_of(state.board, chosen, items[k], scores[k])
        for x in range(n, items.shape[1]):
            items[k, x] = -1
