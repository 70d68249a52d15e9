"""A question: what would this user like now?"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from schemas.condition import Condition
from schemas.limits import (
    MAX_CATEGORIES,
    MAX_CONDITIONS,
    MAX_CONTEXT_ITEMS,
    MAX_EXCLUDED,
    MAX_LIST,
    MAX_QUERY_CHARS,
    Category,
    Id,
)
from schemas.timestamps import AS_RECORDED, Timestamp

Categories = Annotated[list[Category], Meta(max_length=MAX_CATEGORIES)]


class Filters(Struct, frozen=True, omit_defaults=True):
    """Which items may be answered with; what is empty asks for nothing."""

    any: Annotated[
        Categories, Meta(description="a list of text: items of any of these categories")
    ] = field(default_factory=list)
    all: Annotated[Categories, Meta(description="a list of text: items of all of these")] = field(
        default_factory=list
    )
    none: Annotated[Categories, Meta(description="a list of text: items of none of these")] = field(
        default_factory=list
    )
    where: Annotated[
        Annotated[list[Condition], Meta(max_length=MAX_CONDITIONS)],
        Meta(
            description="a list of conditions on attributes, all of which must hold, such as "
            '{"attribute": "price", "at_most": 20} or {"attribute": "colour", "equals": "blue"}'
        ),
    ] = field(default_factory=list)


class Request(Struct, frozen=True, omit_defaults=True):
    """A record on `requests`, keyed by user_id; the answer comes on `recommendations`."""

    user_id: Annotated[
        Id, Meta(description="the user to recommend to, as text of 1 to 256 characters")
    ]
    request_id: Annotated[
        Id | None,
        Meta(
            description="text that comes back as the answer's cause.request_id: 1 to 256 characters"
        ),
    ] = None
    n: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_LIST)],
        Meta(description=f"how many items: a whole number, 1 to {MAX_LIST}"),
    ] = 10
    categories: Annotated[
        Categories,
        Meta(description="a list of text: only items of any of these; empty means all"),
    ] = field(default_factory=list)
    exclude: Annotated[
        Annotated[list[Id], Meta(max_length=MAX_EXCLUDED)],
        Meta(description="a list of item ids not to recommend"),
    ] = field(default_factory=list)
    context_items: Annotated[
        Annotated[list[Id], Meta(max_length=MAX_CONTEXT_ITEMS)],
        Meta(description="a list of item ids: what this session looked at, oldest first"),
    ] = field(default_factory=list)
    ts: Timestamp = AS_RECORDED
    filters: Annotated[
        Filters,
        Meta(
            description='an object: which items to choose from, by categories ("any", "all", '
            '"none") and attributes ("where")'
        ),
    ] = field(default_factory=Filters)
    query: Annotated[
        Annotated[str, Meta(max_length=MAX_QUERY_CHARS)] | None,
        Meta(description="what is wanted, in words: up to 2,000 characters"),
    ] = None
    session_id: Annotated[
        Id | None,
        Meta(description="text of 1 to 256 characters that the requests of one conversation share"),
    ] = None

    def __post_init__(self) -> None:
        if self.categories and self.filters.any:
            raise ValueError("categories is short for filters.any: give one of them")
