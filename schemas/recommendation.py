"""What Freshet answers: items, each with its reason, and what made it answer."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Share = Annotated[float, Meta(ge=0, le=1)]


class Because(Struct, frozen=True):
    """One of the user's own items that speaks for the recommended one."""

    item_id: Annotated[str, Meta(description="the user's own item")]
    share: Annotated[Share, Meta(description="its part in the reason: 0 to 1")]


class Reason(Struct, frozen=True):
    """Why an item is in the list."""

    source: Annotated[str, Meta(description="the strategy that carried it most")]
    share: Annotated[Share, Meta(description="that strategy's part in the decision: 0 to 1")]
    because_of: Annotated[
        list[Because], Meta(description="the user's own items that led to it, strongest first")
    ]
    text: Annotated[str, Meta(description="the same as a sentence for people")]


class RecommendedItem(Struct, frozen=True):
    """One place of the list."""

    item_id: str
    score: Annotated[float, Meta(description="higher is better; comparable within one list only")]
    reason: Reason | None = None


class Cause(Struct, frozen=True):
    """The record that led to this answer."""

    topic: str
    partition: int
    offset: int
    event_id: Annotated[str | None, Meta(description="of the event, where it had one")] = None
    request_id: Annotated[str | None, Meta(description="of the request, where it had one")] = None


class Recommendation(Struct, frozen=True):
    """A record on `recommendations`, keyed by user_id; the newest of a user replaces the others."""

    recommendation_id: Annotated[
        str,
        Meta(description="the same for the same cause: a consumer drops a repeat by it"),
    ]
    user_id: str
    ts: Annotated[int, Meta(description="when it was made: milliseconds since 1970")]
    items: Annotated[list[RecommendedItem], Meta(description="best first")]
    cause: Cause | None = None
    model_version: Annotated[
        str, Meta(description="the engine's format and how many events it had learned")
    ] = ""
    variant: Annotated[str, Meta(description="what made the list, where several are compared")] = (
        "freshet"
    )
