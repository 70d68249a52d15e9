import numpy as np
import pytest

from streams.simulator import Shop, Shoppers
from streams.simulator.shoppers import examined


@pytest.fixture
def shop() -> Shop:
    return Shop(items=200, seed=1)


@pytest.fixture
def shoppers(shop: Shop) -> Shoppers:
    return Shoppers(shop, count=300, seed=1)


def test_shoppers_are_drawn_from_their_seed(shop: Shop, shoppers: Shoppers) -> None:
    same, other = Shoppers(shop, count=300, seed=1), Shoppers(shop, count=300, seed=2)
    for each in (shoppers, same, other):
        each.drift(60)
        each.set_intent(5)
    assert (shoppers.utility(5, shop.on_shelves) == same.utility(5, shop.on_shelves)).all()
    assert (shoppers.utility(5, shop.on_shelves) != other.utility(5, shop.on_shelves)).any()


def test_a_position_is_examined_as_the_power_law_says(shop: Shop, shoppers: Shoppers) -> None:
    irresistible = np.full(6, shoppers.favourites(0, 1)[0])
    shop.appeal[irresistible] = 50.0  # examined, it is clicked
    clicks = np.zeros(6)
    shelves = 4000
    for _ in range(shelves):
        clicks[shoppers.click(0, irresistible)] += 1
    expected = np.arange(1.0, 7.0) ** -0.6
    assert np.allclose(examined(6), expected)
    assert np.abs(clicks / shelves - expected).max() < 4 * 0.5 / np.sqrt(shelves)


def test_nothing_is_clicked_on_an_empty_shelf(shoppers: Shoppers) -> None:
    assert shoppers.click(0, np.empty(0, np.int64)) == []


def test_what_is_liked_more_is_clicked_more(shop: Shop, shoppers: Shoppers) -> None:
    best, worst = (
        shoppers.favourites(0, 1),
        shop.on_shelves[[np.argmin(shoppers.utility(0, shop.on_shelves))]],
    )
    assert shoppers.attraction(0, best)[0] > shoppers.attraction(0, worst)[0]
    assert (shoppers.attraction(0, shop.on_shelves) > 0).all()
    assert (shoppers.attraction(0, shop.on_shelves) < 1).all()


def test_an_intent_draws_to_its_kind_until_the_session_ends(shop: Shop, shoppers: Shoppers) -> None:
    before = shoppers.utility(0, shop.on_shelves)
    shoppers.set_intent(0)
    gain = shoppers.utility(0, shop.on_shelves) - before
    same = shop.kind[shop.on_shelves] == shoppers.intent[0]
    assert gain[same].min() > gain[~same].max() >= 0
    shoppers.clear_intent(0)
    assert np.allclose(shoppers.utility(0, shop.on_shelves), before)


def test_looking_wearies_and_buying_wearies_more(shoppers: Shoppers) -> None:
    item = shoppers.favourites(0, 1)
    fresh = shoppers.utility(0, item)[0]
    shoppers.tire(0, int(item[0]))
    seen = shoppers.utility(0, item)[0]
    assert shoppers.bought(0) == set()
    shoppers.tire(0, int(item[0]), bought=True)
    assert fresh > seen > shoppers.utility(0, item)[0] + (fresh - seen)
    assert shoppers.bought(0) == {int(item[0])}


def test_tastes_wander_but_stay_as_varied_as_they_were(shoppers: Shoppers) -> None:
    first, first_style = shoppers.department.copy(), shoppers.style.copy()

    def likeness() -> float:
        return float(np.corrcoef(first_style.ravel(), shoppers.style.ravel())[0, 1])

    shoppers.drift(60)
    after_a_minute = likeness()
    for _ in range(60):
        shoppers.drift(60)
    assert after_a_minute == pytest.approx(np.exp(-60 / 600), abs=0.03)
    assert abs(likeness()) < 0.1
    assert shoppers.style.std() == pytest.approx(first_style.std(), rel=0.1)
    assert shoppers.department.std() == pytest.approx(first.std(), rel=0.15)
    assert shoppers.department.mean(axis=0) == pytest.approx(first.mean(axis=0), abs=0.5)


def test_drift_makes_an_old_list_worse(shoppers: Shoppers) -> None:
    lists = [shoppers.favourites(shopper, 6) for shopper in range(300)]

    def worth() -> float:
        return float(
            np.mean([shoppers.attraction(who, items).mean() for who, items in enumerate(lists)])
        )

    new = worth()
    shoppers.drift(300)
    in_five_minutes = worth()
    shoppers.drift(1500)
    in_half_an_hour = worth()
    assert new > 1.1 * in_five_minutes
    assert in_five_minutes > 1.3 * in_half_an_hour


def test_what_one_finds_oneself_is_to_ones_taste_and_on_the_shelves(
    shop: Shop, shoppers: Shoppers
) -> None:
    shop.available[::2] = False
    shop.on_shelves = np.flatnonzero(shop.available)
    found = np.array([shoppers.pick(0) for _ in range(200)])
    assert (found % 2 == 1).all()
    everything = shoppers.utility(0, shop.on_shelves).mean()
    assert shoppers.utility(0, found).mean() > everything + 1
