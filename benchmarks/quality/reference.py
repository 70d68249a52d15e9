"""What a reference is, and how one is evaluated: test, then train, like Freshet itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from models.evaluation.log import EventLog
from models.evaluation.metrics import METRICS, metric_values


class Reference(Protocol):
    """A recommender to compare with.

    Users and items are numbers in order of first appearance, so the items known so far are always
    0 … known − 1. One model may be read with several settings at once (decays of the history);
    `settings` names them.
    """

    settings: Sequence[str]
    refit_every: int  # events between refits; 0 where learning is online and nothing is refitted

    def rank(self, user: int, known: int) -> NDArray[np.float32] | None:
        """The score of every known item, [settings, known], higher is better; None: no opinion.
        Items of equal score are ordered by popularity."""

    def learn(self, user: int, item: int) -> None:
        """Learn one event; `past` holds it already."""

    def refit(self) -> None:
        """Fit again on all of the past."""


@dataclass(slots=True)
class Past:
    """Everything before now. Every reference may read it, none may write it."""

    users: int
    items: int
    histories: list[list[int]] = field(init=False)
    popularity: NDArray[np.float32] = field(init=False)
    events: int = 0

    def __post_init__(self) -> None:
        self.histories = [[] for _ in range(self.users)]
        self.popularity = np.zeros(self.items, np.float32)

    def add(self, user: int, item: int) -> None:
        self.histories[user].append(item)
        self.popularity[item] += 1
        self.events += 1

    def matrix(self) -> csr_matrix:
        """Users × items, float32, how often each user took each item."""
        lengths = [len(history) for history in self.histories]
        columns = np.fromiter((i for history in self.histories for i in history), np.int32)
        rows = np.repeat(np.arange(self.users, dtype=np.int32), lengths)
        ones = np.ones(len(columns), np.float32)
        matrix = csr_matrix((ones, (rows, columns)), shape=(self.users, self.items))
        matrix.sum_duplicates()
        return matrix


Builder = Callable[[Past], Reference]

MASKS = ("consumed left out", "consumed kept")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Mean of every metric for every setting; each setting with and without consumed items."""

    scored: int
    metrics: dict[str, dict[str, float]]  # setting → metric → mean


def evaluate(
    log: EventLog,
    scored: NDArray[np.bool_],
    build: Builder,
    progress: Callable[[int], None] = lambda _: None,
) -> Outcome:
    """Rank before learning from each event that takes an item; then learn; refit when due.

    scored: bool [events], what `freshet evaluate` scored; a reference is scored on the same.
    """
    scored, log = scored[log.positive], log.only(log.positive)
    past = Past(len(log.user_names), len(log.item_names))
    reference = build(past)
    variants = len(reference.settings) * len(MASKS)
    sums = np.zeros((variants, len(METRICS)))
    nothing = np.zeros((1, past.items), np.float32)
    known = 0
    for event, (user, item) in enumerate(zip(log.users.tolist(), log.items.tolist(), strict=True)):
        if scored[event]:
            found = reference.rank(user, known)
            found = nothing[:, :known] if found is None else found
            own = np.unique(np.asarray(past.histories[user], np.int32))
            places = _places(found, past.popularity, item, own)
            if len(places) < len(reference.settings):
                places = np.repeat(places, len(reference.settings), axis=0)
            sums += metric_values(places).reshape(variants, -1)
        past.add(user, item)
        reference.learn(user, item)
        known = max(known, item + 1)
        if reference.refit_every and (event + 1) % reference.refit_every == 0:
            reference.refit()
        if event % 1000 == 999:
            progress(event + 1)
    asked = int(scored.sum())
    means = sums / max(asked, 1)
    names = [f"{setting}, {mask}" for setting in reference.settings for mask in MASKS]
    return Outcome(
        asked,
        {
            name: dict(zip(METRICS, row.tolist(), strict=True))
            for name, row in zip(names, means, strict=True)
        },
    )


@njit(cache=True)
def _places(
    scores: NDArray[np.float32], popularity: NDArray[np.float32], item: int, own: NDArray[np.int32]
) -> NDArray[np.float64]:
    """0-based mid-rank of the item by (score, popularity): [settings, 2], consumed items left out
    (an item that is itself consumed comes last) and kept."""
    settings, known = scores.shape
    places = np.zeros((settings, 2))
    popular = popularity[item]
    for s in range(settings):
        mine = scores[s, item]
        for j in range(known):
            if scores[s, j] > mine or (scores[s, j] == mine and popularity[j] > popular):
                places[s, 1] += 1.0
            elif scores[s, j] == mine and popularity[j] == popular and j != item:
                places[s, 1] += 0.5
        places[s, 0] = places[s, 1]
        for j in own:
            if j == item:
                places[s, 0] = known - len(own)
                break
            if scores[s, j] > mine or (scores[s, j] == mine and popularity[j] > popular):
                places[s, 0] -= 1.0
            elif scores[s, j] == mine and popularity[j] == popular:
                places[s, 0] -= 0.5
    return places
