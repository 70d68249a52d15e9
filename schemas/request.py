"""A question: what would this user like now?"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from schemas.limits import (
    MAX_CATEGORIES,
    MAX_CONTEXT_ITEMS,
    MAX_EXCLUDED,
    MAX_LIST,
    Category,
    Id,
)
from schemas.timestamps import AS_RECORDED, Timestamp


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
        Annotated[list[Category], Meta(max_length=MAX_CATEGORIES)],
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
