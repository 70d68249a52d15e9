"""What is saved goes on as if nothing had happened."""

from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest

from models import saved
from models.catalogue import ItemFacts
from models.formats import FORMAT
from models.interactions import Interactions, Kind
from models.recommender import Recommender
from models.settings import EngineSettings


def some_events(n: int, seed: int) -> Interactions:
    random = np.random.default_rng(seed)
    users, items = random.integers(0, 40, n), random.zipf(1.3, n) % 60
    kinds = random.choice([Kind.VIEW, Kind.CLICK, Kind.PURCHASE, Kind.DISLIKE], n)
    rows = zip(users, items, kinds, 1e9 + 60.0 * np.arange(n), strict=True)
    return Interactions.of((f"u{u}", f"i{i}", Kind(k), None, t) for u, i, k, t in rows)


def loaded(recommender: Recommender, settings: EngineSettings | None = None) -> Recommender:
    """Through the bytes of a file, as a snapshot does."""
    file = BytesIO()
    np.savez(file, **recommender.arrays())
    file.seek(0)
    arrays = dict(np.load(file, allow_pickle=False))
    return Recommender.of_arrays(arrays, settings or recommender.settings)


def lists(recommender: Recommender) -> Iterator[tuple[str, float]]:
    users = [f"u{k}" for k in range(40)] + ["nobody"]
    for ranking in recommender.recommend(users, now=1e9 + 1e5):
        yield from ((item.item_id, item.score) for item in ranking.items)


def test_a_loaded_engine_goes_on_bit_for_bit() -> None:
    recommender = Recommender(seed=3)
    recommender.learn(some_events(600, 1))
    recommender.forget("u3")
    again = loaded(recommender)
    assert list(lists(again)) == list(lists(recommender))

    for engine in (recommender, again):
        engine.learn(some_events(3000, 2))  # enough for every block of memory to grow
    assert list(lists(again)) == list(lists(recommender))
    assert again.version == recommender.version
    ours, theirs = recommender.arrays(), again.arrays()
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        if name.startswith("state."):
            np.testing.assert_array_equal(array, theirs[name], err_msg=name)


def test_an_engine_that_has_learned_nothing_can_be_saved() -> None:
    again = loaded(Recommender())
    again.learn(some_events(50, 1))
    assert list(lists(again))


def test_a_loaded_engine_lives_with_a_shorter_history() -> None:
    recommender = Recommender()
    rows = [("u0", f"i{k % 50}", Kind.VIEW, None, 1e9 + k) for k in range(500)]
    recommender.learn(Interactions.of(rows))
    again = loaded(recommender, EngineSettings(max_history=64))
    again.learn(some_events(2000, 4))
    assert list(lists(again))


def test_a_loaded_engine_lives_with_fewer_users_and_items_than_it_had() -> None:
    recommender = Recommender()
    rows = [(f"u{k}", f"i{k}", Kind.VIEW, None, 1e9 + k) for k in range(300)]
    recommender.learn(Interactions.of(rows))
    again = loaded(recommender, EngineSettings(max_users=100, max_items=90))
    assert again.past("u150") is None
    assert again.past("u299") is not None
    again.learn(some_events(2000, 4))
    assert (len(again._users), len(again._items)) <= (100, 90)


def test_room_is_made_among_those_who_are_there() -> None:
    """Numbers that were freed before are not counted as forgotten again."""
    recommender = Recommender(EngineSettings(max_users=32))
    rows = [(f"u{k}", "i", Kind.VIEW, None, 1e9 + k) for k in range(32)]
    recommender.learn(Interactions.of(rows))
    for k in range(16):
        recommender.forget(f"u{k}")
    rows = [(f"v{k}", "i", Kind.VIEW, None, 2e9 + k) for k in range(17)]
    recommender.learn(Interactions.of(rows))
    assert recommender.past("u16") is None
    assert recommender.past("v16") is not None


def test_an_item_that_left_the_catalogue_meanwhile_is_deleted() -> None:
    recommender = Recommender()
    recommender.upsert_items([ItemFacts("kept"), ItemFacts("gone")])
    rows = [("a", item, Kind.VIEW, None, 1e9) for item in ("kept", "gone", "never described")]
    recommender.learn(Interactions.of(rows))

    again = loaded(loaded(recommender))
    again.upsert_items([ItemFacts("kept")])
    again.delete_undescribed()
    (ranking,) = again.recommend(["b"], now=1e9)
    assert {item.item_id for item in ranking.items} == {"kept", "never described"}


def test_arrays_of_another_version_are_refused_with_what_differs() -> None:
    arrays = Recommender().arrays()
    for unknown in (1, FORMAT + 1):
        with pytest.raises(saved.LayoutError, match=rf"format {unknown}; .* newest {FORMAT}"):
            Recommender.of_arrays(arrays | {"format": np.array([unknown])}, EngineSettings())
    narrower = arrays["state.ranker.theta"].astype(np.float16)
    with pytest.raises(saved.LayoutError, match=r"state\.ranker\.theta is float16"):
        Recommender.of_arrays(arrays | {"state.ranker.theta": narrower}, EngineSettings())
    del arrays["state.ranker.theta"]
    with pytest.raises(saved.LayoutError, match=r"state\.ranker\.theta is missing"):
        Recommender.of_arrays(arrays, EngineSettings())


def test_names_of_every_kind_survive() -> None:
    names = ["", "a", "naïve", "日本", "x" * 256, "\x00", "🫖"]
    assert saved.texts_of("n", saved.texts("n", names)) == names
    assert saved.texts_of("n", saved.texts("n", [])) == []
