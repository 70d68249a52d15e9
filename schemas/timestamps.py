"""Instants: milliseconds since 1970 in UTC, on the wire also RFC 3339 text, or left out."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final, cast

from msgspec import Meta

from schemas.limits import EARLIEST_MS, MAX_AHEAD_MS, MAX_RECORD_AHEAD_MS
from schemas.rejection import Rejected, RejectReason

# Whoever reads a message through `schemas` gets milliseconds; producers have a choice.
if TYPE_CHECKING:
    Instant = int
    Timestamp = int
else:
    Instant = (
        Annotated[int, Meta(extra_json_schema={"minimum": EARLIEST_MS})]
        | Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
    )
    Timestamp = Annotated[
        Instant | None,
        Meta(
            description="whole milliseconds since 1970 (1767225600000) or RFC 3339 text "
            '("2026-01-01T00:00:00Z"); left out, it is the timestamp of the Kafka record'
        ),
    ]

#: The `ts` of a message that leaves it to the Kafka record that carries it.
AS_RECORDED: Final = cast(int, None)

_LATEST_MS = 253_402_300_799_999
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_MINUTES, _HOURS = MAX_AHEAD_MS // 60_000, MAX_RECORD_AHEAD_MS // 3_600_000
_HOW = 'send whole milliseconds (1767225600000) or RFC 3339 text ("2026-01-01T00:00:00Z")'


def instant(text: str) -> int:
    """Milliseconds since 1970 of RFC 3339 text; the rest of a millisecond is dropped.

    A leap second counts as the second after it.

    Raises:
        Rejected: the text is something else.
    """
    try:
        return _instant(text)
    except ValueError as fault:
        raise Rejected(RejectReason.INVALID, f"ts: {fault}") from None


def _instant(text: str) -> int:
    """The same, where it is another field's. Raises `ValueError`."""
    if _RFC_3339.fullmatch(text):
        leap = text[17:19] == "60"
        try:
            exact = text[:17] + "59" + text[19:] if leap else text
            moment = datetime.fromisoformat(exact.upper())
        except ValueError:
            pass
        else:
            return (moment - _EPOCH) // _MILLISECOND + (1000 if leap else 0)
    shown = repr(text[:40])
    if text.strip().isdecimal():
        raise ValueError(f"{shown} is a number in quotes; {_HOW}")
    if _RFC_3339.fullmatch(f"{text}Z"):
        raise ValueError(f'{shown} names no zone; end it in "Z" for UTC')
    raise ValueError(f"{shown} is not an instant; {_HOW}")


def check_range(ts: int, now_ms: int) -> None:
    """Raises `Rejected` where `ts` lies before 1990 or too far ahead of `now_ms`."""
    _check(ts, now_ms + MAX_AHEAD_MS, f"{_MINUTES} minutes ahead of now")


def check_dated(ts: int, record_ts_ms: int, now_ms: int) -> None:
    """The same for the `ts` of a message, by the timestamp of the record that carries it.

    A topic is read again, hours or years later, and what was refused must be refused then too, or
    an erasure that became a dead letter is carried out at the next start. So the clock has no say:
    the record's timestamp tells when it was produced, and brokers take none from far ahead of their
    clock (`streams.topics`). Whoever dates records back, as a backfill or a replay does, dates them
    at the message's own time, so that bound is no tighter for them. The clock judges what would
    have no bound otherwise: records without a timestamp, and those of a broker that takes any.
    """
    if record_ts_ms < EARLIEST_MS or record_ts_ms == now_ms:  # the latter where there is no record
        check_range(ts, now_ms)
    elif record_ts_ms > now_ms + MAX_RECORD_AHEAD_MS - MAX_AHEAD_MS:
        _check(ts, now_ms + MAX_RECORD_AHEAD_MS, f"{_HOURS} hours ahead of now")
    else:
        said = f"{_MINUTES} minutes later than its record's timestamp"
        _check(ts, record_ts_ms + MAX_AHEAD_MS, said)


def check_record(record_ts_ms: int, now_ms: int) -> None:
    """The same for the timestamp of the record itself, where the message holds no `ts`."""
    latest = now_ms + MAX_RECORD_AHEAD_MS
    whose = "not given, and the record's own timestamp, "
    _check(record_ts_ms, latest, f"{_HOURS} hours ahead of now", whose)


def _check(ts: int, latest: int, than: str, whose: str = "") -> None:
    if EARLIEST_MS <= ts <= latest:
        return
    guess = _unit(ts, latest)
    if guess:
        why = f"looks like {guess}; send milliseconds"
    elif ts < EARLIEST_MS:
        why = f"lies before 1990{_date(ts)}; {_HOW}"
    else:
        why = f"lies more than {than}{_date(ts)}; check the producer's clock"
    raise Rejected(RejectReason.TIMESTAMP_OUT_OF_RANGE, f"ts: {whose}{str(ts)[:40]} {why}")


def planned(name: str, when: int | str) -> int:
    """Milliseconds since 1970 of a planned time, the field `name`. Raises `ValueError`."""
    try:
        ms = _instant(when) if isinstance(when, str) else when
    except ValueError as fault:
        raise ValueError(f"{name}: {fault}") from None
    if not EARLIEST_MS <= ms <= _LATEST_MS:
        raise ValueError(f"{name} {when} lies outside of 1990 to 9999; {_HOW}")
    return ms


def _unit(ts: int, latest: int) -> str | None:
    for name, as_ms in (
        ("seconds", ts * 1000),
        ("microseconds", ts // 1000),
        ("nanoseconds", ts // 1_000_000),
    ):
        if EARLIEST_MS <= as_ms <= latest:
            return name
    return None


def _date(ts: int) -> str:
    try:
        return f" ({(_EPOCH + ts * _MILLISECOND).date().isoformat()})"
    except OverflowError:
        return ""
