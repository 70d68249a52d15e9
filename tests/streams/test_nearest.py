"""What lies nearest to a query is found among what may be shown, however much may not."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from models.catalogue import Choice, ItemFacts
from models.content.likeness import Likeness
from models.content.words import CONSIDERED
from models.recommender import Recommender
from streams.engine import Engine
from streams.nearest import nearest_shown
from streams.replica import Replica

N = 6000
#: The nearest to the query first.
ITEMS = [f"i{k}" for k in range(N)]


def catalogue(hidden: range = range(0), rare: range = range(0)) -> Any:
    """Of an engine and the vectors: items side by side on an arc; some are switched off, some are
    of the category "rare"."""
    recommender = Recommender()
    recommender.upsert_items(
        [
            ItemFacts(
                item, categories=("rare" if k in rare else "common",), available=k not in hidden
            )
            for k, item in enumerate(ITEMS)
        ]
    )
    angles = np.linspace(0, 3, N)
    likeness = Likeness(2, exact_up_to=1000)
    likeness.upsert(ITEMS, np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32))
    return recommender, likeness


@pytest.mark.parametrize(
    ("hidden", "rare", "only", "first"),
    [
        (range(0), range(0), Choice(), 0),
        (range(1000), range(0), Choice(), 1000),
        (range(1000), range(0), Choice(any=("common",)), 1000),
        (range(0), range(5000, N), Choice(any=("rare",)), 5000),
        (range(0), range(1500), Choice(none=("rare",)), 1500),
        (range(5000), range(0), Choice(), 5000),
    ],
)
def test_the_nearest_that_may_be_shown_are_found(
    hidden: range, rare: range, only: Choice, first: int
) -> None:
    recommender, likeness = catalogue(hidden, rare)
    engine = Engine(cast(Replica, SimpleNamespace(recommender=recommender)))
    query = np.array([1, 0], np.float32)
    left_out = {ITEMS[first + 1]}

    async def find() -> list[str]:
        found = await nearest_shown(engine, likeness, query, "ann", only=only, exclude=left_out)
        return [item for item, _ in found]

    found = asyncio.run(find())
    engine.close()
    assert len(found) >= CONSIDERED // 2
    # Once an index of halves is built in the background, some forty beside the nearest are level.
    assert found[0] in ITEMS[first : first + 50]
    expected = [item for item in ITEMS[first:] if item not in left_out]
    shared = {*expected[: len(found)]} & {*found}
    assert len(shared) > 0.95 * len(found)
