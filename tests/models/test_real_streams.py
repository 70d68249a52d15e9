"""On real streams, where they are at hand: Freshet's list beats every single strategy's."""

from pathlib import Path

import numpy as np
import pytest

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
