"""What crosses a boundary: the messages on Freshet's topics, how they are read, their limits.

`EVOLUTION.md` has the rules by which they change, `json/` the JSON Schema of each.
"""

from schemas.decoding import (
    decode_erasure,
    decode_event,
    decode_item,
    decode_recommendation,
    decode_request,
    encode,
)
from schemas.erasure import Erasure
from schemas.event import Event, EventType
from schemas.item import Item
from schemas.recommendation import Because, Cause, Reason, Recommendation, RecommendedItem
from schemas.rejection import Rejected, RejectReason
from schemas.request import Request

__all__ = [
    "Because",
    "Cause",
    "Erasure",
    "Event",
    "EventType",
    "Item",
    "Reason",
    "Recommendation",
    "RecommendedItem",
    "RejectReason",
    "Rejected",
    "Request",
    "decode_erasure",
    "decode_event",
    "decode_item",
    "decode_recommendation",
    "decode_request",
    "encode",
]
