from streams.simulator import Shop


def test_a_shop_is_drawn_from_its_seed() -> None:
    one, same, other = Shop(items=80, seed=1), Shop(items=80, seed=1), Shop(items=80, seed=2)
    assert one.products == same.products
    assert (one.vectors == same.vectors).all()
    assert one.products != other.products


def test_titles_do_not_repeat_and_everything_is_described() -> None:
    products = Shop(items=600, seed=7).products
    assert len({product.title for product in products}) == len(products)
    assert len({product.item_id for product in products}) == len(products)
    assert all(p.title and p.text and len(p.categories) == 2 and p.price > 0 for p in products)


def test_a_shop_of_a_seed_opens_with_the_items_it_was_asked_for() -> None:
    shop = Shop(items=120, seed=3)
    assert shop.on_shelves.tolist() == list(range(120))


def test_items_arrive_and_are_retired_as_time_goes_on() -> None:
    shop = Shop(items=100, seed=5)
    changes = [change for _ in range(600) for change in shop.pass_time(1.0)]
    arrived = [change.item for change in changes if change.arrived]
    retired = [change.item for change in changes if not change.arrived]
    # Ten minutes: 20 arrivals and 10 retirements expected, Poisson.
    assert 8 <= len(arrived) <= 36
    assert 2 <= len(retired) <= 22
    assert arrived == list(range(100, 100 + len(arrived)))
    assert set(shop.on_shelves.tolist()) == set(range(100 + len(arrived))) - set(retired)


def test_an_id_leads_back_to_its_item_only_while_that_is_on_the_shelves() -> None:
    shop = Shop(items=50, seed=1)
    assert shop.index_of(shop.products[7].item_id) == 7
    shop.available[7] = False
    assert shop.index_of(shop.products[7].item_id) is None
    for stranger in ("", "i", "i-1", "7", "i99999", "i00051", "ü"):
        assert shop.index_of(stranger) is None
