"""What crosses a boundary: the messages on Freshet's topics, how they are read, their limits.

`EVOLUTION.md` has the rules by which they change, `json/` the JSON Schema of each.
"""

from schemas.condition import Condition
from schemas.decoding import (
    decode_editorial,
    decode_erasure,
    decode_event,
    decode_item,
    decode_profile,
    decode_recommendation,
    decode_request,
    decode_rule,
    encode,
)
from schemas.editorial import Editorial, Pick
from schemas.erasure import Erasure
from schemas.event import Event, EventType
from schemas.item import Item
from schemas.profile import Profile
from schemas.recommendation import Because, Cause, Reason, Recommendation, RecommendedItem
from schemas.rejection import Rejected, RejectReason
from schemas.request import Filters, Request
from schemas.rule import Rule, RuleKind

__all__ = [
    "Because",
    "Cause",
    "Condition",
    "Editorial",
    "Erasure",
    "Event",
    "EventType",
    "Filters",
    "Item",
    "Pick",
    "Profile",
    "Reason",
    "Recommendation",
    "RecommendedItem",
    "RejectReason",
    "Rejected",
    "Request",
    "Rule",
    "RuleKind",
    "decode_editorial",
    "decode_erasure",
    "decode_event",
    "decode_item",
    "decode_profile",
    "decode_recommendation",
    "decode_request",
    "decode_rule",
    "encode",
]
