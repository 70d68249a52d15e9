"""What a dead letter says about the record it carries, as Kafka headers.

Key and value of a dead letter are those of the record, byte for byte. Numbers are decimal text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

TOPIC: Final = "freshet-topic"
PARTITION: Final = "freshet-partition"
OFFSET: Final = "freshet-offset"
#: The record's own timestamp in ms.
TIMESTAMP: Final = "freshet-timestamp-ms"
#: A `RejectReason`; a reader must expect ones it does not know.
REASON: Final = "freshet-reason"
DETAIL: Final = "freshet-detail"
REJECTED_AT: Final = "freshet-rejected-at-ms"
VERSION: Final = "freshet-version"
#: Only on a value too large for the topic: how long it was; its beginning is what is left.
CUT_FROM: Final = "freshet-cut-from-bytes"
#: The record's own headers follow under their names with this before them.
OWN: Final = "original-"

#: On a record put back by a replay: the dead letter it comes from, topic/partition/offset …
REPLAY_OF: Final = "freshet-replay-of"
#: … and how often it has been put back by now.
REPLAYS: Final = "freshet-replays"
#: On a record without key and value, behind the dead letter that it names as REPLAY_OF does: that
#: one has been put back.
PUT_BACK: Final = "freshet-put-back"

Headers = list[tuple[str, bytes]]


class DeadLetter(Struct, frozen=True):
    """The headers of a dead letter, read."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    reason: str
    detail: str
    rejected_at_ms: int
    version: str
    cut_from_bytes: int | None = None
    #: The record's own headers.
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def replays(self) -> int:
        """How often the record had been put back when it was rejected."""
        for name, value in self.headers:
            if name == REPLAYS:
                # A stranger may have written anything: then it is taken for the first time.
                return int(value) if value.isdigit() and len(value) < 10 else 0
        return 0


def build_headers(letter: DeadLetter) -> Headers:
    """The headers that say all that `letter` holds."""
    headers = [
        (TOPIC, letter.topic.encode()),
        (PARTITION, b"%d" % letter.partition),
        (OFFSET, b"%d" % letter.offset),
        (TIMESTAMP, b"%d" % letter.timestamp_ms),
        (REASON, letter.reason.encode()),
        # The detail may quote what no UTF-8 can say.
        (DETAIL, letter.detail.encode(errors="backslashreplace")),
        (REJECTED_AT, b"%d" % letter.rejected_at_ms),
        (VERSION, letter.version.encode()),
    ]
    if letter.cut_from_bytes is not None:
        headers.append((CUT_FROM, b"%d" % letter.cut_from_bytes))
    headers.extend((OWN + name, value) for name, value in letter.headers)
    return headers


def parse_headers(headers: Iterable[tuple[str, bytes]]) -> DeadLetter:
    """The inverse of `build_headers`; headers it does not know are passed over.

    Raises:
        ValueError: a header is missing or is not a number: this is no dead letter of Freshet's.
    """
    found: dict[str, bytes] = {}
    own: Headers = []
    for name, value in headers:
        if name.startswith(OWN):
            own.append((name.removeprefix(OWN), value))
        else:
            found.setdefault(name, value)
    try:
        return DeadLetter(
            topic=found[TOPIC].decode(),
            partition=int(found[PARTITION]),
            offset=int(found[OFFSET]),
            timestamp_ms=int(found[TIMESTAMP]),
            reason=found[REASON].decode(),
            detail=found[DETAIL].decode(),
            rejected_at_ms=int(found[REJECTED_AT]),
            version=found[VERSION].decode(),
            cut_from_bytes=int(found[CUT_FROM]) if CUT_FROM in found else None,
            headers=tuple(own),
        )
    except KeyError as missing:
        raise ValueError(f"no dead letter: the header {missing.args[0]} is missing") from None
