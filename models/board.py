"""The working table of one ranking: every item that a source mentions gets a line.

Nothing here is learned; it is scratch, kept to be used again. A line is found by its item in one
look-up, and lines lie densely one after another, so that scores of some thousand items stay in the
processor's cache however large the catalogue is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.evidence import COLUMNS
from models.jit import inlined

LINES = 16_384
"""Most items that may be mentioned in one ranking."""

CANDIDATES = 1_024
"""Most items that are ranked."""

ROW = CANDIDATES + 16
"""Places of a row with one number per candidate. Rows 4,096 bytes apart would all lie in the same
few places of the processor's nearest cache: reading one candidate's column took half as long again.
"""

LONGEST_LIST = 128
"""Longest list that can be asked for."""

WALKED, PARTS = 30, 5
"""Items of a history, and scores of each, that a reason looks at."""

SHORTLIST = 60
"""Items that each of the accumulated scores puts forward."""

#: Columns of `tally` beyond the six scores (`evidence.SYMMETRIC` … `evidence.NEIGHBOURS`).
LINKS, BEST, BEST_FORWARD, AFTER, ALIKE, NORM = 6, 7, 8, 9, 10, 11
TALLY = 12

MASKED = np.int32(-1)

DIFFERING = 3
"""Entry of `number`: the columns, in `order`, that the ranker takes one by one."""


class Board(NamedTuple):
    """mark: int32 [items, 2], (ranking number, line or MASKED) of each item.

    number: int64 [4]: the ranking's number; lines in use; categories in `profiled`; DIFFERING.
    item: int32 [LINES]. tally: float32 [LINES, TALLY], accumulated scores. chosen: int32 [LINES],
    1 + the line's place among the candidates, or 0. candidate: int32 [CANDIDATES], lines.
    best: float32 [6], the highest of each score. by_score: float32 [6, LINES + 16].
    evidence: float32 [COLUMNS, ROW]. score, chance: float32 [ROW], hidden: float32 [units, ROW],
    the ranker's. order: int32 [COLUMNS], columns of evidence, those in which the candidates differ
    first, up to a multiple of 4; passing: float32 [units], what the others give. pushed: int32
    [ROW], candidates that its step looks at; through: float32 [4, units], how far four of them
    push each unit.
    profile: float32 [categories, 3], what the user takes of each (`sources.categories`); profiled:
    int32, the categories where it is not 0.
    user_mark, similarity, visitor, anchor, anchor_item: of users met (`sources.neighbours`);
    told_item, told_distance, told_by: what they took, how long after, and who.
    draw: uint64 [1], a random sequence for what is no learned state.
    top, query, pull, drawn, odds, linear, column, units: passing values;
    own_column, own_units: one candidate's evidence, and what the neural part makes of it.
    listed: int32, places of the list's candidates; listed_as: int32 [CANDIDATES], 1 + their place
    in the list, or 0; part: float32, what one item of the history adds to one item of the list.
    """

    mark: NDArray[np.int32]
    number: NDArray[np.int64]
    item: NDArray[np.int32]
    tally: NDArray[np.float32]
    chosen: NDArray[np.int32]
    candidate: NDArray[np.int32]
    best: NDArray[np.float32]
    by_score: NDArray[np.float32]
    evidence: NDArray[np.float32]
    score: NDArray[np.float32]
    chance: NDArray[np.float32]
    hidden: NDArray[np.float32]
    order: NDArray[np.int32]
    passing: NDArray[np.float32]
    pushed: NDArray[np.int32]
    through: NDArray[np.float32]
    profile: NDArray[np.float32]
    profiled: NDArray[np.int32]
    user_mark: NDArray[np.int32]
    similarity: NDArray[np.float32]
    visitor: NDArray[np.int32]
    anchor: NDArray[np.int32]
    anchor_item: NDArray[np.int32]
    told_item: NDArray[np.int32]
    told_distance: NDArray[np.int32]
    told_by: NDArray[np.int32]
    top: NDArray[np.float32]
    query: NDArray[np.float32]
    pull: NDArray[np.float32]
    drawn: NDArray[np.int32]
    draw: NDArray[np.uint64]
    odds: NDArray[np.float32]
    linear: NDArray[np.float32]
    column: NDArray[np.float32]
    units: NDArray[np.float32]
    own_units: NDArray[np.float32]
    own_column: NDArray[np.float32]
    listed: NDArray[np.int32]
    listed_as: NDArray[np.int32]
    part: NDArray[np.float32]


def new_board(
    items: int, users: int, categories: int, hidden: int, visitors: int, told: int
) -> Board:
    """Scratch for this many items, users and categories."""
    return Board(
        mark=np.zeros((items, 2), np.int32),
        number=np.zeros(4, np.int64),
        item=np.zeros(LINES, np.int32),
        tally=np.zeros((LINES, TALLY), np.float32),
        chosen=np.zeros(LINES, np.int32),
        candidate=np.zeros(CANDIDATES, np.int32),
        best=np.zeros(6, np.float32),
        by_score=np.zeros((6, LINES + 16), np.float32),
        evidence=np.zeros((COLUMNS, ROW), np.float32),
        score=np.zeros(ROW, np.float32),
        chance=np.zeros(ROW, np.float32),
        hidden=np.zeros((hidden, ROW), np.float32),
        order=np.arange(COLUMNS, dtype=np.int32),
        passing=np.zeros(hidden, np.float32),
        pushed=np.zeros(ROW, np.int32),
        through=np.zeros((4, hidden), np.float32),
        profile=np.zeros((categories, 3), np.float32),
        profiled=np.zeros(categories, np.int32),
        user_mark=np.zeros((users, 2), np.int32),
        similarity=np.zeros(visitors, np.float32),
        visitor=np.zeros(visitors, np.int32),
        anchor=np.zeros(visitors, np.int32),
        anchor_item=np.zeros(visitors, np.int32),
        told_item=np.zeros(told, np.int32),
        told_distance=np.zeros(told, np.int32),
        told_by=np.zeros(told, np.int32),
        top=np.zeros(8, np.float32),
        query=np.zeros(64, np.float32),
        pull=np.zeros(64, np.float32),
        drawn=np.zeros(64, np.int32),
        draw=np.zeros(1, np.uint64),
        odds=np.zeros(64, np.float32),
        linear=np.zeros(COLUMNS, np.float32),
        column=np.zeros(COLUMNS, np.float32),
        units=np.zeros(hidden, np.float32),
        own_units=np.zeros(hidden, np.float32),
        own_column=np.zeros(COLUMNS, np.float32),
        listed=np.zeros(LONGEST_LIST, np.int32),
        listed_as=np.zeros(CANDIDATES, np.int32),
        part=np.zeros((WALKED, LONGEST_LIST, PARTS), np.float32),
    )


@inlined
def mask(board, item):  # type: ignore[no-untyped-def]
    """Keep an item out of this ranking; to be said before a source mentions it."""
    board.mark[item, 0] = board.number[0]
    board.mark[item, 1] = MASKED


@inlined
def line_of(board, item, norm):  # type: ignore[no-untyped-def]
    """The item's line, a new one of zeros if need be; -1 where it must not be recommended.

    norm: float32 by item, 1/√(popularity + 1), and 0 for what is not to be had.
    """
    if board.mark[item, 0] == board.number[0]:
        line = board.mark[item, 1]
    else:
        board.mark[item, 0] = board.number[0]
        line = MASKED
        if norm[item] > 0 and board.number[1] < LINES:
            line = np.int32(board.number[1])
            board.number[1] += 1
            board.item[line] = item
            board.chosen[line] = 0
            for c in range(NORM):
                board.tally[line, c] = 0
            board.tally[line, NORM] = norm[item]
        board.mark[item, 1] = line
    return line


@inlined
def choose(board, line, chosen):  # type: ignore[no-untyped-def]
    """Make a line a candidate; returns the number of candidates now."""
    if board.chosen[line] == 0 and chosen < CANDIDATES:
        board.candidate[chosen] = line
        chosen += 1
        board.chosen[line] = chosen
    return chosen
