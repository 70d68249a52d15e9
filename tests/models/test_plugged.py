"""A model of one's own has the say it deserves, and cannot do harm."""

# ruff: noqa: ARG002

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.catalogue import ItemFacts
from models.interactions import Interactions, Kind
from models.plugged import Plugged, PluginError, engine_of
from models.recommender import Recommender
from models.settings import EngineSettings

SGD = {"river.optim:SGD": {"lr": 0.05}}
FACTORS = {"n_factors": 8, "seed": 1, "bias_optimizer": SGD, "latent_optimizer": SGD}
THIS = __name__


class Likes:
    """Likes every item the same."""

    def learn_one(self, user: str, item: str, y: float) -> None: ...

    def predict_one(self, user: str, item: str) -> float:
        return 0.0


class Seen(Likes):
    """Counts what it is told, in tables keyed by name."""

    def __init__(self) -> None:
        self.users: dict[str, int] = {}
        self.items: dict[str, int] = {}

    def learn_one(self, user: str, item: str, y: float) -> None:
        self.users[user] = self.users.get(user, 0) + 1
        self.items[item] = self.items.get(item, 0) + 1

    def predict_one(self, user: str, item: str) -> float:
        return float(self.items[item] + self.users[user])  # a stranger would be a KeyError


class LearnsUpTo(Likes):
    def __init__(self, most: int) -> None:
        self.left = most

    def learn_one(self, user: str, item: str, y: float) -> None:
        self.left -= 1
        if self.left < 0:
            raise ArithmeticError("the weights have run away")


class SaysNothing(Likes):
    def predict_one(self, user: str, item: str) -> float:
        return None  # type: ignore[return-value]


class SaysNaN(Likes):
    def predict_one(self, user: str, item: str) -> float:
        return math.nan


def plugged(plugin: str, **parameters: Any) -> Plugged:
    settings = EngineSettings(plugin=plugin, plugin_parameters=json.dumps(parameters))
    engine = engine_of(settings, seed=3)
    assert isinstance(engine, Plugged)
    return engine


def shop(events: int = 600, seed: int = 0) -> Interactions:
    rng = np.random.default_rng(seed)
    return Interactions.of(
        (f"u{rng.integers(25)}", f"i{min(rng.zipf(1.4), 60)}", Kind.VIEW, None, 1.6e9 + 60.0 * t)
        for t in range(events)
    )


def coloured(events: int, seed: int = 0) -> tuple[Interactions, dict[str, str]]:
    """Everybody keeps to one of four colours; items are there for 200 events, and most users do too
    little for anyone to know which items go together."""
    rng = np.random.default_rng(seed)
    colour, rows = {}, []
    for t in range(events):
        user = int(rng.integers(2000))
        name = f"i{t // 200}.{user % 4}.{rng.integers(12)}"
        colour[name] = f"colour {user % 4}"
        rows.append((f"u{user}", name, Kind.VIEW, None, 1.6e9 + 60.0 * t))
    return Interactions.of(rows), colour


def recall(ranks: np.ndarray) -> float:
    return float((ranks[~np.isnan(ranks[:, 0]), 0] < 10).mean())


@pytest.fixture
def colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The module of docs/plugins.md, where Python finds it."""
    text = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "colours.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("colours", None)


def test_without_a_plugin_the_engine_is_the_engine_itself() -> None:
    assert type(engine_of(EngineSettings())) is Recommender


def test_the_example_of_the_docs_brings_what_the_engine_cannot_know(colours: Path) -> None:
    rows, colour = coloured(8000)
    table = "".join(f"{item},{of}\n" for item, of in colour.items())
    (colours / "colours.csv").write_text("item_id,colour\n" + table)
    settings = EngineSettings(repeats="no")
    alone = Recommender(settings, seed=3).rank_and_learn(rows)
    engine = Plugged(
        EngineSettings(
            repeats="no",
            plugin="colours:Colours",
            plugin_parameters=json.dumps({"file": str(colours / "colours.csv")}),
        ),
        seed=3,
    )
    together = engine.rank_and_learn(rows)
    assert engine.fault is None
    assert engine.weight > 0.5
    assert recall(together.ranks) > 1.15 * recall(alone.ranks)


def test_a_model_that_knows_nothing_gets_no_say() -> None:
    rows = shop(3000)
    engine = plugged("river.reco:RandomNormal", seed=1)
    ranks = engine.rank_and_learn(rows).ranks
    assert abs(engine.weight) < 0.1
    alone = Recommender(seed=3).rank_and_learn(rows).ranks
    assert recall(ranks) == pytest.approx(recall(alone), abs=0.01)


def test_rivers_factorisation_is_plugged_in_by_configuration_alone() -> None:
    engine = plugged("river.reco:BiasedMF", **FACTORS)
    engine.learn(shop())
    assert engine.fault is None
    assert len(engine.recommend(["u1"], 1.6e9 + 4e4)[0].items) == 10


def test_the_list_asked_for_is_ordered_by_the_blend() -> None:
    engine = plugged("river.reco:BiasedMF", **FACTORS)
    engine.learn(shop())
    before = engine.recommend(["u1"], 1.6e9 + 4e4)[0].items
    engine.weight = 1e6
    (after,) = engine.recommend(["u1"], 1.6e9 + 4e4)
    said = [engine._model.predict_one("u1", item.item_id) for item in after.items]  # type: ignore[union-attr]
    assert said == sorted(said, reverse=True)
    assert [i.item_id for i in after.items] != [i.item_id for i in before]
    assert all(item.reason for item in after.items)


def test_what_is_to_be_tried_keeps_the_last_place_whatever_the_model_says() -> None:
    engine = Plugged(EngineSettings(plugin=f"{THIS}:Seen", explore=1, repeats="no", practice=0))
    rng = np.random.default_rng(1)
    rows = [
        (f"u{rng.integers(30)}", f"i{rng.integers(200)}", Kind.VIEW, None, 1.6e9)
        for _ in range(3000)
    ]
    engine.learn(Interactions.of(rows))
    new = [f"n{k}" for k in range(20)]
    engine.upsert_items([ItemFacts(item) for item in new])
    engine.link_items(new, [[(f"i{k}", 0.9)] for k in range(20)])
    engine.weight = 1.0
    lists = engine.recommend([f"u{k}" for k in range(30)], 1.6e9 + 1, 10)
    assert all(len({item.item_id for item in each.items}) == 10 for each in lists)
    assert sum(each.tried for each in lists) > 15
    assert all(each.items[-1].item_id in new for each in lists if each.tried)
    for each in lists:
        scores = [item.score for item in each.items]
        assert scores == sorted(scores, reverse=True)
    (only,) = engine.recommend(["u1"], 1.6e9 + 1, 1)
    assert [item.item_id in new for item in only.items] == [False]
    assert not only.tried


@pytest.mark.parametrize("chunk", [1, 7])
def test_how_events_are_cut_changes_nothing(chunk: int) -> None:
    rows = shop()
    one, other = (plugged("river.reco:BiasedMF", **FACTORS) for _ in range(2))
    one.learn(rows)
    for at in range(0, len(rows), chunk):
        other.learn(rows.part(at, at + chunk))
    assert one.weight == other.weight != 0
    users = [f"u{k}" for k in range(25)]
    assert one.recommend(users, 1.6e9 + 4e4) == other.recommend(users, 1.6e9 + 4e4)


def test_learning_for_others_teaches_the_model_and_leaves_its_weight() -> None:
    engine = plugged(f"{THIS}:Seen")
    engine.learn(shop(), practise=0.0)
    assert engine.weight == 0.0
    assert sum(engine._model.users.values()) > 600  # type: ignore[union-attr]


def test_live_quality_counts_the_lists_as_they_are_shown() -> None:
    rows, engine = shop(), plugged("river.reco:BiasedMF", **FACTORS)
    engine.weight = 3.0
    ranks = engine.rank_and_learn(rows).ranks[:, 0]
    scored = ~np.isnan(ranks)
    assert engine.scoreboard()["freshet"] == ((ranks[scored] < 10).sum(), scored.sum())


@pytest.mark.parametrize(
    ("plugin", "parameters", "words"),
    [
        ("no_such_module:Model", {}, "No module named 'no_such_module'.*PYTHONPATH"),
        ("river.reco:NoSuch", {}, "river.reco has no NoSuch"),
        ("river.reco:BiasedMF", {"n_factor": 3}, "n_factor.*plugin_parameters"),
        ("river.linear_model:LinearRegression", {}, r"has no learn_one\(user, item, y\).*docs"),
        ("collections:Counter", {}, r"has no learn_one\(user, item, y\)"),
        ("river.reco:BiasedMF", {"latent_optimizer": {"river.optim:Sgd": {}}}, "has no Sgd"),
    ],
)
def test_a_model_that_cannot_be_is_a_sentence(
    plugin: str, parameters: dict[str, Any], words: str
) -> None:
    with pytest.raises(PluginError, match=words):
        plugged(plugin, **parameters)


def test_settings_say_how_a_plugin_is_written() -> None:
    with pytest.raises(ValueError, match="module:Class"):
        EngineSettings(plugin="river.reco.BiasedMF")
    with pytest.raises(ValueError, match="JSON"):
        EngineSettings(plugin_parameters="n_factors=3")


def test_one_that_raises_while_learning_is_left_out_and_the_engine_goes_on() -> None:
    rows, engine = shop(), plugged(f"{THIS}:LearnsUpTo", most=500)
    engine.learn(rows)
    assert engine.fault is not None
    assert "run away" in engine.fault
    assert engine.weight == 0.0
    assert engine.events == 600
    assert len(engine.recommend(["u1"], 1.6e9 + 4e4)[0].items) == 10


def test_one_that_says_no_number_is_left_out() -> None:
    engine = plugged(f"{THIS}:SaysNothing")
    engine.learn(shop())
    assert engine.fault is not None
    assert "TypeError" in engine.fault


def test_one_that_says_not_a_number_has_no_opinion() -> None:
    rows, engine = shop(), plugged(f"{THIS}:SaysNaN")
    ranks = engine.rank_and_learn(rows).ranks
    assert engine.fault is None
    assert engine.weight == 0.0
    np.testing.assert_array_equal(ranks, Recommender(seed=3).rank_and_learn(rows).ranks)


def test_a_forgotten_user_leaves_the_model_too() -> None:
    engine = plugged(f"{THIS}:Seen")
    engine.learn(shop())
    engine.forget("u3")
    assert "u3" not in engine._model.users  # type: ignore[union-attr]
    assert "u4" in engine._model.users  # type: ignore[union-attr]
    assert engine.recommend(["u3"], 1.6e9 + 4e4)[0].items


def test_endless_users_and_items_leave_the_model_as_they_leave_the_engine() -> None:
    settings = EngineSettings(plugin=f"{THIS}:Seen", max_users=40, max_items=60)
    engine = Plugged(settings)
    for k in range(0, 2000, 100):
        rows = [(f"u{n}", f"i{n // 2}", Kind.VIEW, None, 60.0 * n) for n in range(k, k + 100)]
        engine.learn(Interactions.of(rows))
    assert engine.fault is None
    assert len(engine._model.users) <= 40  # type: ignore[union-attr]
    assert len(engine._model.items) <= 60  # type: ignore[union-attr]


def test_a_snapshot_holds_the_engine_and_the_model_starts_anew() -> None:
    engine = plugged("river.reco:BiasedMF", **FACTORS)
    engine.learn(shop())
    arrays = {name: array.copy() for name, array in engine.arrays().items()}
    again = Plugged.of_arrays(arrays, engine.settings)
    assert isinstance(again, Plugged)
    assert (again.events, again.weight) == (engine.events, 0.0)
    again.learn(shop(seed=2))
    assert again.fault is None
