"""Up to when an erasure covers its user, whatever times its producer wrote."""

import json

import pytest
from aiokafka import ConsumerRecord

from schemas import decode_erasure
from streams.erased import until
from streams.intake import readable

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
FIVE_MINUTES_MS = 300_000


@pytest.mark.parametrize(
    ("record_ms", "own_ms", "covers_to_ms"),
    [
        (NOW_MS, None, NOW_MS),
        (1, NOW_MS, NOW_MS),  # a record that is dated long ago
        (NOW_MS, NOW_MS - HOUR_MS, NOW_MS),  # a wish that waited
        (NOW_MS + 1_000, None, NOW_MS + 1_000),  # a clock that goes fast
        (NOW_MS + HOUR_MS, NOW_MS, NOW_MS + FIVE_MINUTES_MS),  # one that is wrong
    ],
)
def test_an_erasure_covers_up_to_now(record_ms: int, own_ms: int | None, covers_to_ms: int) -> None:
    value = {"user_id": "ann"} | ({"ts": own_ms} if own_ms is not None else {})
    record = ConsumerRecord(
        topic="erasures",
        partition=0,
        offset=0,
        timestamp=record_ms,
        timestamp_type=0,
        key=b"ann",
        value=json.dumps(value).encode(),
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        headers=(),
    )
    (taken,) = readable([record], decode_erasure, NOW_MS)
    assert until(taken, NOW_MS) == covers_to_ms
