"""What an erasure covers, whatever times producers wrote."""

import json
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from schemas import decode_erasure, decode_event
from streams.erased import Erased, done_at, until
from streams.intake import Decode, Taken, readable

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
FIVE_MINUTES_MS = 300_000
TWO_MINUTES_MS = 120_000


def taken(record_ms: int, decode: Decode[Any], **fields: Any) -> Taken[Any]:
    record = ConsumerRecord(
        topic="topic",
        partition=0,
        offset=0,
        timestamp=record_ms,
        timestamp_type=0,
        key=b"ann",
        value=json.dumps({"user_id": "ann"} | fields).encode(),
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        headers=(),
    )
    (found,) = readable([record], decode, NOW_MS)
    return found


@pytest.mark.parametrize(
    ("record_ms", "own", "covers_to_ms"),
    [
        (NOW_MS, {}, NOW_MS),
        (1, {"ts": NOW_MS}, NOW_MS),  # a record that is dated long ago
        (NOW_MS, {"ts": NOW_MS - HOUR_MS}, NOW_MS),  # a wish that waited
        (NOW_MS + 1_000, {}, NOW_MS + 1_000),  # a clock that goes fast
        (NOW_MS * 1_000, {"ts": NOW_MS}, NOW_MS),  # a record dated in microseconds
    ],
)
def test_an_erasure_covers_up_to_now(
    record_ms: int, own: dict[str, int], covers_to_ms: int
) -> None:
    assert until(taken(record_ms, decode_erasure, **own), NOW_MS) == covers_to_ms


@pytest.mark.parametrize(
    ("record_ms", "own", "covered"),
    [
        (NOW_MS - 1, {}, True),
        (NOW_MS + TWO_MINUTES_MS, {}, True),  # clocks differ
        (NOW_MS + 10 * FIVE_MINUTES_MS, {"ts": NOW_MS - 1}, True),  # a record's clock is wrong
        (NOW_MS + HOUR_MS, {"ts": NOW_MS - HOUR_MS}, True),  # put back from a file
        (NOW_MS + FIVE_MINUTES_MS + 1, {}, False),
        (NOW_MS + HOUR_MS, {"ts": NOW_MS + HOUR_MS}, False),
    ],
)
def test_an_event_is_covered_if_it_may_have_been_done_before_the_erasure(
    record_ms: int, own: dict[str, int], covered: bool
) -> None:
    erased = Erased()
    erased.add("ann", NOW_MS)
    event = taken(record_ms, decode_event, item_id="i", type="click", **own)
    assert erased.covers("ann", done_at(event)) is covered
