"""Streams whose right recommendations are known."""

from __future__ import annotations

import numpy as np

from models.catalogue import ItemFacts
from models.interactions import Interactions, Kind
from models.recommender import Recommender
from models.settings import EngineSettings

HOUR = 3600.0


def view(user: str, item: str, t: float) -> tuple[str, str, Kind, None, float]:
    return user, item, Kind.VIEW, None, t


def test_checkerboard_tastes_are_told_apart() -> None:
    """Half of the users take odd items only, the other half even ones."""
    rng = np.random.default_rng(0)
    rows = []
    for k in range(4000):
        user = int(rng.integers(200))
        item = 2 * int(rng.integers(40)) + user % 2
        rows.append(view(f"u{user}", f"i{item}", 60.0 * k))
    recommender = Recommender(EngineSettings(repeats="no"))
    recommender.learn(Interactions.of(rows))
    right = total = 0
    for user in range(50):
        for item in recommender.recommend([f"u{user}"], 4000 * 60.0, 5)[0].items:
            right += int(item.item_id[1:]) % 2 == user % 2
            total += 1
    assert total > 200
    assert right / total > 0.97


def test_a_trend_is_seen_and_forgotten() -> None:
    rng = np.random.default_rng(1)
    rows = []
    recommender = Recommender(EngineSettings(repeats="no"))
    t = 0.0
    found = {}
    for phase in ("before", "during", "after"):
        for k in range(2500):
            t += 60.0
            new = k % 3 == 0
            item = "fad" if new and phase == "during" else f"i{rng.integers(300)}"
            rows.append(view(f"{phase}{k}" if new else f"u{rng.integers(400)}", item, t))
        recommender.learn(Interactions.of(rows))
        rows.clear()
        shown = [i.item_id for i in recommender.recommend(["stranger"], t)[0].items]
        found[phase] = shown.index("fad") if "fad" in shown else None
        t += 2 * 86_400.0
    assert found["before"] is None
    assert found["during"] == 0
    assert found["after"] != 0


def test_a_strict_rhythm_is_followed() -> None:
    """Everybody goes A → B → A → C → A → B → …: after A following C comes B."""
    rows, t = [], 0.0
    for _ in range(150):
        for user in range(10):
            for item in "ABAC":
                t += 40.0
                rows.append(view(f"u{user}", item, t))
    recommender = Recommender(EngineSettings(practice=1.0))
    recommender.learn(Interactions.of(rows))
    first = recommender.recommend(["u3"], t + 40.0)[0].items[0]
    assert first.item_id == "A"
    assert first.reason is not None


def test_a_new_user_is_served_from_the_first_event() -> None:
    """Two groups of items that are only taken together: one event says which."""
    rng = np.random.default_rng(2)
    rows = []
    for k in range(3000):
        group = (k // 10) % 2
        rows.append(view(f"u{k // 10}", f"{'ab'[group]}{rng.integers(25)}", 60.0 * k))
    rows.append(view("new", "a1", 180_060.0))
    recommender = Recommender(EngineSettings(repeats="no"))
    recommender.learn(Interactions.of(rows))
    shown = recommender.recommend(["new"], 180_120.0)[0].items
    assert sum(item.item_id.startswith("a") for item in shown) >= 9


def test_the_reason_names_the_item_that_led_there() -> None:
    rng = np.random.default_rng(4)
    rows = []
    for k in range(600):
        pair = int(rng.integers(30))
        for step in range(2):
            rows.append(view(f"u{k}", f"p{pair}.{step}", 3600.0 * k + 60 * step))
        rows.append(view(f"u{k}", f"n{rng.integers(80)}", 3600.0 * k + 7200))
    rows += [view("ann", "n3", 3e6), view("ann", "p7.0", 3e6 + 9000)]
    recommender = Recommender(EngineSettings(repeats="no"))
    recommender.upsert_items([ItemFacts("p7.0", title="Moon (2009)")])
    recommender.learn(Interactions.of(rows))
    first = recommender.recommend(["ann"], 3e6 + 9100)[0].items[0]
    assert first.item_id == "p7.1"
    assert first.reason is not None
    assert first.reason.because_of[0][0] == "p7.0"
    assert 0 < first.reason.share <= 1
    assert "Moon (2009)" in first.reason.text
