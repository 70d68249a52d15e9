"""Streams to learn from, and ways to look into an engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from models.interactions import Interactions, Kind
from models.recommender import Recommender
from models.settings import EngineSettings

START = 1_700_000_000.0
HOUR, DAY = 3_600.0, 86_400.0

Row = tuple[str, str, Kind, float | None, float]

_KINDS = [0.4, 0.2, 0.05, 0.1, 0.1, 0.05, 0.03, 0.03, 0.04]

#: Arrays that hold what the last ranking was about, and nothing that was learned.
_SCRATCH = tuple(f"state.ranker.{name}" for name in ("context", "weight", "query", "gradient"))


def views(
    pairs: Iterable[tuple[str, str]], *, start: float = START, every: float = 60.0
) -> list[Row]:
    """A view for each pair of user and item, `every` seconds."""
    return [
        (user, item, Kind.VIEW, None, start + k * every) for k, (user, item) in enumerate(pairs)
    ]


def zipf(events: int, *, users: int = 40, items: int = 120, seed: int = 0) -> list[Row]:
    """Two tastes over items of falling popularity, with acts of every kind, ratings, clocks that go
    back, and users who return to what they took."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(events):
        user = int(rng.integers(users))
        item = (min(int(rng.zipf(1.3)), items // 2) * 2 + user) % items
        kind = Kind(int(rng.choice(9, p=_KINDS)))
        value = float(rng.integers(1, 6)) if kind is Kind.RATING else None
        late = -30 * DAY if rng.random() < 0.01 else 0.0
        rows.append((f"u{user}", f"i{item}", kind, value, START + 600.0 * k + late))
    return rows


def checkerboard(events: int, *, users: int = 60, seed: int = 0) -> list[Row]:
    """Even users take even items only, odd users odd ones; nobody takes an item twice."""
    rng = np.random.default_rng(seed)
    left = {user: list(rng.permutation(60) * 2 + user % 2) for user in range(users)}
    pairs = []
    for _ in range(events):
        user = int(rng.integers(users))
        if left[user]:
            pairs.append((f"u{user}", f"i{left[user].pop()}"))
    return views(pairs)


def chunks(rows: Sequence[Row], size: int) -> Iterator[Interactions]:
    """The rows, at most `size` at a time."""
    for at in range(0, len(rows), size):
        yield Interactions.of(rows[at : at + size])


def learned(
    rows: Sequence[Row],
    *,
    settings: EngineSettings = EngineSettings(),  # noqa: B008
    seed: int = 3,
    chunk: int = 500,
) -> Recommender:
    """An engine that has learned these rows."""
    engine = Recommender(settings, seed=seed)
    for part in chunks(rows, chunk):
        engine.learn(part)
    return engine


def listed(engine: Recommender, user: str, now: float, n: int = 10) -> list[str]:
    """The ids of a user's list."""
    return [item.item_id for item in engine.recommend([user], now, n)[0].items]


def kept(engine: Recommender, part: str = "") -> dict[str, NDArray[np.generic]]:
    """A copy of all that one part of the engine (`covisitation`, `ranker`, …) or the whole of it
    has learned, by name."""
    return {
        name: array.copy()
        for name, array in engine.arrays().items()
        if name.startswith(f"state.{part}") and name not in _SCRATCH
    }


def assert_same(one: dict[str, NDArray[np.generic]], other: dict[str, NDArray[np.generic]]) -> None:
    """Bit for bit."""
    assert one
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.tobytes() == other[name].tobytes(), name
