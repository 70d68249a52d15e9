"""The simulated shop in motion: sessions begin, shoppers look, click and buy, tastes drift.

Pure: it reads no clock, talks to no broker, and draws everything from its seed. Whoever drives it
calls `step` with the time, sends on what happened, and hands in Freshet's lists by `deliver`.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.simulator.arms import Arm, Experiment, Popularity, arm_of
from streams.simulator.shop import Change, Indices, Product, Shop
from streams.simulator.shoppers import Shoppers

#: What fits on a phone: the first of a list's items that are shown.
SHELF_ITEMS: Final = 6
_ACTIONS_PER_SESSION: Final = 25.0
_SECONDS_PER_ACTION: Final = 2.0
_NEW_INTENT: Final = 0.06
_FOLLOWS_THE_CROWD: Final = 0.15
_BESTSELLERS: Final = 50
_CART: Final = 0.3
_PURCHASE: Final = 0.5
_DRIFT_EVERY_S: Final = 1.0
#: Until enough is known of this shop: about so many events come of one action.
_EVENTS_PER_ACTION: Final = 1.25
_NOTHING: Final[Indices] = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Act:
    """Something a shopper did; `kind` is an event type."""

    user_id: str
    item_id: str
    kind: str
    recommendation_id: str | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What happened since the step before, in order."""

    acts: list[Act]
    changes: list[Change]


@dataclass(frozen=True, slots=True)
class _Delivered:
    recommendation_id: str
    items: Indices


class Simulation:
    """A shop, its shoppers and the experiment among them.

    rate    events per second to aim at; sessions arrive as a Poisson process of the intensity that
            gives about so many
    """

    def __init__(self, *, items: int, shoppers: int, rate: float, seed: int) -> None:
        self.shop = Shop(items=items, seed=seed)
        self.shoppers = Shoppers(self.shop, count=shoppers, seed=seed)
        self.experiment = Experiment(shoppers)
        self.popularity = Popularity(len(self.shop.products))
        #: Shelves not shown because a Freshet shopper's first list had not arrived.
        self.missed = 0
        self.users = [f"shopper-{number + 1:04d}" for number in range(shoppers)]
        self.arms = [arm_of(user) for user in self.users]
        self._number = {user: number for number, user in enumerate(self.users)}
        self._lists: dict[int, _Delivered] = {}
        self._known = np.zeros(shoppers, bool)  # has ever acted: there is something to go by
        self._rate = rate
        self._draw = np.random.default_rng([seed, 5])
        self._in_shop: list[tuple[float, int]] = []  # heap of (next action, shopper)
        self._away = np.ones(shoppers, bool)
        self._now = 0.0
        self._next_arrival = 0.0
        self._undrifted = 0.0
        self._acts = self._actions = 0

    @property
    def catalogue(self) -> list[Product]:
        """Every product on the shelves now."""
        return [self.shop.products[item] for item in self.shop.on_shelves]

    @property
    def sessions(self) -> int:
        """Shoppers in the shop now."""
        return len(self._in_shop)

    def deliver(self, user_id: str, recommendation_id: str, item_ids: list[str]) -> None:
        """Freshet's newest list for a shopper. Unknown users and items are passed over."""
        number = self._number.get(user_id)
        if number is not None:
            found = (self.shop.index_of(item_id) for item_id in item_ids)
            items = [item for item in found if item is not None]
            self._lists[number] = _Delivered(recommendation_id, np.array(items, np.int64))

    def step(self, now: float) -> Step:
        """Let everything happen up to `now`, in seconds since the opening."""
        if self._now == 0.0:
            self._fill()
        changes = self.shop.pass_time(now - self._now)
        self._undrifted += now - self._now
        if self._undrifted >= _DRIFT_EVERY_S:
            self.shoppers.drift(self._undrifted)
            self._undrifted = 0.0
        self._now = now
        acts: list[Act] = []
        self._admit(now)
        while self._in_shop and self._in_shop[0][0] <= now:
            at, shopper = heapq.heappop(self._in_shop)
            acts += self._act(shopper, at)
            if self._draw.random() < 1 / _ACTIONS_PER_SESSION:
                self._away[shopper] = True
                self.shoppers.clear_intent(shopper)
            else:
                self._return_in(self._draw.exponential(_SECONDS_PER_ACTION), at, shopper)
        return Step(acts, changes)

    def _fill(self) -> None:
        """Open with the number of sessions that the arrivals would sustain."""
        for _ in range(int(self._draw.poisson(self._arrivals_per_second() * _session_seconds()))):
            self._enter(0.0)

    def _admit(self, now: float) -> None:
        while self._next_arrival <= now:
            self._enter(self._next_arrival)
            self._next_arrival += self._draw.exponential(1 / self._arrivals_per_second())

    def _arrivals_per_second(self) -> float:
        """From what an action has given so far, weighed against a first guess."""
        guess = 500
        per_action = (self._acts + guess * _EVENTS_PER_ACTION) / (self._actions + guess)
        return self._rate / (per_action * _ACTIONS_PER_SESSION)

    def _enter(self, at: float) -> None:
        chance = self.shoppers.activity * self._away
        total = chance.sum()
        if total == 0:
            return  # everyone is here already
        shopper = int(self._draw.choice(len(chance), p=chance / total))
        self._away[shopper] = False
        self.shoppers.set_intent(shopper)
        self._return_in(self._draw.exponential(_SECONDS_PER_ACTION), at, shopper)

    def _return_in(self, seconds: float, at: float, shopper: int) -> None:
        heapq.heappush(self._in_shop, (at + seconds, shopper))

    def _act(self, shopper: int, at: float) -> list[Act]:
        """One action: look at the shelf, click or look around oneself, perhaps buy."""
        acts: list[Act] = []
        looked_at: list[int] = []

        # 1. The shelf. Whoever has never acted gets none, in whatever arm: nobody knows them yet.
        recommendation_id, shelf = self._shelf(shopper)
        if len(shelf):
            positions = self.shoppers.click(shopper, shelf)
            self.experiment.count(self.arms[shopper], shopper, len(shelf), len(positions), at)
            for position in positions:
                looked_at.append(int(shelf[position]))
                acts.append(
                    self._record(shopper, looked_at[-1], "click", recommendation_id, position)
                )

        # 2. Nothing there: a look around, by taste or by what others buy.
        if not looked_at:
            looked_at.append(self._find(shopper))
            acts.append(self._record(shopper, looked_at[-1], "view"))

        # 3. Perhaps into the cart, perhaps bought; what is bought ends the search for it.
        for item in looked_at:
            wants = self.shoppers.attraction(shopper, np.array([item]))[0]
            self.shoppers.tire(shopper, item)
            if self._draw.random() < _CART * wants:
                acts.append(self._record(shopper, item, "add_to_cart"))
                if self._draw.random() < _PURCHASE:
                    acts.append(self._record(shopper, item, "purchase"))
                    self.shoppers.tire(shopper, item, bought=True)
                    self.shoppers.set_intent(shopper)
        if self._draw.random() < _NEW_INTENT:
            self.shoppers.set_intent(shopper)

        self._known[shopper] = True
        self._actions += 1
        self._acts += len(acts)
        return acts

    def _shelf(self, shopper: int) -> tuple[str | None, Indices]:
        """What the shopper's arm shows: at most `SHELF_ITEMS` available items, and Freshet's id."""
        if not self._known[shopper]:
            return None, _NOTHING
        match self.arms[shopper]:
            case Arm.RANDOM:
                return None, self._new_to(shopper, self._draw.permutation(self.shop.on_shelves))
            case Arm.POPULAR:
                return None, self._new_to(shopper, self.popularity.ranked(self.shop.on_shelves))
            case Arm.FRESHET:
                newest = self._lists.get(shopper)
                if newest is None:
                    self.missed += 1
                    return None, _NOTHING
                on_shelves = newest.items[self.shop.available[newest.items]]
                return newest.recommendation_id, on_shelves[:SHELF_ITEMS]

    def _new_to(self, shopper: int, items: Indices) -> Indices:
        """A control's shelf: the first of `items` that the shopper has not bought.

        Without it, popularity would go on showing people what they have: too weak an opponent.
        """
        bought = self.shoppers.bought(shopper)
        head = items[: SHELF_ITEMS + len(bought)]
        return head[[item not in bought for item in head.tolist()]][:SHELF_ITEMS]

    def _find(self, shopper: int) -> int:
        if self._draw.random() < _FOLLOWS_THE_CROWD:
            best = self.popularity.ranked(self.shop.on_shelves)[:_BESTSELLERS]
            weight = self.popularity.counts[best] + 1.0
            return int(self._draw.choice(best, p=weight / weight.sum()))
        return self.shoppers.pick(shopper)

    def _record(
        self,
        shopper: int,
        item: int,
        kind: str,
        recommendation_id: str | None = None,
        position: int | None = None,
    ) -> Act:
        self.popularity.count(item)
        item_id = self.shop.products[item].item_id
        return Act(self.users[shopper], item_id, kind, recommendation_id, position)


def _session_seconds() -> float:
    return _ACTIONS_PER_SESSION * _SECONDS_PER_ACTION
