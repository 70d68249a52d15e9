from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from streams.simulator import SHELF_ITEMS, Act, Arm, Simulation, Step

Answer = Callable[[Simulation, int], list[int]]


def oracle(simulation: Simulation, shopper: int) -> list[int]:
    return simulation.shoppers.favourites(shopper, 10).tolist()


def play(
    seconds: float,
    *,
    answer: Answer | None = None,
    seed: int = 7,
    shoppers: int = 900,
    step_s: float = 0.1,
    rate: float = 300.0,
    items: int = 300,
) -> tuple[Simulation, list[Act]]:
    """Run a shop; `answer` names the items that Freshet's shoppers get after each of their acts."""
    simulation = Simulation(items=items, shoppers=shoppers, rate=rate, seed=seed)
    number = {user: index for index, user in enumerate(simulation.users)}
    acts: list[Act] = []
    for tick in range(1, round(seconds / step_s) + 1):
        step = simulation.step(tick * step_s)
        acts += step.acts
        if answer is not None:
            for user in sorted({act.user_id for act in step.acts}):
                items_of = simulation.shop.products
                ids = [items_of[i].item_id for i in answer(simulation, number[user])]
                simulation.deliver(user, f"r-{len(acts)}", ids)
    return simulation, acts


def rate_of(simulation: Simulation, arm: Arm) -> float:
    return simulation.experiment.click_through(arm).rate


def test_the_same_seed_gives_the_same_shop_day() -> None:
    assert play(4, answer=oracle)[1] == play(4, answer=oracle)[1]
    assert play(2)[1] != play(2, seed=8)[1]


def test_about_as_many_events_happen_as_were_asked_for() -> None:
    _, acts = play(40, rate=300)
    assert len(acts) / 40 == pytest.approx(300, rel=0.2)
    # The doors open on a shop in full swing.
    _, first = play(4, rate=300)
    assert len(first) / 4 == pytest.approx(300, rel=0.3)


def test_a_perfect_recommender_is_far_above_popularity_and_popularity_above_random() -> None:
    simulation, _ = play(30, answer=oracle, items=600, shoppers=3000)
    best, popular, chance = (rate_of(simulation, arm) for arm in Arm)
    assert 0.15 < best < 0.33
    assert 0.01 < chance < 0.04
    assert popular > 1.5 * chance
    assert best > 2.5 * popular


def test_every_arm_is_treated_alike_when_it_shows_alike() -> None:
    """Freshet's arm is handed what the random arm shows: it then does as the random arm does."""
    draw = np.random.default_rng(0)

    def anything(simulation: Simulation, _: int) -> list[int]:
        return draw.choice(simulation.shop.on_shelves, 10, replace=False).tolist()

    simulation, _ = play(45, answer=anything)
    lift = simulation.experiment.lift(Arm.FRESHET, Arm.RANDOM)
    assert lift.low < 1 < lift.high
    shown = [simulation.experiment.click_through(arm).impressions for arm in Arm]
    shoppers = Counter(simulation.arms)
    per_shopper = [count / shoppers[arm] for count, arm in zip(shown, Arm, strict=True)]
    assert max(per_shopper) < 1.2 * min(per_shopper)


def test_without_a_list_a_freshet_shopper_sees_nothing_that_counts() -> None:
    simulation, acts = play(10)
    assert simulation.experiment.click_through(Arm.FRESHET).impressions == 0
    assert simulation.missed > 0
    arms = dict(zip(simulation.users, simulation.arms, strict=True))
    kinds = {act.kind for act in acts if arms[act.user_id] is Arm.FRESHET}
    assert "view" in kinds
    assert "click" not in kinds


def test_nobody_is_shown_a_shelf_before_their_first_act() -> None:
    _, acts = play(20, answer=oracle)
    seen: set[str] = set()
    for act in acts:
        if act.user_id not in seen:
            assert act.kind == "view"
        seen.add(act.user_id)


def test_a_click_on_freshets_list_names_the_list_and_the_position() -> None:
    simulation, acts = play(20, answer=oracle)
    arms = dict(zip(simulation.users, simulation.arms, strict=True))
    clicks = [act for act in acts if act.kind == "click"]
    assert any(arms[act.user_id] is Arm.POPULAR for act in clicks)
    for act in clicks:
        assert (act.recommendation_id is not None) == (arms[act.user_id] is Arm.FRESHET)
        assert act.position is not None
        assert 0 <= act.position < SHELF_ITEMS


def test_what_was_retired_is_neither_shown_nor_found() -> None:
    simulation = Simulation(items=600, shoppers=90, rate=50, seed=1)
    gone: set[str] = set()
    for tick in range(1, 400):
        step: Step = simulation.step(tick * 0.2)
        gone |= {simulation.shop.products[c.item].item_id for c in step.changes if not c.arrived}
        assert not gone & {act.item_id for act in step.acts}
        for act in step.acts:
            simulation.deliver(
                act.user_id, "r", [p.item_id for p in simulation.shop.products[:600]]
            )
    assert gone


def test_new_items_find_buyers() -> None:
    _, acts = play(120, rate=100)
    assert any(int(act.item_id[1:]) > 300 for act in acts)


def test_lists_for_strangers_or_of_strange_items_do_no_harm() -> None:
    simulation = Simulation(items=60, shoppers=90, rate=50, seed=1)
    simulation.deliver("nobody", "r", ["i00001"])
    for user in simulation.users:
        simulation.deliver(user, "r", ["what", "", "i99999"])
    for tick in range(1, 100):
        simulation.step(tick * 0.1)
    assert simulation.experiment.click_through(Arm.FRESHET).impressions == 0


def test_more_events_than_the_crowd_can_make_are_not_made() -> None:
    simulation, acts = play(5, shoppers=30, rate=1000)
    assert simulation.sessions <= 30
    assert acts
