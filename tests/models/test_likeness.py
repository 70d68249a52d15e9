"""Which items are alike, by vectors; and what the engine makes of being told."""

from __future__ import annotations

import numpy as np
import pytest

from models.catalogue import ItemFacts
from models.content.likeness import Likeness
from models.content.text import MOST_CHARS, content_key, text_of
from models.interactions import Interactions, Kind
from models.recommender import Recommender


def unit(*values: float) -> np.ndarray:
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


def test_the_most_alike_come_first_and_an_item_is_not_like_itself() -> None:
    likeness = Likeness(3)
    likeness.upsert(
        ["a", "b", "c", "d"],
        np.stack([unit(1, 0, 0), unit(1, 0.2, 0), unit(0, 1, 0), unit(-1, 0, 0)]),
    )
    (alike,) = likeness.of(["a"], 5)
    assert [item for item, _ in alike] == ["b"]
    assert 0.9 < alike[0][1] <= 1


def test_likeness_is_beside_what_is_usual() -> None:
    rng = np.random.default_rng(0)
    common = unit(*np.ones(16))
    vectors = np.stack([unit(*(common * 3 + rng.normal(size=16) * 0.5)) for _ in range(200)])
    likeness = Likeness(16)
    likeness.upsert([f"i{k}" for k in range(200)], vectors)
    cosines = vectors @ vectors.T
    assert likeness.usual == pytest.approx(cosines.mean(), rel=1e-3)
    for alike in likeness.of([f"i{k}" for k in range(20)], 10):
        assert all(0 < s <= 1 for _, s in alike)


def test_a_deleted_item_is_not_found_and_its_place_is_used_again() -> None:
    likeness = Likeness(2)
    likeness.upsert(["a", "b", "c"], np.stack([unit(1, 0), unit(1, 0.1), unit(0, 1)]))
    likeness.delete(["b", "never known"])
    assert likeness.of(["a", "b"], 5) == [[], []]
    likeness.upsert(["d"], unit(1, 0.05)[None])
    assert [item for item, _ in likeness.of(["a"], 5)[0]] == ["d"]
    assert len(likeness) == 3


def test_the_text_of_an_item_is_plain_prose_of_bounded_length() -> None:
    facts = ItemFacts(
        "i", "Moon &amp; Stars", "<p>A <b>slow</b>\n film\u200b</p>" + "x" * 5000, ("Sci-Fi", "")
    )
    text = text_of(facts)
    assert text.startswith("Moon & Stars. Sci-Fi. A slow film xxx")
    assert len(text) == MOST_CHARS
    assert text_of(ItemFacts("i")) == ""
    assert text_of(ItemFacts("i", text="<br/> \x00")) == ""


def test_a_price_changes_no_content_and_another_encoder_does() -> None:
    assert content_key("tea", "a") == content_key("tea", "a")
    assert content_key("tea", "a") != content_key("tea", "b")
    assert content_key("tea", "a") != content_key("teas", "a")
    assert len(content_key("\ud800", "a")) == 16


def test_a_new_item_reaches_those_who_took_what_it_is_like_before_anybody_took_it() -> None:
    recommender = Recommender()
    random = np.random.default_rng(0)
    rows = [
        (f"u{k % 40}", f"i{2 * random.integers(30) + k % 2}", Kind.VIEW, None, 60.0 * k)
        for k in range(2000)
    ]
    recommender.learn(Interactions.of(rows))
    recommender.upsert_items([ItemFacts("new")])
    recommender.link_items(["new"], [[(f"i{k}", 0.9) for k in range(0, 60, 2)]], [b"12345678"])
    lists = recommender.recommend([f"u{k}" for k in range(40)], 120_000.0, 100)
    reasons = {r.user_id: i.reason for r in lists for i in r.items if i.item_id == "new"}
    # The others' lists are filled with it: they have room for all there is.
    with_it = [user for user, why in reasons.items() if why and why.source != "explore"]
    assert with_it == [f"u{k}" for k in range(0, 40, 2)]
    assert recommender.linked(["new", "new", "i1"], [b"12345678", b"other---", b"12345678"]) == [
        True,
        False,
        False,
    ]


def test_rows_of_likeness_are_saved_and_lose_what_is_evicted() -> None:
    recommender = Recommender()
    recommender.upsert_items([ItemFacts(x) for x in "abc"])
    recommender.link_items(["a"], [[("b", 0.9), ("c", 0.5)]], [b"12345678"])
    arrays = {name: array.copy() for name, array in recommender.arrays().items()}
    loaded = Recommender.of_arrays(arrays, recommender.settings)
    assert loaded.linked(["a"], [b"12345678"]) == [True]
    row = loaded._state.content.item[loaded._items.get("a")]
    assert loaded.item_ids(row[:2]) == ["b", "c"]
