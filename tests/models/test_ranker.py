"""The ranker's kernels do what its equations say, written down once more in numpy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from models import ranker
from models.board import Board, new_board
from models.evidence import COLUMNS
from models.lists import Lists, new_lists
from models.numeric import narrowed, widened
from models.ranker import CONTEXT, HIDDEN, WALK, WALK_DECAY, Ranker, new_ranker

USER, ITEMS = 1, 64
Floats = NDArray[np.float64]


class Asked(NamedTuple):
    """A ranker with random weights, and a board with random evidence for the first items."""

    state: Ranker
    board: Board
    history: Lists
    slot: NDArray[np.int32]
    chosen: int

    @property
    def evidence(self) -> Floats:
        """Float64 [COLUMNS, chosen]."""
        return self.board.evidence[:, : self.chosen].astype(np.float64)


def asked(chosen: int, alike: int) -> Asked:
    """Ranked `chosen` candidates, who differ in all but `alike` columns."""
    random = np.random.default_rng(chosen + alike)
    state, history = new_ranker(4, ITEMS + 1, random), new_lists(4, 2)
    for array in (state.theta, state.scalar, state.deviation):
        array[:] = random.normal(0, 0.2, array.shape)
    for halves in (state.into, state.out):
        halves[:] = narrowed(random.normal(0, 0.2, halves.shape).astype(np.float32))
    state.scalar[:, 1:] = 1
    state.context[:] = random.normal(size=CONTEXT)
    state.mean[:], state.variance[:] = random.normal(size=COLUMNS), random.uniform(1, 9, COLUMNS)
    history.size[USER] = WALK + 3
    history.words[: WALK + 3, 0] = random.integers(ITEMS, size=WALK + 3)
    board = new_board(ITEMS, 4, 1, HIDDEN, 1, 1)
    board.candidate[:chosen] = board.item[:chosen] = np.arange(chosen)
    board.evidence[:] = random.normal(0, 2, board.evidence.shape)
    same = random.permutation(COLUMNS)[:alike]
    board.evidence[same] = board.evidence[same, :1]
    found = Asked(state, board, history, np.arange(1, ITEMS + 1, dtype=np.int32), chosen)
    ranker.normalise(state, board, chosen)
    ranker.ask(state, history, USER, found.slot, board, chosen)
    return found


def scores(given: Asked, theta: Floats) -> Floats:
    """The equation of `models.ranker`, float64 [chosen]."""
    at = np.cumsum([HIDDEN * COLUMNS, HIDDEN * CONTEXT, HIDDEN, HIDDEN])
    w1, v, b, w2, w = np.split(theta, at)
    state, x = given.state, given.evidence
    context = state.context.astype(np.float64)
    linear = w.reshape(COLUMNS, CONTEXT) @ context + state.deviation[USER]
    units = w1.reshape(COLUMNS, HIDDEN).T @ x + (v.reshape(HIDDEN, CONTEXT) @ context + b)[:, None]
    newest = given.history.words[3 : WALK + 3, 0][::-1]
    query = WALK_DECAY ** np.arange(WALK) @ widened(state.into[given.slot[newest]]).astype(float)
    slots = given.slot[: given.chosen]
    total: Floats = linear @ x + w2 @ np.maximum(units, 0)
    return total + state.scalar[slots, 0] + widened(state.out[slots]) @ query


@pytest.mark.parametrize(("chosen", "alike"), [(1, 0), (7, 10), (40, 13), (60, COLUMNS), (64, 3)])
def test_scores_are_those_of_the_equation(chosen: int, alike: int) -> None:
    given = asked(chosen, alike)
    expected = scores(given, given.state.theta.astype(np.float64))
    np.testing.assert_allclose(given.board.score[:chosen], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("chosen", "alike"), [(2, 0), (7, 10), (12, 13), (40, 13)])
def test_a_step_goes_down_the_slope_of_the_loss(chosen: int, alike: int) -> None:
    """A generalised cross-entropy; what lies beneath its floor, the last of these, is as steep as
    the cross-entropy times what it is there."""
    given, right, random = asked(chosen, alike), 1, np.random.default_rng(0)
    theta = given.state.theta.astype(np.float64)

    def loss(theta: Floats) -> float:
        z = scores(given, theta)
        p, q = float(np.exp(z[right] - z.max()) / np.exp(z - z.max()).sum()), float(ranker.Q)
        least = float(ranker.LEAST)
        return (1 - p**q) / q if p > least else -(least**q) * np.log(p)

    given.state.theta[:] *= 0.05  # so that no candidate is rare, and none left out by chance
    theta = given.state.theta.astype(np.float64)
    given.state.scalar[:, 0] = given.state.out[:] = given.state.deviation[:] = 0
    ranker.ask(given.state, given.history, USER, given.slot, given.board, chosen)
    ways = [random.normal(size=theta.size) for _ in range(8)]
    step = 1e-5
    slopes = [(loss(theta + step * way) - loss(theta - step * way)) / (2 * step) for way in ways]
    ranker.tell(
        given.state,
        given.history,
        USER,
        given.slot,
        given.board,
        chosen,
        right,
        np.array([1], np.uint64),
    )
    gradient = given.state.gradient.astype(np.float64)
    np.testing.assert_allclose([gradient @ way for way in ways], slopes, rtol=2e-3, atol=2e-3)
