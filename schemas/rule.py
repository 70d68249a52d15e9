"""What a shop asks of every list."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct, field

from schemas.condition import Condition
from schemas.limits import MAX_CATEGORIES, MAX_CONDITIONS, MAX_LIST, Category, Id
from schemas.timestamps import AS_RECORDED, Timestamp


class RuleKind(StrEnum):
    """What a rule does."""

    BOOST = "boost"
    BAN = "ban"
    CAP = "cap"
    DIVERSITY = "diversity"


class Rule(Struct, frozen=True, omit_defaults=True):
    """A record on `rules`, keyed by rule_id; a record without a value ends the rule."""

    rule_id: Annotated[Id, Meta(description="the rule's own id, as text of 1 to 256 characters")]
    kind: Annotated[
        RuleKind,
        Meta(
            description="boost (raise or lower the items meant), ban (list none of them), cap (a "
            "category's most places in a list) or diversity (not ten of the same)"
        ),
    ]
    categories: Annotated[
        Annotated[list[Category], Meta(max_length=MAX_CATEGORIES)],
        Meta(
            description="a list of text: the rule means items of any of these; for a cap, the "
            "categories that have it, where none is named every one"
        ),
    ] = field(default_factory=list)
    where: Annotated[
        Annotated[list[Condition], Meta(max_length=MAX_CONDITIONS)],
        Meta(
            description="a list of conditions on attributes, all of which must hold, such as "
            '{"attribute": "price", "at_least": 100}'
        ),
    ] = field(default_factory=list)
    factor: Annotated[
        Annotated[float, Meta(ge=0.001, le=1000)] | None,
        Meta(
            description="of a boost: by how much the item's odds are multiplied, 0.001 to 1,000; "
            "below 1 lowers it"
        ),
    ] = None
    at_most: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_LIST)] | None,
        Meta(description=f"of a cap: items of the category in one list, 1 to {MAX_LIST}"),
    ] = None
    strength: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        Meta(description="of diversity: 0 (none) to 1 (nothing else counts)"),
    ] = None
    ts: Timestamp = AS_RECORDED

    def __post_init__(self) -> None:
        for kind, name in _NEEDS.items():
            given = getattr(self, name) is not None
            if given != (self.kind == kind):
                verb = "needs" if self.kind == kind else "has no"
                raise ValueError(f"a rule of kind {self.kind.value} {verb} {name}")
        chooses = self.kind in (RuleKind.BOOST, RuleKind.BAN)
        if chooses and not self.categories and not self.where:
            raise ValueError(
                f"a rule of kind {self.kind.value} needs categories or where: which items it means"
            )
        if self.where and not chooses:
            raise ValueError(f"a rule of kind {self.kind.value} has no where")
        if self.categories and self.kind is RuleKind.DIVERSITY:
            raise ValueError("a rule of kind diversity has no categories: it holds for all lists")


_NEEDS = {RuleKind.BOOST: "factor", RuleKind.CAP: "at_most", RuleKind.DIVERSITY: "strength"}
