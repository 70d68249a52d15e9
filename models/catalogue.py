"""What is known of items beside who took them, and choosing items by it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Attribute: TypeAlias = str | float | bool


@dataclass(frozen=True, slots=True)
class OwnImage:
    """A picture that an item's record brings itself: which it is, and where the record is.

    digest  of the file, as text
    offset  of the record, in its partition of `items`
    """

    digest: str
    offset: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """One item of the catalogue. An item that is not `available` is never recommended."""

    item_id: str
    title: str = ""
    text: str = ""
    categories: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    available: bool = True
    image_url: str = ""
    image: OwnImage | None = None


@dataclass(frozen=True, slots=True)
class Where:
    """What one attribute must be: `equals` a text, a number or a truth value, or, where that is
    None, a number from `at_least` to `at_most`. An item without the attribute does not fit."""

    attribute: str
    equals: Attribute | None = None
    at_least: float = -math.inf
    at_most: float = math.inf

    def fits(self, attributes: Mapping[str, Attribute]) -> bool:
        """Whether an item with these attributes is meant."""
        value = attributes.get(self.attribute)
        if value is None:
            return False
        if self.equals is not None:  # in Python, 1 == True
            return value == self.equals and is_truth(value) == is_truth(self.equals)
        return (
            not isinstance(value, str)
            and not is_truth(value)
            and self.at_least <= value <= self.at_most
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """Items of any of the categories in `any`, all of those in `all`, none of those in `none`, that
    fit all of `where`; what is empty asks for nothing."""

    any: tuple[str, ...] = ()
    all: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    where: tuple[Where, ...] = ()

    def __bool__(self) -> bool:
        """Whether it leaves anything out."""
        return bool(self.any or self.all or self.none or self.where)

    def fits(self, item: ItemFacts) -> bool:
        """Whether this item is meant."""
        has = item.categories
        return (
            (not self.any or any(c in has for c in self.any))
            and all(c in has for c in self.all)
            and not any(c in has for c in self.none)
            and all(w.fits(item.attributes) for w in self.where)
        )


def is_truth(value: Attribute) -> bool:
    """Whether it is true or false, which Python also takes for the numbers 1 and 0."""
    return isinstance(value, bool)
