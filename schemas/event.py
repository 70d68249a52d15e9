"""Something a user did with an item."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from schemas.limits import (
    MAX_DETAILS,
    MAX_POSITION,
    MAX_RECOMMENDATION_ID_CHARS,
    Detail,
    DetailName,
    Id,
    Number,
)
from schemas.timestamps import AS_RECORDED, Timestamp


class EventType(StrEnum):
    """What the user did. The order is part of the engine's format: add at the end."""

    VIEW = "view"
    CLICK = "click"
    ADD_TO_CART = "add_to_cart"
    PURCHASE = "purchase"
    RATING = "rating"
    LIKE = "like"
    DISLIKE = "dislike"
    DISMISS = "dismiss"
    #: The item was shown; the user may not have noticed it.
    IMPRESSION = "impression"


class Event(Struct, frozen=True, omit_defaults=True, gc=False):
    """A record on `events`, keyed by user_id."""

    user_id: Annotated[Id, Meta(description="the user who did it, as text of 1 to 256 characters")]
    item_id: Annotated[Id, Meta(description="the item, as text of 1 to 256 characters")]
    type: Annotated[EventType, Meta(description=f"one of {', '.join(EventType)}")]
    value: Annotated[
        Number | None,
        Meta(description="a number: the rating, the price, how many pieces, seconds watched"),
    ] = None
    ts: Timestamp = AS_RECORDED
    event_id: Annotated[
        Id | None,
        Meta(description="1 to 256 characters unique to this event, by which a repeat is known"),
    ] = None
    recommendation_id: Annotated[
        Annotated[str, Meta(min_length=1, max_length=MAX_RECOMMENDATION_ID_CHARS)] | None,
        Meta(description="the recommendation_id of the list that showed the item, where one did"),
    ] = None
    position: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_POSITION)] | None,
        Meta(description="the item's place in that list, counted from 0"),
    ] = None
    context: Annotated[
        Annotated[dict[DetailName, Detail], Meta(max_length=MAX_DETAILS)] | None,
        Meta(description="whatever else is known, as an object of text, numbers, true and false"),
    ] = None
