"""Why a record cannot be taken."""

from __future__ import annotations

from enum import StrEnum


class RejectReason(StrEnum):
    """In one word, for counting; `Rejected.detail` has the sentence."""

    NULL_VALUE = "null_value"
    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    #: JSON, but a field is missing, has the wrong type or passes its limit.
    INVALID = "invalid"
    TIMESTAMP_OUT_OF_RANGE = "timestamp_out_of_range"
    #: Nothing is wrong with the record as such: learning from it, or answering it, raised.
    LEARNER_FAILED = "learner_failed"


class Rejected(ValueError):
    """A record that cannot be taken; the detail says where it is wrong and what to send instead."""

    def __init__(self, reason: RejectReason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.detail}"
