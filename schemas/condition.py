"""What an attribute of an item must be, for a rule or a request to mean the item."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from schemas.limits import Detail, DetailName, Number


class Condition(Struct, frozen=True, omit_defaults=True):
    """An item without the attribute does not fit."""

    attribute: Annotated[DetailName, Meta(description="the attribute's name")]
    equals: Annotated[
        Detail | None, Meta(description="exactly this text, number, true or false")
    ] = None
    at_least: Annotated[Number | None, Meta(description="a number no less than this")] = None
    at_most: Annotated[Number | None, Meta(description="a number no more than this")] = None

    def __post_init__(self) -> None:
        bounded = self.at_least is not None or self.at_most is not None
        if (self.equals is not None) == bounded:
            raise ValueError(
                f"the condition on {self.attribute!r} needs equals, or at_least and at_most (one "
                "or both)"
            )
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(
                f"no {self.attribute!r} is at least {self.at_least:g} and at most {self.at_most:g}"
            )
