"""The simulated shop: what it sells, what is hidden in each item, and how its shelves change.

A shop is drawn from its seed alone. What the outside world may know of an item is its `Product`;
the arrays beside it are the hidden truth that shoppers feel and no recommender sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.simulator.vocabulary import DEPARTMENTS, STYLES

DIMENSIONS: Final = 12
_APPEAL_SPREAD: Final = 0.7
#: Share of the opening number of items that arrives, and is retired, per minute.
_ARRIVALS_PER_MINUTE: Final = 0.02
_RETIREMENTS_PER_MINUTE: Final = 0.01
#: Room for items to come: eight hours of arrivals and a little.
_GROWTH: Final = 10.6
_KINDS: Final = tuple((d, k) for d, dept in enumerate(DEPARTMENTS) for k in range(len(dept.kinds)))

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Product:
    """What a customer, and a recommender, can read about an item."""

    item_id: str
    title: str
    text: str
    categories: tuple[str, ...]
    price: float


@dataclass(frozen=True, slots=True)
class Change:
    """An item arrived on the shelves, or was taken off them."""

    item: int
    arrived: bool


class Shop:
    """A catalogue and its hidden attributes, growing and shrinking as time goes on.

    items      how many items it opens with
    vectors    float64 [all items, DIMENSIONS]: hidden character, centred, about unit length
    appeal     float64 [all items]: hidden quality that every shopper feels alike
    department, kind   int64 [all items]
    available  bool [all items]: on the shelves now
    on_shelves int64 [items available]: their indices, ascending

    "All items" counts those that have yet to arrive: they are drawn at the opening, so that the
    shop of a seed is the same however its time is cut into steps.
    """

    def __init__(self, *, items: int, seed: int) -> None:
        if items < 1:
            raise ValueError("a shop needs at least one item")
        draw = np.random.default_rng([seed, 1])
        total = int(items * _GROWTH) + 1
        self.opening = items
        self.products: list[Product] = []
        self.department = np.empty(total, np.int64)
        self.kind = np.empty(total, np.int64)
        style = np.empty(total, np.int64)
        variants = _Variants(draw)
        for number in range(total):
            kind, self.department[number], style[number], product = variants.next(number, draw)
            self.kind[number] = kind
            self.products.append(product)

        def directions(count: int) -> Floats:
            return draw.normal(0, DIMENSIONS**-0.5, (count, DIMENSIONS))

        # Half of an item's character is its style's, a quarter its kind's, a quarter its own.
        self.vectors = (
            np.sqrt(0.5) * directions(len(STYLES))[style]
            + np.sqrt(0.25) * directions(len(_KINDS))[self.kind]
            + np.sqrt(0.25) * directions(total)
        )
        self.appeal = draw.normal(0.0, _APPEAL_SPREAD, total)
        self.available = np.arange(total) < items
        self.on_shelves: Indices = np.flatnonzero(self.available)
        self._changes = np.random.default_rng([seed, 2])
        self._arrived = items

    def pass_time(self, seconds: float) -> list[Change]:
        """Let `seconds` go by; what arrived or was retired, in order. Times are Poisson."""
        minutes = seconds / 60
        changes = []
        arriving = int(self._changes.poisson(self.opening * _ARRIVALS_PER_MINUTE * minutes))
        for item in range(self._arrived, min(self._arrived + arriving, len(self.products))):
            self.available[item] = True
            self._arrived = item + 1
            changes.append(Change(item, arrived=True))
        for _ in range(
            int(self._changes.poisson(self.opening * _RETIREMENTS_PER_MINUTE * minutes))
        ):
            on_shelves = np.flatnonzero(self.available)
            if len(on_shelves) > self.opening // 2:
                item = int(self._changes.choice(on_shelves))
                self.available[item] = False
                changes.append(Change(item, arrived=False))
        if changes:
            self.on_shelves = np.flatnonzero(self.available)
        return changes

    def index_of(self, item_id: str) -> int | None:
        """The index of an item that is on the shelves, or None."""
        number = int(item_id[1:]) - 1 if item_id[:1] == "i" and item_id[1:].isdecimal() else -1
        known = 0 <= number < len(self.products) and bool(self.available[number])
        return number if known else None


class _Variants:
    """Titles that do not repeat before every kind has been sold in every style and detail."""

    def __init__(self, draw: np.random.Generator) -> None:
        self._order = draw.permutation(len(_KINDS))
        self._variants = [
            draw.permutation(len(STYLES) * len(DEPARTMENTS[d].details)) for d, _ in _KINDS
        ]

    def next(self, number: int, draw: np.random.Generator) -> tuple[int, int, int, Product]:
        kind = int(self._order[number % len(_KINDS)])
        edition, variant = divmod(number // len(_KINDS), len(self._variants[kind]))
        style, detail = divmod(
            int(self._variants[kind][variant]), len(self._variants[kind]) // len(STYLES)
        )
        d, k = _KINDS[kind]
        department = DEPARTMENTS[d]
        goods = department.kinds[k]
        mark = f", no. {edition + 1}" if edition else ""
        product = Product(
            item_id=f"i{number + 1:05d}",
            title=f"{department.styles[style]} {goods.name}, {department.details[detail]}{mark}",
            text=f"{goods.use} {STYLES[style][1]}",
            categories=(department.name, goods.name),
            price=round(float(draw.lognormal(3.2, 0.6)), 2),
        )
        return kind, d, style, product
