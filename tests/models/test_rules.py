"""Boosts, bans, caps and diversity do what their equations say."""

from __future__ import annotations

import doctest
import itertools
import math
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import models.rules
from models.catalogue import Choice, ItemFacts, Where
from models.described import Described
from models.interactions import Interactions, Kind
from models.ranking import Ranking, Recommended
from models.recommender import Recommender
from models.rules import Boost, Rules, reranked

TEA, TOYS = Choice(any=("tea",)), Choice(any=("toys",))

names = st.sampled_from("abcd")
values = st.sampled_from(["red", "blue", True, False, 0.0, 1.0, 2.5])
facts = st.builds(
    ItemFacts,
    st.just("i"),
    categories=st.lists(names, unique=True, max_size=3).map(tuple),
    attributes=st.dictionaries(st.sampled_from(["colour", "price"]), values),
)
wheres = st.builds(
    Where,
    st.sampled_from(["colour", "price"]),
    st.none() | values,
    st.sampled_from([-math.inf, 0.5]),
    st.sampled_from([math.inf, 1.5]),
)
some = st.lists(names, max_size=2).map(tuple)
choices = st.builds(Choice, some, some, some, st.lists(wheres, max_size=2).map(tuple))


def shop(*categories: str) -> list[ItemFacts]:
    """Items 0, 1, …, each of the categories in one text, with blanks between them."""
    return [ItemFacts(str(n), categories=tuple(c.split())) for n, c in enumerate(categories)]


def test_the_worked_example_is_right() -> None:
    assert doctest.testmod(models.rules).failed == 0


@given(st.lists(facts, max_size=8), choices)
def test_the_index_finds_what_fits(items: list[ItemFacts], choice: Choice) -> None:
    described = Described()
    for number, item in enumerate(items):
        described.put(number, ItemFacts("old", categories=("a",), attributes={"price": 1.0}))
        described.put(number, item)
    assert described.fitting(choice, len(items)).tolist() == [choice.fits(item) for item in items]


def test_a_name_that_few_items_have_costs_no_column() -> None:
    described, random = Described(), np.random.default_rng(0)
    facts = {n: ItemFacts(f"i{n}", attributes={"price": float(n % 90)}) for n in range(20_000)}
    for n in random.choice(20_000, 600, replace=False).tolist():
        names = [f"a{random.integers(2_000)}", *(f"b{n}-{k}" for k in range(8))]
        facts[n] = replace(facts[n], attributes=dict.fromkeys(names, float(n % 7)) | {"price": 3.0})
    tracemalloc.start()
    for n in random.permutation(20_000).tolist():
        described.put(n, facts[n])
    assert tracemalloc.get_traced_memory()[0] < 20e6  # a column for each name: 900 MB
    tracemalloc.stop()
    for name in ("price", "a7", "b3-1", "never heard of"):
        for where in (Where(name, at_least=2.0, at_most=4.0), Where(name, equals=3.0)):
            choice = Choice(where=(where,))
            wanted = [choice.fits(facts[n]) for n in range(20_000)]
            assert described.fitting(choice, 20_000).tolist() == wanted
    for n in range(20_000):
        described.remove(n)
    assert not any((described._numeric, described._values, described._categories))


def test_one_is_not_true() -> None:
    assert not Where("new", equals=True).fits({"new": 1.0})
    assert not Where("new", equals=1.0).fits({"new": True})
    assert not Where("new", at_least=0.0).fits({"new": True})


def test_a_boost_multiplies_the_odds_also_of_negative_scores() -> None:
    scores = np.array([-1.0, -2.0])
    rules = Rules(boosts=(Boost(TEA, 4.0), Boost(TEA, 1.5)))
    places, told = rules.choose(scores, shop("toys", "tea"), 2)
    assert places == [1, 0]
    assert math.exp(told[0] - told[1]) == pytest.approx(6.0 * math.exp(-1.0))


def test_what_no_rule_means_keeps_the_engine_s_order() -> None:
    scores = np.array([3.0, 2.0, 2.0, 1.0])
    places, told = Rules(boosts=(Boost(TEA, 9.0),)).choose(scores, [None, *shop("a", "b", "c")], 3)
    assert places == [0, 1, 2]
    assert told == [3.0, 2.0, 2.0]


def test_a_cap_lets_the_best_of_a_category_through() -> None:
    items = shop("tea", "tea hot", "tea", "toys", "hot")
    scores = np.arange(5, 0, -1.0)
    assert Rules(caps={"tea": 2}).choose(scores, items, 4)[0] == [0, 1, 3, 4]
    assert Rules(cap=1).choose(scores, items, 4)[0] == [0, 3, 4]
    assert Rules(cap=1, caps={"tea": 2}).choose(scores, items, 4)[0] == [0, 1, 3]


def test_diversity_prefers_what_is_unlike_what_is_listed() -> None:
    items = shop("tea", "tea", "tea", "toys")
    scores = np.array([4.0, 3.0, 2.0, 1.0])
    assert Rules(diversity=0.2).choose(scores, items, 4)[0] == [0, 1, 2, 3]
    assert Rules(diversity=0.6).choose(scores, items, 4)[0] == [0, 3, 1, 2]


def test_diversity_takes_the_cosine_where_there_are_vectors() -> None:
    items = shop("tea", "tea", "toys")
    vectors = np.array([[1, 0], [0, 2], [3, 0.1]], np.float32)
    places, told = Rules(diversity=0.9).choose(np.array([3.0, 1.0, 2.0]), items, 3, vectors)
    assert places == [0, 1, 2]
    assert told == [3.0, 1.0, 1.0]


many = st.lists(
    st.tuples(st.floats(-20, 20), st.none() | facts), min_size=1, max_size=30, unique_by=id
)
all_rules = st.builds(
    Rules,
    boosts=st.lists(st.builds(Boost, choices, st.floats(0.01, 100)), max_size=2).map(tuple),
    bans=st.lists(choices, max_size=2).map(tuple),
    caps=st.dictionaries(names, st.integers(1, 3)),
    cap=st.none() | st.integers(1, 3),
    diversity=st.floats(0, 1),
)


@settings(max_examples=300)
@given(many, all_rules, st.integers(1, 12))
def test_no_list_breaks_a_rule(
    candidates: list[tuple[float, ItemFacts | None]], rules: Rules, n: int
) -> None:
    scores, items = np.array([c[0] for c in candidates]), [c[1] for c in candidates]
    places, told = rules.choose(scores, items, n)
    assert (places, told) == rules.choose(scores, items, n)
    assert len(places) <= n
    assert len(set(places)) == len(places)
    assert all(a >= b for a, b in itertools.pairwise(told))
    listed = [item for place in places if (item := items[place]) is not None]
    assert not any(ban.fits(item) for ban in rules.bans for item in listed)
    for category in "abcd":
        most = rules.caps.get(category, rules.cap if rules.cap is not None else n)
        assert sum(category in item.categories for item in listed) <= most


@given(many)
def test_diversity_zero_is_no_diversity(candidates: list[tuple[float, ItemFacts | None]]) -> None:
    """By the same greedy choice, with a strength too small to matter."""
    scores = np.array([round(c[0]) for c in candidates], np.float64)
    items = [c[1] for c in candidates]
    assert (
        Rules(diversity=1e-9, caps={"a": 2}).choose(scores, items, 10)[1]
        == Rules(caps={"a": 2}).choose(scores, items, 10)[1]
    )


def test_facts_that_change_change_what_is_said() -> None:
    rules = Rules(bans=(TOYS,))
    ranking = Ranking("u", (Recommended("0", 1.0, None),))
    assert reranked(ranking, rules, shop("tea"), 1).items == ranking.items
    assert reranked(ranking, rules, shop("toys"), 1).items == ()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Boost(TEA, 0.0), "factor must be 0.001 to 1000, not 0"),
        (lambda: Rules(diversity=1.5), "diversity must be 0 to 1"),
        (lambda: Rules(caps={"tea": 0}), "to list none, ban it"),
        (lambda: Rules(cap=0), "1 or more"),
    ],
)
def test_a_rule_that_cannot_be_says_what_may_be(make: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()  # type: ignore[operator]


def busy() -> Recommender:
    recommender = Recommender()
    recommender.learn(
        Interactions.of(
            [(f"u{n % 9}", f"i{n * 7 % 40}", Kind.CLICK, None, 1.6e9 + n) for n in range(400)]
        )
    )
    recommender.upsert_items(
        [ItemFacts(f"i{n}", categories=("odd" if n % 2 else "even",)) for n in range(40)]
    )
    return recommender


def chosen(recommender: Recommender) -> set[str]:
    return {item.item_id for item in recommender.recommend(["new"], 1.6e9 + 500, 40)[0].items}


def test_what_is_hidden_is_not_recommended_and_lists_stay_full() -> None:
    recommender = busy()
    assert len(chosen(recommender)) == 40
    recommender.hide([Choice(any=("odd",))])
    assert chosen(recommender) == {f"i{n}" for n in range(0, 40, 2)}
    recommender.upsert_items([ItemFacts("i0", categories=("odd",)), ItemFacts("i1")])
    recommender.delete_items(["i2"])
    assert chosen(recommender) == {f"i{n}" for n in range(4, 40, 2)} | {"i1"}
    recommender.hide([])
    assert chosen(recommender) == {f"i{n}" for n in range(40)} - {"i2"}


def test_hiding_changes_nothing_that_is_learned() -> None:
    one, other = busy(), busy()
    other.hide([Choice(any=("odd",))])
    more = Interactions.of([("u1", "i1", Kind.CLICK, None, 1.7e9), ("x", "i3", 0, None, 1.7e9)])
    one.learn(more)
    other.learn(more)
    mine, theirs = one.arrays(), other.arrays()
    assert all(np.array_equal(mine[k], theirs[k], equal_nan=True) for k in mine if k[0] != "b")


def test_a_request_chooses_by_numbers_and_text() -> None:
    recommender = busy()
    recommender.upsert_items(
        [ItemFacts(f"i{n}", attributes={"price": float(n), "new": n == 12}) for n in range(40)]
    )
    cheap = Choice(where=(Where("price", at_least=10, at_most=12),))
    found = recommender.answer("new", 1.6e9, 10, only=cheap).items
    assert {item.item_id for item in found} == {"i10", "i11", "i12"}
    new = Choice(where=(Where("new", equals=True),))
    assert [i.item_id for i in recommender.answer("new", 1.6e9, only=new).items] == ["i12"]


@pytest.mark.parametrize("diversity", [0.0, 0.3])
def test_rules_cost_little_beside_a_ranking(diversity: float) -> None:
    """50 candidates, ten rules: under a millisecond of CPU a list, with a wide margin."""
    random = np.random.default_rng(1)
    items = [
        ItemFacts(
            str(n),
            categories=tuple(f"c{c}" for c in random.integers(0, 20, 3)),
            attributes={"price": float(random.integers(0, 100))},
        )
        for n in range(50)
    ]
    rules = Rules(
        boosts=tuple(Boost(Choice(any=(f"c{n}",)), 1.5) for n in range(8)),
        bans=(Choice(where=(Where("price", at_least=90),)),),
        caps={"c3": 2},
        diversity=diversity,
    )
    scores = np.sort(random.normal(size=50))[::-1]
    rules.choose(scores, items, 10)
    started = time.process_time()
    for _ in range(200):
        rules.choose(scores, items, 10)
    assert (time.process_time() - started) / 200 < 1e-3
