"""Simulated shoppers: what they like, how that drifts, and how they choose. Hidden from Freshet.

Shopper *u* feels for item *i* at a moment the utility

    U(u, i) = department[u, d(i)] + style[u] · vector[i] + appeal[i]
              + intent(u, i) - weariness(u, i)

`department` and `style` are Ornstein-Uhlenbeck walks of a fixed spread (around what is common to
all, and around 0), so tastes drift for ever and the crowd stays as varied as it was. `intent` is
what this session is about: one kind of product. `weariness` grows with each look at the same
item, and more with its purchase.

Shown a shelf, a shopper examines position k (0-based) with probability (k + 1)^-0.6 and clicks on
what was examined with probability sigmoid(U - 5.2), each position on its own. The same model
serves every arm.
"""

from __future__ import annotations

import math
from collections.abc import Set
from typing import Final

import numpy as np

from streams.simulator.shop import DIMENSIONS, Floats, Indices, Shop

_DEPARTMENT_SPREAD: Final = 1.2
_COMMON_SPREAD: Final = 0.7
_STYLE_SPREAD: Final = 1.0
#: After so many seconds a taste has forgotten 63 % of what it was.
_DEPARTMENT_MEMORY_S: Final = 1200.0
_STYLE_MEMORY_S: Final = 600.0
_SAME_KIND: Final = 3.0
_SAME_DEPARTMENT: Final = 1.5
_WEARY_OF_SEEN: Final = 1.0
_WEARY_OF_BOUGHT: Final = 5.0
_RESERVE: Final = 5.2
_POSITION_BIAS: Final = 0.6
_NO_INTENT: Final = -1


class Shoppers:
    """Everyone who may come to the shop; indices 0 .. count - 1.

    department  float64 [count, departments]: liking of each department
    style       float64 [count, DIMENSIONS]: liking of each hidden direction
    activity    float64 [count]: how often each comes, relative to the others; sums to 1
    intent      int64 [count]: the kind this session is about, -1 outside of sessions
    """

    def __init__(self, shop: Shop, *, count: int, seed: int) -> None:
        draw = np.random.default_rng([seed, 3])
        self._shop = shop
        departments = int(shop.department.max()) + 1
        self._common = draw.normal(0, _COMMON_SPREAD, departments)
        self.department = draw.normal(self._common, _DEPARTMENT_SPREAD, (count, departments))
        self.style = draw.normal(0, _STYLE_SPREAD, (count, DIMENSIONS))
        activity = draw.lognormal(0.0, 0.7, count)
        self.activity = activity / activity.sum()
        self.intent = np.full(count, _NO_INTENT, np.int64)
        self._kinds_of = [
            np.unique(shop.kind[shop.department == department]) for department in range(departments)
        ]
        self._department_of_kind = dict(
            zip(shop.kind.tolist(), shop.department.tolist(), strict=True)
        )
        self._weariness: list[dict[int, float]] = [{} for _ in range(count)]
        self._bought: list[set[int]] = [set() for _ in range(count)]
        self._draw = np.random.default_rng([seed, 4])

    def __len__(self) -> int:
        return len(self.intent)

    def drift(self, seconds: float) -> None:
        """Let everyone's tastes wander for `seconds`."""
        draw = self._draw
        kept, added = _walk(seconds, _DEPARTMENT_MEMORY_S, _DEPARTMENT_SPREAD)
        self.department -= self._common
        self.department *= kept
        self.department += self._common + draw.normal(0, added, self.department.shape)
        kept, added = _walk(seconds, _STYLE_MEMORY_S, _STYLE_SPREAD)
        self.style *= kept
        self.style += draw.normal(0, added, self.style.shape)

    def set_intent(self, shopper: int) -> None:
        """Come to mind what to look for: a department one likes, then a kind in it."""
        liking = np.exp(self.department[shopper] - self.department[shopper].max())
        department = int(self._draw.choice(len(liking), p=liking / liking.sum()))
        self.intent[shopper] = self._draw.choice(self._kinds_of[department])

    def clear_intent(self, shopper: int) -> None:
        self.intent[shopper] = _NO_INTENT

    def utility(self, shopper: int, items: Indices) -> Floats:
        """U of each of `items`, float64 [items]."""
        shop = self._shop
        department = shop.department[items]
        utility: Floats = shop.vectors[items] @ self.style[shopper]
        utility += shop.appeal[items]
        utility += self.department[shopper][department]
        intent = int(self.intent[shopper])
        if intent != _NO_INTENT:
            utility += _SAME_KIND * (shop.kind[items] == intent)
            utility += _SAME_DEPARTMENT * (department == self._department_of_kind[intent])
        if weariness := self._weariness[shopper]:
            of_all = np.zeros(len(shop.appeal))
            of_all[list(weariness)] = list(weariness.values())
            utility -= of_all[items]
        return utility

    def attraction(self, shopper: int, items: Indices) -> Floats:
        """The probability of a click on each of `items`, once examined."""
        attraction: Floats = 1 / (1 + np.exp(_RESERVE - self.utility(shopper, items)))
        return attraction

    def click(self, shopper: int, shelf: Indices) -> list[int]:
        """The positions of `shelf` that the shopper clicks on, from the top."""
        chance = examined(len(shelf)) * self.attraction(shopper, shelf)
        return [
            int(position) for position in np.flatnonzero(self._draw.random(len(shelf)) < chance)
        ]

    def pick(self, shopper: int) -> int:
        """An item found by oneself: drawn from the shelves with probability ∝ exp(U)."""
        on_shelves = self._shop.on_shelves
        utility = self.utility(shopper, on_shelves)
        return int(on_shelves[np.argmax(utility + self._draw.gumbel(size=len(utility)))])

    def favourites(self, shopper: int, count: int) -> Indices:
        """The `count` best items by U: what a recommender that reads minds would show."""
        on_shelves = self._shop.on_shelves
        best = np.argsort(-self.utility(shopper, on_shelves), kind="stable")[:count]
        return on_shelves[best]

    def tire(self, shopper: int, item: int, *, bought: bool = False) -> None:
        """Having looked at an item, or bought it, makes it less interesting from now on."""
        weariness = self._weariness[shopper]
        weariness[item] = weariness.get(item, 0.0) + (
            _WEARY_OF_BOUGHT if bought else _WEARY_OF_SEEN
        )
        if bought:
            self._bought[shopper].add(item)

    def bought(self, shopper: int) -> Set[int]:
        """What the shopper has bought so far."""
        return self._bought[shopper]


def examined(positions: int) -> Floats:
    """The probability that each of the first `positions` is looked at: (k + 1)^-0.6."""
    chance: Floats = np.power(np.arange(1.0, positions + 1.0), -_POSITION_BIAS)
    return chance


def _walk(seconds: float, memory: float, spread: float) -> tuple[float, float]:
    """What a walk keeps of its place, and the standard deviation that it adds."""
    kept = math.exp(-seconds / memory)
    return kept, spread * math.sqrt(1 - kept * kept)
