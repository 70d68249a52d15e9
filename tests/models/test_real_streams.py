"""On real streams, where they are at hand: Freshet's list beats every single strategy's."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.evaluation.log import EventLog
from models.interactions import Interactions
from models.recommender import Recommender
from streams.files import read_columns

DATA = Path("../shared/data")
EVENTS = 20_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "stream", ["ml-latest-small-2018", "movietweetings-2013", "completejourney-sample"]
)
def test_freshet_finds_more_than_the_best_single_strategy(stream: str) -> None:
    path = DATA / stream / "events.csv.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there: the real streams are kept beside the repository")
    ranked = Recommender().rank_and_learn(read_columns(path, at_most=EVENTS).rows)
    scored = ~np.isnan(ranked.ranks[:, 0])
    recall = (ranked.ranks[scored] < 10).mean(axis=0)
    best = recall[1:].max()
    assert scored.sum() > EVENTS / 4
    assert recall[0] > 1.05 * best, dict(zip(ranked.names, recall, strict=True))


def in_order(stream: str) -> Interactions:
    path = DATA / stream / "events.csv.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there: the real streams are kept beside the repository")
    log = EventLog.of(read_columns(path).rows)
    return log.rows(slice(0, len(log)))


def with_noise(rows: Interactions, by: str) -> tuple[Interactions, NDArray[np.intp]]:
    """The rows with a ninth more, at the times of random others, of items drawn from all: by random
    users of the stream, or all by one user. And where the rows are."""
    rng = np.random.default_rng(0)
    n, names = len(rows), sorted(set(rows.items))
    after = np.sort(rng.integers(0, n, n // 9))
    users = [rows.users[int(rng.integers(k + 1))] if by == "anybody" else by for k in after]
    items = [names[k] for k in rng.integers(0, len(names), len(after))]
    source = np.concatenate((np.arange(n), after))
    order = np.argsort(np.concatenate((np.arange(n), after + 0.5)), kind="stable")
    values = np.concatenate((rows.values, np.full(len(after), np.nan, np.float32)))
    everyone, everything = [*rows.users, *users], [*rows.items, *items]
    mixed = Interactions(
        users=[everyone[k] for k in order],
        items=[everything[k] for k in order],
        kinds=rows.kinds[source[order]],
        values=values[order],
        times=rows.times[source[order]],
    )
    return mixed, np.flatnonzero(order < n)


def ranks_of(rows: Interactions) -> NDArray[np.float32]:
    return Recommender().rank_and_learn(rows).ranks[:, 0]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("stream", ["ml-latest-small-2018", "movietweetings-2013"])
def test_a_tenth_of_random_events_costs_at_most_three_percent(stream: str) -> None:
    """By random users, and by one alone; the same events are scored."""
    rows = in_order(stream)
    clean = ranks_of(rows)
    for by in ("anybody", "one user alone"):
        mixed, places = with_noise(rows, by)
        noisy = ranks_of(mixed)[places]
        scored = ~np.isnan(clean) & ~np.isnan(noisy)
        loss = 1 - (noisy[scored] < 10).mean() / (clean[scored] < 10).mean()
        assert loss <= 0.03, (by, loss)
