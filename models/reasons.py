"""Why an item is in the list: asked of the ranker itself.

A source's share is how far the item's score falls when that source's evidence is blanked; a
history item's share is how far it falls when what that item contributed is taken away:

    fall(s) = score(x) − score(x with the columns of s blank)        share(s) = fall(s)⁺ / Σ fall⁺

So a reason is true by construction: without it, the item would stand lower. For the items of the
history, only those CAUSES are tried that give the largest part of the item's scores. What other
users contributed (neighbours) is not traced back to single items.
"""

from __future__ import annotations

import numpy as np

from models.board import ALIKE, LINKS, NORM, PARTS, WALKED
from models.evidence import (
    ABSOLUTE,
    AFFINITY,
    BLANK,
    COLUMNS,
    FAMILIES,
    FAMILY,
    LINKED,
    NOTHING,
    OWN,
    OWN_RHYTHM,
    RELATIVE,
    STRONGEST,
    SUPPORT,
)
from models.evidence import CONTENT as CONTENT_COLUMN
from models.jit import bare_kernel, inlined
from models.numeric import F, log, wide
from models.ranker import CLIP, WALK, WALK_DECAY, fall_of, units_of
from models.sources import content
from models.sources.covisitation import (
    AHEAD,
    FIRST_READ,
    LEAST_READ,
    LONG_DECAY,
    LONG_WALK,
    READ_DECAY,
    SHORT_DECAY,
    SHORT_WALK,
    TOGETHER,
    WEIGHT,
    scale_of,
)
from models.sources.embeddings import REMEMBERED
from models.user import ITEM

SOURCES = (*FAMILIES, "explore", "catalogue")
"""What a reason may name. An item that has its place because few have taken it, and for which
nothing speaks but how it is taken now, is there to explore: it is not popular. One that was taken
by more, and only fills a list for which nothing else speaks, is there as the catalogue has it."""

COVISITATION, NEIGHBOURS, TRENDS, EMBEDDINGS, REPEATS, CONTENT, EXPLORE, CATALOGUE = range(
    len(SOURCES)
)

CAUSES = 4
"""History items whose part is tried out, for each item of the list."""

NAMED = 2
"""History items that are named."""


@bare_kernel
def explain(state, user, chosen, tried, items, source, share, causes, cause_shares):  # type: ignore[no-untyped-def]
    """Reasons for one list that was just ranked on the board, whose evidence is normalised.

    tried: the item of the list that has its place because few have taken it, or -1. items: int32
    [n], the list. Filled in: source, int8 [n], a number of `SOURCES`; share, float32 [n]; causes,
    int32 [n, NAMED], item numbers or -1; cause_shares, float32 [n, NAMED].
    """
    board, ranker, slot = state.board, state.ranker, state.embeddings.slot
    history = state.users.history
    newest = history.start[user] + history.size[user] - 1
    walked = min(history.size[user], WALKED)
    for x in range(chosen):
        board.listed_as[x] = 0
    listed = 0
    for r in range(items.shape[0]):
        if items[r] < 0:
            break
        x = board.chosen[board.mark[items[r], 1]] - 1
        board.listed[r] = x
        board.listed_as[x] = r + 1
        listed += 1
    _parts(state, user, listed)

    for r in range(listed):
        x = board.listed[r]
        line = board.candidate[x]
        own_slot = slot[items[r]]
        column = board.column
        bias, low_rank = _whole(ranker, board, x, own_slot)

        best_fall, total = F(0), F(0)
        source[r] = TRENDS
        for family in range(len(FAMILIES)):
            fall = _fall(ranker, board, family, bias, low_rank)
            if fall > best_fall:
                best_fall = fall
                source[r] = family
            total += max(fall, F(0))
        share[r] = best_fall / total if total > 0 else F(1)
        if source[r] == TRENDS and items[r] == tried:
            source[r], share[r] = EXPLORE, F(1)

        for k in range(NAMED):
            causes[r, k] = -1
            cause_shares[r, k] = F(0)
        total = F(0)
        weights = board.odds
        for b in range(walked):
            weights[b] = F(0)
            for c in range(PARTS):
                if board.part[b, r, c] > 0:
                    weights[b] += board.part[b, r, c] / board.tally[line, c]
            earlier = history.words[newest - b, ITEM]
            if earlier == items[r]:
                weights[b] += F(10)
            elif earlier >= 0:
                weights[b] += content.part(state.content, earlier, items[r], b)
        for _ in range(CAUSES):
            back = 0
            for b in range(walked):
                if weights[b] > weights[back]:
                    back = b
            if walked == 0 or weights[back] <= 0:
                break
            weights[back] = F(0)
            cause = history.words[newest - back, ITEM]
            for b in range(walked):  # an item taken more than once is one cause
                if b != back and history.words[newest - b, ITEM] == cause:
                    weights[b] = F(0)
                    for c in range(PARTS):
                        board.part[back, r, c] += board.part[b, r, c]
                        board.part[b, r, c] = F(0)
            _without(state, line, r, back, walked, cause, own_slot, cause == items[r])
            fall = _fall_to_column(ranker, board)
            if back < WALK:
                fade = F(WALK_DECAY**back)
                theirs, its = ranker.into[slot[cause]], ranker.out[own_slot]
                for f in range(its.shape[0]):
                    fall += fade * wide(theirs[f]) * wide(its[f])
            for f in range(COLUMNS):
                column[f] = board.own_column[f]
            if fall <= 0:
                continue
            total += fall
            for k in range(NAMED):
                if fall > cause_shares[r, k]:
                    for m in range(NAMED - 1, k, -1):
                        causes[r, m] = causes[r, m - 1]
                        cause_shares[r, m] = cause_shares[r, m - 1]
                    causes[r, k] = cause
                    cause_shares[r, k] = fall
                    break
        for k in range(NAMED):
            if total > 0:
                cause_shares[r, k] /= total


@bare_kernel
def shares(state, items, found):  # type: ignore[no-untyped-def]
    """What each family gave to one list that was just ranked: Σ fall(s)⁺ over the list's items, as
    shares of all. items: int32 [n], -1 beyond its end. Filled in: found, float32 [families], all 0
    where no family gave anything."""
    board, ranker = state.board, state.ranker
    for family in range(len(FAMILIES)):
        found[family] = F(0)
    total = F(0)
    for r in range(items.shape[0]):
        if items[r] < 0:
            break
        x = board.chosen[board.mark[items[r], 1]] - 1
        bias, low_rank = _whole(ranker, board, x, state.embeddings.slot[items[r]])
        for family in range(len(FAMILIES)):
            fall = max(F(0), _fall(ranker, board, family, bias, low_rank))
            found[family] += fall
            total += fall
    for family in range(len(FAMILIES)):
        found[family] /= max(total, F(1e-9))


@inlined
def _whole(ranker, board, x, own_slot):  # type: ignore[no-untyped-def]
    """Bring the candidate's evidence to board.column; its bias and low-rank term."""
    for f in range(COLUMNS):
        board.column[f] = board.evidence[f, x]
        board.own_column[f] = board.evidence[f, x]
    units_of(ranker.theta, board.units, board.own_column, board.own_units)
    bias, low_rank, its = ranker.scalar[own_slot, 0], F(0), ranker.out[own_slot]
    for f in range(its.shape[0]):
        low_rank += ranker.query[f] * wide(its[f])
    return bias, low_rank


@inlined
def _fall_to_column(ranker, board):  # type: ignore[no-untyped-def]
    """How far the candidate's score falls when its evidence becomes board.column."""
    return fall_of(
        ranker.theta, ranker.weight, board.own_units, board.own_column, board.column, board.linear
    )


@inlined
def _fall(ranker, board, family, bias, low_rank):  # type: ignore[no-untyped-def]
    """How far the score of the candidate in board.column falls without one family."""
    column = board.column
    for f in range(COLUMNS):
        if FAMILY[f] == family:
            column[f] = _normal(ranker.mean, ranker.variance, f, BLANK[f])
    fall = _fall_to_column(ranker, board)
    fall += low_rank if family == EMBEDDINGS else F(0)
    fall += bias if family == TRENDS else F(0)
    for f in range(COLUMNS):
        column[f] = board.own_column[f]
    return fall


@bare_kernel
def _normal(mean, variance, f, value):  # type: ignore[no-untyped-def]
    """A value of column f as the ranker sees it."""
    z = (value - F(mean[f])) * F(1.0 / np.sqrt(variance[f] + 1e-4))
    return min(max(z, -CLIP), CLIP)


@inlined
def _parts(state, user, listed):  # type: ignore[no-untyped-def]
    """board.part [history item, listed item, score]: who gave what in `covisitation.propose`."""
    board, covisited, history = state.board, state.covisitation, state.users.history
    others, weights = covisited.others, covisited.rows.halves
    newest = history.start[user] + history.size[user] - 1
    short, long, read = F(1), F(1), FIRST_READ
    for back in range(min(history.size[user], LONG_WALK)):
        for r in range(listed):
            for c in range(PARTS):
                board.part[back, r, c] = F(0)
        item = history.words[newest - back, ITEM]
        if item >= 0 and covisited.rows.size[item] > 0:
            start = covisited.rows.start[item]
            size = np.int64(covisited.rows.size[item])
            stop = start + min(size, max(LEAST_READ, np.int64(read)))
            read *= READ_DECAY
            scale = scale_of(covisited.taken[item])
            near = short * scale if back < SHORT_WALK else F(0)
            for x in range(start, stop):
                neighbour = others[x]
                if board.mark[neighbour, 0] != board.number[0]:
                    continue
                line = board.mark[neighbour, 1]
                if line < 0 or board.chosen[line] == 0:
                    continue
                r = board.listed_as[board.chosen[line] - 1] - 1
                if r < 0:
                    continue
                part = board.part[back, r]
                weight, ahead = wide(weights[x, WEIGHT]), wide(weights[x, AHEAD])
                part[0] = near * weight
                part[1] = long * scale * weight
                part[2] = near * ahead
                part[3] = scale * ahead if back == 0 else F(0)
                part[4] = near * wide(weights[x, TOGETHER])
        short *= F(SHORT_DECAY)
        long *= F(LONG_DECAY)


@inlined
def _without(state, line, r, back, walked, cause, own_slot, own):  # type: ignore[no-untyped-def]
    """Write into board.column what the item's evidence would be without one history item."""
    board, ranker, vectors = state.board, state.ranker, state.embeddings
    mean, variance = ranker.mean, ranker.variance
    column, tally = board.column, board.tally[line]
    norm = tally[NORM]
    for c in range(PARTS):
        best = board.best[c]
        if best <= 0 or board.part[back, r, c] <= 0:
            continue
        left = max(F(0), tally[c] - board.part[back, r, c])
        z = log(left * norm / best + F(2e-3))
        column[RELATIVE + c] = _normal(mean, variance, RELATIVE + c, z)
        z = z + max(F(-6), log(best + F(1e-9))) if left > F(1e-12) else F(NOTHING)
        column[ABSOLUTE + c] = _normal(mean, variance, ABSOLUTE + c, z)
    if board.part[back, r, 1] > 0:
        z = log(max(F(0), tally[LINKS] - F(1)) + F(1))
        column[SUPPORT] = _normal(mean, variance, SUPPORT, z)
        z = max(F(0), tally[LINKS] - F(1)) / F(max(walked, 1))
        column[LINKED] = _normal(mean, variance, LINKED, z)
        for kind in range(2):
            strongest = F(0)
            for b in range(walked):
                if b != back:
                    strongest = max(strongest, board.part[b, r, 1 + kind])
            z = log(strongest * norm + F(1e-3))
            column[STRONGEST + kind] = _normal(mean, variance, STRONGEST + kind, z)
    if back < REMEMBERED:
        weight = F(1) / F(1.0 + back)
        z, its = F(0), vectors.out[own_slot]
        theirs = vectors.into[vectors.slot[cause]]
        for f in range(its.shape[0]):
            z += weight * wide(theirs[f]) * wide(its[f])
        scale = F(1.0 / np.sqrt(ranker.variance[AFFINITY] + 1e-4))
        column[AFFINITY] = min(max(column[AFFINITY] - z * scale, -CLIP), CLIP)
    given = content.part(state.content, cause, board.item[line], back)
    if given > 0:
        z = log(max(F(0), tally[ALIKE] - given) + content.NONE)
        column[CONTENT_COLUMN] = _normal(mean, variance, CONTENT_COLUMN, z)
    if own:
        for f in range(OWN, OWN_RHYTHM + 1):
            column[f] = _normal(mean, variance, f, BLANK[f])


def sentence(source: int, cause: str | None) -> str:
    """The reason as a person would say it. cause: the title of the user's own item, if any."""
    if source == EXPLORE:
        return "Not many know this yet."
    if source == CATALOGUE:
        return "Also in the catalogue."
    if source == CONTENT:
        return f"Of the same kind as “{cause}”." if cause else "Of a kind you often choose."
    if source == REPEATS:
        return "You come back to this regularly."
    if source == TRENDS or cause is None:
        return "Popular right now." if source == TRENDS else "People like you chose this."
    if source == COVISITATION:
        return f"Because you chose “{cause}”: people who did chose this too."
    if source == NEIGHBOURS:
        return f"People who also chose “{cause}” went on to this."
    return f"Close to what you chose lately, above all to “{cause}”."
