"""The neighbourhoods of an item: what the engine has to say, and the index of what it learned."""

from __future__ import annotations

import numpy as np

from models.interactions import Interactions, Kind
from models.recommender import Recommender
from streams.similar import LearnedIndex


def test_what_is_taken_together_comes_with_the_engines_own_score() -> None:
    recommender = Recommender()
    takes = [("ann", "tea"), ("ann", "cup"), ("bob", "tea"), ("bob", "cup"), ("cid", "tea")]
    takes += [("cid", "pot"), ("dee", "hat"), ("dee", "pot"), ("dee", "tea")]
    recommender.learn(
        Interactions.of(
            [(user, item, Kind.VIEW, None, float(k)) for k, (user, item) in enumerate(takes)]
        )
    )
    together = recommender.taken_with("tea", 5)
    assert together[0][0] == "cup"
    assert {item for item, _ in together} == {"cup", "pot", "hat"}
    assert recommender.taken_with("tea", 1) == together[:1]
    assert recommender.taken_with("never seen", 5) == []


def test_items_that_the_same_people_take_have_vectors_that_are_near() -> None:
    recommender, random = Recommender(), np.random.default_rng(0)
    rows = [
        (f"u{k % 40}", f"i{2 * random.integers(15) + k % 2}", Kind.VIEW, None, 60.0 * k)
        for k in range(4000)
    ]
    recommender.learn(Interactions.of(rows))
    items, vectors = recommender.item_vectors()
    assert sorted(items) == sorted(f"i{k}" for k in range(30))
    near = LearnedIndex().near("i0", 5, items, vectors)
    assert all(int(item[1:]) % 2 == 0 for item, _ in near), near


def test_what_was_learned_is_brought_up_to_date_when_asked() -> None:
    learned = LearnedIndex()
    vectors = np.zeros((3, 32), np.float32)
    vectors[[0, 1, 2], [0, 0, 1]] = 2, 3, 1
    assert learned.near("a", 5, ["a", "b", "c"], vectors) == [("b", 1), ("c", 0)]
    vectors[1] = vectors[2]
    assert learned.near("a", 5, ["a", "b"], vectors[:2]) == [("b", 0)]
    assert learned.near("c", 5, ["a", "b"], vectors[:2]) == []
