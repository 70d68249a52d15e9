"""The sequence models learn what only the order of events tells."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.quality.reference import Past, evaluate
from benchmarks.quality.sequence import NETWORKS, Sequence
from models.evaluation import EventLog
from models.evaluation.buckets import earlier
from models.interactions import Interactions, Kind


def circle(events: int = 1200, items: int = 20, users: int = 20, seed: int = 0) -> EventLog:
    """Every user walks round the same circle of items, one step at a time."""
    rng = np.random.default_rng(seed)
    place = rng.integers(items, size=users)

    def step(t: int) -> tuple[str, str, Kind, None, float]:
        user = int(rng.integers(users))
        place[user] = (place[user] + 1) % items
        return f"u{user}", f"i{place[user]}", Kind.VIEW, None, float(t)

    return EventLog.of(Interactions.of(step(t) for t in range(events)))


@pytest.mark.parametrize("network", NETWORKS)
def test_a_sequence_model_learns_which_item_follows_which(network: str) -> None:
    def build(past: Past) -> Sequence:
        return Sequence(past, network=network, size=32, refit_every=400)

    log = circle()
    found = evaluate(log, earlier(log.items, log.positive) > 0, build)
    assert found.metrics["32 wide, dropout 0.2, consumed kept"]["mrr"] > 0.4  # chance: 0.18


def test_an_unknown_network_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="SASRec, GRU4Rec"):
        Sequence(Past(1, 1), network="BERT4Rec", size=8)
