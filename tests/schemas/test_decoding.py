"""What cannot be read is rejected with a reason, the field, and what to send instead."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import (
    Erasure,
    Event,
    EventType,
    Item,
    Rejected,
    RejectReason,
    Request,
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
from schemas.limits import (
    EARLIEST_MS,
    MAX_AHEAD_MS,
    MAX_IMAGE_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_RECORD_AHEAD_MS,
    MAX_REJECTION_CHARS,
)

NOW = 1_767_225_600_000
VIEW = {"user_id": "u", "item_id": "i", "type": "view"}
DECODERS = (
    decode_event,
    decode_item,
    decode_request,
    decode_erasure,
    decode_rule,
    decode_editorial,
)
#: What each of them needs, in one; a field that one does not know is ignored.
MINIMAL = {
    "name": "e",
    "items": [{"item_id": "i"}],
    "rule_id": "r",
    "kind": "cap",
    "at_most": 2,
    "categories": ["c"],
}


def event(**fields: Any) -> bytes:
    return json.dumps(VIEW | fields).encode()


def rejected(value: bytes | None, record_ts: int = NOW, now: int = NOW) -> Rejected:
    with pytest.raises(Rejected) as caught:
        decode_event(value, record_ts, now)
    return caught.value


@pytest.mark.parametrize(
    ("value", "reason", "said"),
    [
        (None, RejectReason.NULL_VALUE, "no value"),
        (b"", RejectReason.NOT_JSON, "empty"),
        (b"hello", RejectReason.NOT_JSON, "JSON"),
        (b"{", RejectReason.NOT_JSON, "truncated"),
        (event() + b"x", RejectReason.NOT_JSON, "trailing"),
        (b"[]", RejectReason.INVALID, "expected object, got array"),
        (b'{"schema": {}, "payload": {"user_id": "u"}}', RejectReason.INVALID, "user_id"),
        (b'{"item_id": "i", "type": "view"}', RejectReason.INVALID, "user_id: this required"),
        (event(user_id=5), RejectReason.INVALID, "user_id: expected str, got int"),
        (event(user_id=""), RejectReason.INVALID, "user_id: expected str of length >= 1"),
        (event(item_id="i" * 257), RejectReason.INVALID, "item_id: expected str of length <= 256"),
        (event(type="teleport"), RejectReason.INVALID, "type: invalid enum value 'teleport'"),
        (event(type="teleport"), RejectReason.INVALID, "view, click, add_to_cart, purchase"),
        (event(value="5"), RejectReason.INVALID, "value: expected"),
        (event(value=math.nan), RejectReason.NOT_JSON, "NaN is not JSON"),
        (event(value=-math.inf), RejectReason.NOT_JSON, "Infinity is not JSON"),
        (event(value=1).replace(b": 1}", b": 1e400}"), RejectReason.INVALID, "value: number out"),
        (event(value=1e13), RejectReason.INVALID, "value: expected float <="),
        (event(position=-1), RejectReason.INVALID, "position: expected int >= 0"),
        (event(context={"a": [1]}), RejectReason.INVALID, "context[...]"),
        (event(context={str(n): 1 for n in range(129)}), RejectReason.INVALID, "context"),
        (event(user_id="a\0b"), RejectReason.INVALID, "user_id: holds a NUL"),
        (event(context={"a": "\0"}), RejectReason.INVALID, "context.a: holds a NUL"),
        (event(context={"\0": "a"}), RejectReason.INVALID, "context: holds a NUL"),
        (event(user_id="\ud800"), RejectReason.NOT_JSON, "surrogate"),
        (event(user_id="\ud800abcdefghi"), RejectReason.NOT_JSON, "surrogate"),
        (event(user_id="abc\udc00abcdef"), RejectReason.NOT_JSON, "surrogate"),
        (event(user_id="ü").decode().encode("utf-16"), RejectReason.NOT_JSON, "UTF-16"),
        (event(user_id="u").decode().encode("utf-16-le"), RejectReason.NOT_JSON, "UTF-16"),
        (event(user_id="u").decode().encode("utf-32-be"), RejectReason.NOT_JSON, "UTF"),
        (b'{"user_id": "\xfc", "item_id": "i"}', RejectReason.NOT_JSON, "Latin-1"),
        (b"\xef\xbb\xbf" + event(), RejectReason.NOT_JSON, "byte order mark"),
        (b"\x00\x00\x00\x00\x07" + event(), RejectReason.NOT_JSON, "schema registry"),
        (b'{"x": ' + b"[" * 100_000, RejectReason.INVALID, "nested too deeply"),
        (b'{"user_id": ' + b'{"a":' * 100_000, RejectReason.INVALID, "nested too deeply"),
        (b"[" * 100_000, RejectReason.INVALID, ""),
        (b" " * (MAX_MESSAGE_BYTES + 1), RejectReason.TOO_LARGE, "1,048,577 bytes"),
    ],
)
def test_bad_input_gets_a_reason_and_a_sentence(
    value: bytes | None, reason: RejectReason, said: str
) -> None:
    fault = rejected(value)
    assert fault.reason is reason, fault
    assert said in fault.detail


def picture(data: bytes, *, nulls: bool = False) -> bytes:
    fields = {"item_id": "i", "image": base64.b64encode(data).decode()}
    return json.dumps(fields | ({"title": None} if nulls else {})).encode()


@pytest.mark.parametrize(
    "begin", [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBP"]
)
@pytest.mark.parametrize("nulls", [False, True])
def test_a_picture_in_a_record_is_read(begin: bytes, nulls: bool) -> None:
    data = begin + b"\0" * (MAX_IMAGE_BYTES - len(begin))
    found = decode_item(picture(data, nulls=nulls), NOW, NOW)
    assert found.image == data
    assert decode_item(encode(found), NOW, NOW) == found


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (picture(b"<svg></svg>"), "image: this is no such file"),
        (picture(b"RIFF\0\0\0\0WAVE"), "image: this is no such file"),
        (picture(b"GIF89a" + b"\0" * MAX_IMAGE_BYTES), "image: expected bytes of length <= 524288"),
        (b'{"item_id": "i", "image": "data:image/png;base64,AAAA"}', "image: invalid base64"),
        (b'{"item_id": "i", "image": 5}', "image: expected"),
    ],
)
def test_what_is_no_picture_is_refused_and_it_is_said_what_to_send(value: bytes, said: str) -> None:
    with pytest.raises(Rejected) as caught:
        decode_item(value, NOW, NOW)
    assert caught.value.reason is RejectReason.INVALID
    assert said in caught.value.detail
    assert "a JPEG, PNG, WebP or GIF file of up to 512 KiB, as base64" in caught.value.detail


@pytest.mark.parametrize("empty", ["null", '""'])
def test_no_picture_is_no_fault(empty: str) -> None:
    assert not decode_item(f'{{"item_id": "i", "image": {empty}}}'.encode(), NOW, NOW).image


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    assert decode_event(event(user_id="\\u0000"), NOW, NOW).user_id == "\\u0000"


def test_an_unknown_field_may_hold_anything() -> None:
    for anything in (b"1e400", b'{"a": [[[]]]}', b'"\\u0000"', b"null", b"9" * 500):
        value = event()[:-1] + b', "x": ' + anything + b"}"
        assert decode_event(value, NOW, NOW) == Event("u", "i", EventType.VIEW, ts=NOW)


def test_the_largest_message_is_read() -> None:
    padding = MAX_MESSAGE_BYTES - len(event(x=""))
    assert decode_event(event(x="a" * padding), NOW, NOW).user_id == "u"


@pytest.mark.parametrize(
    ("ts", "said"),
    [
        (NOW // 1000, "looks like seconds; send milliseconds"),
        (NOW * 1000, "looks like microseconds"),
        (NOW * 1_000_000, "looks like nanoseconds"),
        (0, "before 1990 (1970-01-01)"),
        (-62_135_596_800_000, "before 1990 (0001-01-01)"),
        (-62_135_596_800_001, "before 1990"),
        ("0001-01-01T00:00:00Z", "before 1990 (0001-01-01)"),
        ("0001-01-01T00:00:00+23:59", "before 1990"),
        ("9999-12-31T23:59:59-23:59", "ahead of now"),
        ("9999-12-31T23:59:59Z", "ahead of now (9999-12-31)"),
        (EARLIEST_MS - 1, "before 1990 (1989-12-31)"),
        (NOW + MAX_AHEAD_MS + 1, "more than 5 minutes ahead of now"),
        (10**30, "ahead of now"),
        (-(10**600), "before 1990"),
    ],
)
def test_a_time_that_cannot_be_is_rejected(ts: int | str, said: str) -> None:
    fault = rejected(event(ts=ts))
    assert fault.reason is RejectReason.TIMESTAMP_OUT_OF_RANGE
    assert fault.detail.startswith("ts: ")
    assert said in fault.detail


@pytest.mark.parametrize("ts", [EARLIEST_MS, NOW, NOW + MAX_AHEAD_MS])
def test_a_time_at_the_edge_is_taken(ts: int) -> None:
    assert decode_event(event(ts=ts), NOW, NOW).ts == ts


@given(
    st.sampled_from(DECODERS),
    st.integers(EARLIEST_MS, NOW + MAX_AHEAD_MS),
    st.one_of(st.none(), st.integers(EARLIEST_MS, NOW + 10 * MAX_AHEAD_MS)),
    st.integers(0, 10**11),
)
def test_the_verdict_on_a_time_is_the_same_whenever_it_is_read(
    decode: Any, record_ts: int, ts: int | None, later_ms: int
) -> None:
    """Of a record that a broker took at `NOW`, which bounds how far ahead its timestamp lies."""
    value = json.dumps(VIEW | MINIMAL | ({} if ts is None else {"ts": ts})).encode()

    def verdict(now: int) -> object:
        try:
            return decode(value, record_ts, now)
        except Rejected as fault:
            return str(fault)

    assert verdict(NOW) == verdict(NOW + later_ms)


def test_a_time_later_than_its_record_is_rejected_also_when_it_has_come() -> None:
    ts, record_ts = NOW, NOW - MAX_AHEAD_MS - 1
    fault = rejected(event(ts=ts), record_ts=record_ts, now=NOW + MAX_AHEAD_MS)
    assert "later than its record's timestamp" in fault.detail
    assert decode_event(event(ts=ts), record_ts + 1, NOW).ts == ts


@pytest.mark.parametrize("record_ts", [-1, 0, EARLIEST_MS - 1])
def test_where_the_record_has_no_time_the_clock_judges(record_ts: int) -> None:
    assert decode_event(event(ts=NOW), record_ts, NOW).ts == NOW
    fault = rejected(event(ts=NOW + MAX_AHEAD_MS + 1), record_ts=record_ts)
    assert "more than 5 minutes ahead of now" in fault.detail


def test_what_no_broker_bounds_the_clock_does() -> None:
    ahead = NOW + MAX_RECORD_AHEAD_MS
    assert decode_event(event(), ahead, NOW).ts == ahead
    for value, record_ts in ((event(), ahead + 1), (event(ts=ahead + 1), ahead * 2)):
        assert "more than 2 hours ahead of now" in rejected(value, record_ts=record_ts).detail


@pytest.mark.parametrize(
    ("ts", "said"),
    [
        ("yesterday", "not an instant"),
        ("", "not an instant"),
        ("2026-01-01", "not an instant"),
        ("20260101T000000Z", "not an instant"),
        ("2026-02-30T00:00:00Z", "not an instant"),
        ("0000-01-01T00:00:00Z", "not an instant"),
        ("2026-01-01T00:00:00", "names no zone"),
        ("1767225600000", "a number in quotes"),
        ("٢٠٢٦", "a number in quotes"),
        (1767225600000.5, "got float"),
        (True, "got bool"),
    ],
)
def test_a_time_in_no_known_form_says_which_there_are(ts: object, said: str) -> None:
    fault = rejected(event(ts=ts))
    assert fault.reason is RejectReason.INVALID
    assert said in fault.detail
    assert fault.detail.startswith("ts: ")


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-01-01T00:00:00Z", NOW),
        ("2026-01-01t00:00:00z", NOW),
        ("2026-01-01 00:00:00.1239999999Z", NOW + 123),
        ("2026-01-01T05:30:00+05:30", NOW),
        ("2025-12-31T23:00:00.000001-01:00", NOW),
        ("2025-12-31T23:59:60Z", NOW),
    ],
)
def test_a_time_as_text_is_read(text: str, ms: int) -> None:
    assert decode_event(event(ts=text), 0, NOW).ts == ms


@given(
    st.integers(EARLIEST_MS, NOW),
    st.integers(-23 * 60, 23 * 60).map(lambda m: timedelta(minutes=m)),
)
def test_both_forms_of_a_time_mean_the_same(ms: int, offset: timedelta) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    text = moment.astimezone(timezone(offset)).isoformat()
    assert decode_event(event(ts=text), 0, NOW).ts == ms
    assert decode_event(event(ts=ms), 0, NOW).ts == ms


def test_without_a_time_the_record_s_own_counts() -> None:
    assert decode_event(event(), NOW - 5, NOW).ts == NOW - 5
    assert decode_item(b'{"item_id": "i"}', NOW - 5, NOW).ts == NOW - 5
    fault = rejected(event(), record_ts=-1)
    assert fault.reason is RejectReason.TIMESTAMP_OUT_OF_RANGE
    assert "the record's own timestamp" in fault.detail


def test_a_null_in_a_list_is_not_the_same_as_leaving_it_out() -> None:
    with pytest.raises(Rejected) as caught:
        decode_item(b'{"item_id": "i", "categories": [null], "title": null}', NOW, NOW)
    assert "categories[0]" in caught.value.detail


@pytest.mark.parametrize("decode", [decode_item, decode_rule, decode_editorial, decode_profile])
def test_null_written_out_is_told_how_to_delete(
    decode: Callable[[bytes | None, int, int], object],
) -> None:
    with pytest.raises(Rejected) as caught:
        decode(b" null\n", NOW, NOW)
    assert "got null; send " in caught.value.detail
    assert caught.value.detail.endswith("; to delete, send a record without a value")
    assert "to delete" not in rejected(b"null").detail


def test_a_request_for_too_many_says_how_many_there_may_be() -> None:
    with pytest.raises(Rejected) as caught:
        decode_request(b'{"user_id": "u", "n": 1000}', NOW, NOW)
    assert "n: expected int <= 100" in caught.value.detail


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "boost", "categories": ["a"]}, "kind boost needs factor"),
        ({"kind": "boost", "factor": 2}, "needs categories or where"),
        ({"kind": "ban", "categories": ["a"], "factor": 2}, "kind ban has no factor"),
        ({"kind": "bury"}, "send boost (raise or lower"),
        ({"kind": "cap", "at_most": 0}, "at_most: expected int >= 1"),
        ({"kind": "diversity", "strength": 2}, "strength: expected float <= 1"),
        ({"kind": "diversity", "strength": 1, "categories": ["a"]}, "it holds for all lists"),
        ({"kind": "ban", "where": [{"attribute": "p"}]}, "'p' needs equals, or at_least"),
        (
            {"kind": "ban", "where": [{"attribute": "p", "at_least": 2, "at_most": 1}]},
            "at least 2 and at most 1",
        ),
    ],
)
def test_a_rule_that_cannot_be_says_what_it_needs(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(Rejected) as caught:
        decode_rule(json.dumps({"rule_id": "r"} | fields).encode(), NOW, NOW)
    assert caught.value.reason is RejectReason.INVALID
    assert said in caught.value.detail


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"items": []}, "items: expected array of length >= 1"),
        ({"items": [{"item_id": "i", "weight": 0}]}, "items[0].weight: expected float > 0"),
        ({"valid_from": NOW // 1000}, "lies outside of 1990 to 9999; send whole milliseconds"),
        ({"valid_until": "2026-02-01"}, "valid_until: '2026-02-01' is not an instant; send"),
        ({"valid_from": "2026-02-01T00:00:00"}, 'names no zone; end it in "Z"'),
        ({"valid_from": "1989-12-31T00:00:00Z"}, "lies outside of 1990 to 9999"),
        ({"valid_from": NOW, "valid_until": NOW}, "valid_until must be later"),
    ],
)
def test_an_editor_s_list_that_cannot_be_says_why(fields: dict[str, Any], said: str) -> None:
    value = {"name": "n", "items": [{"item_id": "i"}]} | fields
    with pytest.raises(Rejected) as caught:
        decode_editorial(json.dumps(value).encode(), NOW, NOW)
    assert said in caught.value.detail


def test_a_request_names_its_categories_once() -> None:
    asked = {"user_id": "u", "categories": ["a"], "filters": {"any": ["b"]}}
    with pytest.raises(Rejected, match=r"short for filters\.any"):
        decode_request(json.dumps(asked).encode(), NOW, NOW)


def test_a_long_answer_is_cut() -> None:
    assert len(rejected(event(type="x" * 500_000)).detail) < MAX_REJECTION_CHARS


ids = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).map(
    lambda text: text[:256]
)
numbers = st.floats(-1e12, 1e12)
details = st.dictionaries(ids.map(lambda text: text[:128]), ids | numbers | st.booleans())
times = st.integers(EARLIEST_MS, NOW)


@given(
    st.builds(
        Event,
        ids,
        ids,
        st.sampled_from(EventType),
        st.none() | numbers,
        times,
        st.none() | ids,
        st.none() | ids,
        st.none() | st.integers(0, 1000),
        st.none() | details,
    )
)
def test_an_event_comes_back_as_it_was_sent(sent: Event) -> None:
    assert decode_event(encode(sent), 0, NOW) == sent


@given(st.builds(Item, ids, ids, ids, st.lists(ids), details, st.booleans(), times))
def test_an_item_comes_back_as_it_was_sent(sent: Item) -> None:
    assert decode_item(encode(sent), 0, NOW) == sent


@given(
    st.builds(
        Request,
        ids,
        st.none() | ids,
        st.integers(1, 100),
        st.lists(ids),
        st.lists(ids),
        st.lists(ids),
        times,
    )
)
def test_a_request_comes_back_as_it_was_sent(sent: Request) -> None:
    assert decode_request(encode(sent), 0, NOW) == sent


@given(st.builds(Erasure, ids, times))
def test_an_erasure_comes_back_as_it_was_sent(sent: Erasure) -> None:
    assert decode_erasure(encode(sent), 0, NOW) == sent


def read_by_all(value: bytes | None) -> None:
    """Every decoder gives a message, or a rejection that says something."""
    said = ["taken"]
    for decode in (*DECODERS, lambda value, *_clocks: decode_recommendation(value)):
        try:
            decode(value, NOW, NOW)
        except Rejected as fault:
            said.append(fault.detail)
    assert all(0 < len(detail) <= MAX_REJECTION_CHARS for detail in said)


@given(st.none() | st.binary())
def test_any_bytes_are_read_or_rejected(value: bytes | None) -> None:
    read_by_all(value)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([*EventType, "2026-01-01T00:00:00Z", "\ud800", "\0", 10**400]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
names = st.sampled_from(
    sorted({*Event.__struct_fields__, *Item.__struct_fields__, *Request.__struct_fields__})
)


@given(st.dictionaries(names | st.text(), json_values), st.booleans())
def test_any_json_is_read_or_rejected(fields: dict[str, object], ascii_only: bool) -> None:
    text = json.dumps(fields, ensure_ascii=ascii_only)
    read_by_all(text.encode(errors="surrogatepass"))


@given(st.data())
def test_a_mutated_event_is_read_or_rejected(data: st.DataObject) -> None:
    value = bytearray(event(ts=NOW, value=4.5, context={"a": "\u00fc", "b": True}))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(value) - 1))
        value[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        if not value:
            break
    read_by_all(bytes(value))
