"""A change of tastes is noticed soon, and where nothing changes nothing is said."""

from __future__ import annotations

import numpy as np
import pytest

from models.drift import Change, QualityDrift
from models.interactions import Interactions, Kind
from models.recommender import Recommender

CHANGE = 6_000


def hits_of(seed: int, change: int | None, events: int = 12_000) -> list[tuple[int, int, int]]:
    """(event, hits, scored) after every 20 events, of a stream on which everybody keeps to one of
    eight groups of items, and from event `change` on to another."""
    rng = np.random.default_rng(seed)
    rows = []
    for t in range(events):
        user = int(rng.integers(400))
        group = user % 8 if change is None or t < change else user // 8 % 8
        item = f"i{group}.{min(int(rng.zipf(1.3)), 60)}"
        rows.append((f"u{user}", item, Kind.VIEW, None, 1.6e9 + 60.0 * t))
    engine, found = Recommender(), []
    for at in range(0, events, 20):
        engine.learn(Interactions.of(rows[at : at + 20]))
        found.append((at + 20, *engine.scoreboard()["freshet"]))
    return found


def changes(totals: list[tuple[int, int, int]]) -> list[tuple[int, Change]]:
    watch, found = QualityDrift(), []
    for event, hits, scored in totals:
        change = watch.update(hits, scored)
        if change:
            found.append((event, change))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_change_of_tastes_is_found_within_two_hundred_events(seed: int) -> None:
    falls = [at for at, change in changes(hits_of(seed, CHANGE)) if change is Change.DOWN]
    assert len(falls) == 1
    assert CHANGE < falls[0] <= CHANGE + 200


@pytest.mark.parametrize("seed", range(3))
def test_on_a_steady_stream_quality_only_rises_while_the_engine_is_new(seed: int) -> None:
    found = changes(hits_of(seed, None))
    assert all(change is Change.UP and at < 2_500 for at, change in found)


def test_what_was_learned_before_a_start_is_not_counted() -> None:
    watch = QualityDrift()
    watch.begin_at(hits=900, scored=1_000)
    assert watch.update(hits=1_000, scored=2_000) is None
    assert watch.rate == pytest.approx(0.1)
    assert watch.events == 1_000


def test_totals_that_go_back_are_taken_as_they_are() -> None:
    watch = QualityDrift()
    watch.update(hits=500, scored=1_000)
    assert watch.update(hits=100, scored=200) is None
    assert watch.update(hits=150, scored=300) is None
    assert watch.events == 1_100
