"""Categories: profiles, lists, and what the ranker learns from them."""

from __future__ import annotations

import numpy as np

from models.catalogue import ItemFacts
from models.interactions import Interactions, Kind
from models.ranking import Ranking
from models.recommender import Recommender
from models.sources.categories import KEPT, LISTED

HOUR = 3600.0


def catalogue(kinds: dict[str, tuple[str, ...]]) -> list[ItemFacts]:
    return [ItemFacts(item, categories=of) for item, of in kinds.items()]


def tastes(first: int = 0, last: int = 3000, *, users: int = 60, items: int = 60) -> Interactions:
    """Every user takes from one of three categories, of which item i is one by i mod 3."""
    random = np.random.default_rng(0)
    rows = []
    for k in range(last):
        user = int(random.integers(users))
        item = 3 * int(random.integers(items // 3)) + user % 3
        rows.append((f"u{user}", f"i{item}", Kind.VIEW, None, 60.0 * k))
    return Interactions.of(rows[first:])


def described(recommender: Recommender, items: int = 60) -> Recommender:
    recommender.upsert_items(catalogue({f"i{i}": (f"kind{i % 3}",) for i in range(items)}))
    return recommender


def listed(recommender: Recommender, category: str) -> list[str]:
    """The items of a category's list, highest first."""
    state = recommender._state.categories
    number = recommender._category_numbers.get(category)
    assert number is not None
    return recommender.item_ids(state.listed[number, : state.length[number]])


def proposed(ranking: Ranking) -> list[str]:
    """What is in the list for its evidence, and not to fill it."""
    return [i.item_id for i in ranking.items if i.reason and i.reason.source != "explore"]


def test_a_new_item_is_recommended_to_those_who_take_from_its_category_before_anybody_took_it() -> (
    None
):
    recommender = described(Recommender())
    recommender.learn(tastes())
    recommender.upsert_items([ItemFacts("new", categories=("kind1",))])
    fans, others = ["u1", "u4", "u7", "u10"], ["u0", "u3", "u6", "u9"]

    def found(users: list[str]) -> int:
        lists = recommender.recommend(users, 3000 * 60.0, 100)
        return sum("new" in proposed(ranking) for ranking in lists)

    assert found(fans) == len(fans)
    assert found(others) == 0


def test_a_categorys_list_is_ordered_by_what_is_taken_now() -> None:
    recommender = Recommender()
    recommender.upsert_items(catalogue({"a": ("x",), "b": ("x",), "c": ("x", "y")}))
    recommender.learn(
        Interactions.of([(f"u{k}", "abcbcc"[k], Kind.VIEW, None, float(k)) for k in range(6)])
    )
    assert listed(recommender, "x") == ["c", "b", "a"]
    assert listed(recommender, "y") == ["c"]


def test_an_item_that_changes_its_categories_leaves_the_old_lists() -> None:
    recommender = Recommender()
    recommender.upsert_items(catalogue({"a": ("x",), "b": ("x",)}))
    recommender.learn(Interactions.of([("u", "a", Kind.VIEW, None, 0.0)]))
    recommender.upsert_items([ItemFacts("a", categories=("y",))])
    assert listed(recommender, "x") == ["b"]
    assert listed(recommender, "y") == ["a"]
    recommender.delete_items(["a"])
    assert listed(recommender, "y") == []


def test_lists_and_numbers_of_categories_are_bounded() -> None:
    recommender = Recommender()
    many = tuple(f"c{k}" for k in range(3 * KEPT))
    recommender.upsert_items([ItemFacts(f"i{k}", categories=many) for k in range(2 * LISTED)])
    assert len(listed(recommender, "c0")) == LISTED
    assert recommender._category_numbers.get(f"c{KEPT}") is None


def test_an_engine_that_was_saved_goes_on_with_its_categories() -> None:
    whole = described(Recommender(seed=1))
    whole.learn(tastes())
    half = described(Recommender(seed=1))
    half.learn(tastes(0, 1500))
    copies = {name: array.copy() for name, array in half.arrays().items()}
    loaded = described(Recommender.of_arrays(copies, half.settings))
    loaded.delete_undescribed()
    loaded.learn(tastes(1500))
    users = [f"u{k}" for k in range(60)]
    assert loaded.recommend(users, 2e5) == whole.recommend(users, 2e5)


def test_what_a_user_takes_from_is_a_reason() -> None:
    recommender = described(Recommender())
    recommender.learn(tastes())
    recommender.upsert_items([ItemFacts("new", categories=("kind1",))])
    (ranking,) = recommender.recommend(["u1"], 3000 * 60.0, 100)
    (reason,) = [item.reason for item in ranking.items if item.item_id == "new"]
    assert reason is not None
    assert reason.source == "content"
