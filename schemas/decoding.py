"""From a record's value to a message, or to a rejection that says what to send instead.

The rules for every topic: UTF-8 JSON, one object; unknown fields are ignored; an optional field may
be left out or null; nothing is converted in silence ("5" is no number).
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec
from msgspec.structs import force_setattr

from schemas.editorial import Editorial
from schemas.erasure import Erasure
from schemas.event import Event
from schemas.item import Item, is_picture
from schemas.limits import MAX_MESSAGE_BYTES
from schemas.profile import Profile
from schemas.recommendation import Recommendation
from schemas.rejection import Rejected, RejectReason
from schemas.request import Request
from schemas.rule import Rule
from schemas.timestamps import check_dated, check_record, instant


def decode_event(value: bytes | None, record_ts_ms: int, now_ms: int) -> Event:
    """The event in a record's value.

    record_ts_ms  the record's timestamp in ms: the event's own where it names none, and what it may
                  not be much later than
    now_ms        the clock, in ms, for what that leaves without a bound

    Raises:
        Rejected: with the reason, the field, and what to send instead.
    """
    return _decode_dated(_EVENT, value, record_ts_ms, now_ms)


def decode_item(value: bytes | None, record_ts_ms: int, now_ms: int) -> Item:
    """The item in a record's value; arguments and errors as in `decode_event`.

    That a null value deletes an item is for the caller to know: here it is rejected.
    """
    item = _decode_dated(_ITEM, value, record_ts_ms, now_ms)
    if item.image and not is_picture(item.image):
        hint = _ITEM.hints["image"]
        raise Rejected(RejectReason.INVALID, f"image: this is no such file; send {hint}")
    return item


def decode_request(value: bytes | None, record_ts_ms: int, now_ms: int) -> Request:
    """The request in a record's value; arguments and errors as in `decode_event`."""
    return _decode_dated(_REQUEST, value, record_ts_ms, now_ms)


def decode_erasure(value: bytes | None, record_ts_ms: int, now_ms: int) -> Erasure:
    """The erasure in a record's value; arguments and errors as in `decode_event`."""
    return _decode_dated(_ERASURE, value, record_ts_ms, now_ms)


def decode_rule(value: bytes | None, record_ts_ms: int, now_ms: int) -> Rule:
    """The rule in a record's value; a null value as in `decode_item`."""
    return _decode_dated(_RULE, value, record_ts_ms, now_ms)


def decode_editorial(value: bytes | None, record_ts_ms: int, now_ms: int) -> Editorial:
    """The editor's list in a record's value; a null value as in `decode_item`."""
    return _decode_dated(_EDITORIAL, value, record_ts_ms, now_ms)


def decode_profile(value: bytes | None, record_ts_ms: int, now_ms: int) -> Profile:
    """The profile in a record's value; a null value as in `decode_item`."""
    return _decode_dated(_PROFILE, value, record_ts_ms, now_ms)


def decode_recommendation(value: bytes | None) -> Recommendation:
    """The recommendation in a record's value; errors as in `decode_event`."""
    return _decode(_RECOMMENDATION, value)


def encode(
    message: Event | Item | Request | Erasure | Rule | Editorial | Profile | Recommendation,
) -> bytes:
    """The value of a record that carries `message`: compact UTF-8 JSON."""
    return _ENCODER.encode(message)


M = TypeVar("M")
D = TypeVar("D", Event, Item, Request, Erasure, Rule, Editorial, Profile)


class _Form(Generic[M]):
    """A kind of message and its reader.

    kept  whether the newest of each key stands until a record without a value deletes it
    """

    __slots__ = ("decode", "hints", "kept", "kind", "name")

    def __init__(self, kind: type[M], name: str, *, kept: bool = False) -> None:
        self.kind = kind
        self.name = name
        self.kept = kept
        self.decode = msgspec.json.Decoder(kind).decode
        schema = msgspec.json.schema(kind)["$defs"][kind.__name__]
        self.hints: dict[str, str] = {
            field: described["description"]
            for field, described in schema["properties"].items()
            if "description" in described
        }


_EVENT = _Form(Event, "an event")
_ITEM = _Form(Item, "an item", kept=True)
_REQUEST = _Form(Request, "a request")
_ERASURE = _Form(Erasure, "an erasure")
_RULE = _Form(Rule, "a rule", kept=True)
_EDITORIAL = _Form(Editorial, "an editor's list", kept=True)
_PROFILE = _Form(Profile, "a profile", kept=True)
_RECOMMENDATION = _Form(Recommendation, "a recommendation")
_ENCODER = msgspec.json.Encoder()

_MAX_SAID_CHARS = 500


def _decode_dated(form: _Form[D], value: bytes | None, record_ts_ms: int, now_ms: int) -> D:
    message = _decode(form, value)
    ts: object = message.ts
    if type(ts) is int:
        check_dated(ts, record_ts_ms, now_ms)
    else:
        # The message is frozen for everybody else; this is still its making.
        if isinstance(ts, str):
            force_setattr(message, "ts", instant(ts))
            check_dated(message.ts, record_ts_ms, now_ms)
        else:
            force_setattr(message, "ts", record_ts_ms)
            check_record(record_ts_ms, now_ms)
    return message


def _decode(form: _Form[M], value: bytes | None) -> M:
    if value is None:
        raise Rejected(
            RejectReason.NULL_VALUE, f"the record has no value; send {form.name} as JSON"
        )
    if len(value) > MAX_MESSAGE_BYTES:
        raise Rejected(
            RejectReason.TOO_LARGE,
            f"{len(value):,} bytes; at most {MAX_MESSAGE_BYTES:,} are read, so send less in one "
            "record",
        )
    try:
        message = form.decode(value)
    except msgspec.ValidationError as fault:
        message = _without_nulls(form, value, fault)
    except RecursionError:
        raise _nested(form) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise Rejected(RejectReason.NOT_JSON, _not_json(form, value, fault)) from None
    if b"\\u0000" in value and (field := _with_nul(msgspec.to_builtins(message))):
        raise Rejected(
            RejectReason.INVALID,
            f"{field}: holds a NUL character (\\u0000), which is in no text; remove it",
        )
    return message


def _without_nulls(form: _Form[M], value: bytes, fault: msgspec.ValidationError) -> M:
    """Many serialisers write null for what is not there: read it so, or explain the fault."""
    try:
        fields = msgspec.json.decode(value)
    except RecursionError:
        raise _nested(form) from None
    except msgspec.ValidationError:  # a number too large for any type; the fault names it
        fields = None
    except (msgspec.DecodeError, UnicodeDecodeError) as broken:
        raise Rejected(RejectReason.NOT_JSON, _not_json(form, value, broken)) from None
    if isinstance(fields, dict) and None in fields.values():
        fields = {name: part for name, part in fields.items() if part is not None}
        try:
            return msgspec.convert(fields, form.kind)
        except msgspec.ValidationError as clearer:
            fault = clearer
    raise Rejected(RejectReason.INVALID, _invalid(form, value, fault)) from None


def _nested(form: _Form[M]) -> Rejected:
    return Rejected(RejectReason.INVALID, f"nested too deeply; {form.name} is one flat object")


def _invalid(form: _Form[M], value: bytes, fault: msgspec.ValidationError) -> str:
    what, _, path = str(fault).replace("`", "").partition(" - at ")
    path = path.removeprefix("$").removeprefix(".")
    if what.startswith("Object missing required field ") and not path:
        path = what.removeprefix("Object missing required field ")
        what = "this required field is missing"
    if not path:
        more = '; send what is in "payload" alone' if b'"payload"' in value else ""
        if form.kept and value.strip() == b"null":
            more = "; to delete, send a record without a value"
        return f"{what[0].lower()}{what[1:]}; send {form.name} as one JSON object{more}"
    hint = form.hints.get(path.replace("[", ".").split(".")[0])
    said = f"{path}: {what[0].lower()}{what[1:]}"[:_MAX_SAID_CHARS]
    return f"{said}; send {hint}" if hint else said


def _not_json(form: _Form[M], value: bytes, fault: Exception) -> str:
    if not value.strip():
        return f"the value is empty; send {form.name} as JSON"
    if value.startswith(b"\xef\xbb\xbf"):
        return "starts with a byte order mark; send UTF-8 without one"
    if value.startswith((b"\xff\xfe", b"\xfe\xff")) or (
        b"\x00" in value[:4] and value.replace(b"\x00", b"").startswith(b"{")
    ):
        return "looks like UTF-16 or UTF-32; send UTF-8"
    if value.startswith(b"\x00"):
        return "starts with a zero byte, like a schema registry's framing or Avro; send plain JSON"
    if isinstance(fault, UnicodeDecodeError):
        return f"is not UTF-8 ({fault.reason}); looks like Latin-1 or cut text, send UTF-8"
    for word in (b"NaN", b"Infinity"):
        if word in value:
            return f"{word.decode()} is not JSON; leave the field out where there is no number"
    if b"\\ud" in value.lower() and "truncated" in str(fault):
        return "holds half of a surrogate pair (\\ud800 to \\udfff); send whole characters"
    return f"{str(fault)[:200]}; send {form.name} as one JSON object in UTF-8"


def _with_nul(part: object, path: str = "") -> str | None:
    """The path of the first text with a NUL in it."""
    if isinstance(part, str):
        return path if "\x00" in part else None
    if isinstance(part, dict):
        for name, inner in part.items():
            if "\x00" in name:
                return f"a name in {path}"
            if found := _with_nul(inner, f"{path}.{name}".lstrip(".")):
                return found
    elif isinstance(part, list):
        for place, inner in enumerate(part):
            if found := _with_nul(inner, f"{path}[{place}]"):
                return found
    return None
