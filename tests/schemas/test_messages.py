"""Messages of the past and of the future are read, and the published JSON Schema agrees."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas import (
    Because,
    Cause,
    Condition,
    Editorial,
    Erasure,
    Event,
    EventType,
    Filters,
    Item,
    Pick,
    Profile,
    Reason,
    Recommendation,
    RecommendedItem,
    Request,
    Rule,
    RuleKind,
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
from schemas.publish import FOLDER, published

T0 = 1_767_225_600_000
STORED = sorted(Path(__file__).with_name("messages").glob("*.json"))
RECORD_TS = T0 + 7

Message = Event | Item | Request | Erasure | Rule | Editorial | Profile | Recommendation

DECODE: dict[str, Callable[[bytes], Message]] = {
    "event": lambda value: decode_event(value, RECORD_TS, T0),
    "item": lambda value: decode_item(value, RECORD_TS, T0),
    "request": lambda value: decode_request(value, RECORD_TS, T0),
    "rule": lambda value: decode_rule(value, RECORD_TS, T0),
    "editorial": lambda value: decode_editorial(value, RECORD_TS, T0),
    "profile": lambda value: decode_profile(value, RECORD_TS, T0),
    "erasure": lambda value: decode_erasure(value, RECORD_TS, T0),
    "recommendation": decode_recommendation,
}

#: One pixel, as a PNG file.
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)

KETTLE = Item(
    "sku-204",
    "Enamel kettle",
    "Two litres, whistles.",
    ["kitchen", "tea"],
    {"colour": "blue", "litres": 2.0, "new": False},
    False,
    T0,
)
READ: dict[str, Message] = {
    "event.present": Event(
        "u-17",
        "sku-204",
        EventType.RATING,
        4.5,
        T0,
        "7f3c",
        "events-2-4711",
        3,
        {"device": "phone", "basket": 2.0, "member": True},
    ),
    "event.minimal": Event("u-17", "sku-204", EventType.VIEW, ts=RECORD_TS),
    "event.text-ts": Event("u-17", "sku-204", EventType.CLICK, ts=T0 + 500),
    "event.nulls": Event("u-17", "sku-204", EventType.PURCHASE, ts=RECORD_TS),
    "event.future": Event("u-17", "sku-204", EventType.VIEW, ts=T0),
    "item.present": KETTLE,
    "item.minimal": Item("sku-204", ts=RECORD_TS),
    "item.nulls": Item("sku-204", ts=RECORD_TS),
    "item.future": Item("sku-204", "Enamel kettle", ts=RECORD_TS),
    "item.image": Item(
        "sku-204", "Enamel kettle", ts=RECORD_TS, image_url="https://shop.example/204.jpg"
    ),
    "item.own-image": Item("sku-205", "Tin kettle", ts=RECORD_TS, image=PIXEL),
    "request.present": Request("u-17", "r-1", 5, ["tea"], ["sku-1"], ["sku-2", "sku-3"], T0),
    "request.minimal": Request("u-17", ts=RECORD_TS),
    "request.future": Request("u-17", n=20, ts=RECORD_TS, query="something for tea"),
    "request.filters": Request(
        "u-17",
        ts=T0,
        filters=Filters(
            ["tea"],
            ["kitchen"],
            ["toys"],
            [Condition("litres", at_least=1.0, at_most=2.5), Condition("new", equals=False)],
        ),
        query="something for a cold evening",
        session_id="s-1",
    ),
    "rule.boost": Rule(
        "lift-new-tea",
        RuleKind.BOOST,
        ["tea"],
        [Condition("new", equals=True)],
        factor=2.0,
        ts=T0,
    ),
    "rule.minimal": Rule("calm", RuleKind.DIVERSITY, strength=0.25, ts=RECORD_TS),
    "rule.future": Rule("two-of-each", RuleKind.CAP, at_most=2, ts=RECORD_TS),
    "rule.nulls": Rule("no-toys", RuleKind.BAN, ["toys"], ts=RECORD_TS),
    "editorial.present": Editorial(
        "Winter", [Pick("sku-204", 3.0), Pick("sku-9")], T0, T0 + 86_400_000, T0
    ),
    "editorial.text-valid": Editorial(
        "Winter", [Pick("sku-204", 3.0), Pick("sku-9")], T0, T0 + 86_400_000, T0
    ),
    "editorial.minimal": Editorial("Winter", [Pick("sku-9")], ts=RECORD_TS),
    "editorial.future": Editorial("Winter", [Pick("sku-9")], ts=RECORD_TS),
    "profile.present": Profile(
        "u-17",
        "DE",
        "25-34",
        ["tea", "jazz"],
        {"plan": "plus", "seats": 2.0, "member": True},
        T0,
    ),
    "profile.minimal": Profile("u-17", ts=RECORD_TS),
    "profile.nulls": Profile("u-17", ts=RECORD_TS),
    "profile.future": Profile("u-17", "DE", ts=RECORD_TS),
    "erasure.present": Erasure("u-17", T0),
    "erasure.minimal": Erasure("u-17", RECORD_TS),
    "erasure.future": Erasure("u-17", RECORD_TS),
    "recommendation.present": Recommendation(
        "events-2-4711",
        "u-17",
        T0,
        [
            RecommendedItem(
                "sku-9",
                1.25,
                Reason(
                    "covisitation",
                    0.75,
                    [Because("sku-204", 1.0)],
                    "Taken together with Enamel kettle.",
                ),
            ),
            RecommendedItem("sku-10", -0.5),
        ],
        Cause("events", 2, 4711, "7f3c"),
        "1-141695",
    ),
    "recommendation.minimal": Recommendation("events-2-4711", "u-17", T0, []),
    "recommendation.future": Recommendation(
        "events-2-4711",
        "u-17",
        T0,
        [RecommendedItem("sku-9", 1.25)],
        Cause("events", 2, 4711),
        "3-9",
        "b",
    ),
}


def validator(message: str) -> Draft202012Validator:
    schema: dict[str, Any] = json.loads((FOLDER / f"{message}.schema.json").read_bytes())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_every_stored_message_is_expected_to_mean_something() -> None:
    assert {path.stem for path in STORED} == set(READ)


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_a_stored_message_means_today_what_it_meant(path: Path) -> None:
    assert DECODE[path.stem.split(".")[0]](path.read_bytes()) == READ[path.stem]


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_a_stored_message_is_valid_by_the_published_schema(path: Path) -> None:
    validator(path.stem.split(".")[0]).validate(json.loads(path.read_bytes()))


@pytest.mark.parametrize("name", sorted(READ))
def test_what_is_encoded_is_valid_by_the_published_schema_and_reads_back(name: str) -> None:
    kind, message = name.split(".")[0], READ[name]
    written = encode(message)
    validator(kind).validate(json.loads(written))
    assert DECODE[kind](written) == message


@pytest.mark.parametrize(
    "wrong",
    [
        {"item_id": "i", "type": "view"},
        {"user_id": "", "item_id": "i", "type": "view"},
        {"user_id": "u", "item_id": "i", "type": "teleport"},
        {"user_id": "u", "item_id": "i", "type": "view", "ts": 1_700_000_000},
        {"user_id": "u", "item_id": "i", "type": "view", "value": "5"},
        {"user_id": "u" * 257, "item_id": "i", "type": "view"},
        {"user_id": "u", "item_id": "i", "type": "view", "position": -1},
    ],
)
def test_the_published_schema_refuses_what_a_worker_would_refuse(wrong: dict[str, object]) -> None:
    assert not validator("event").is_valid(wrong)


def test_the_published_schemas_are_current() -> None:
    stored = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert stored == published(), "run python -m schemas.publish"


def test_each_schema_has_a_name_of_its_own() -> None:
    ids = {json.loads(text)["$id"] for text in published().values()}
    assert ids == {
        f"urn:freshet:{name}:1"
        for name in (
            "event",
            "item",
            "request",
            "erasure",
            "rule",
            "editorial",
            "profile",
            "recommendation",
        )
    }


def test_every_field_that_is_read_says_what_it_is() -> None:
    for name in ("event", "item", "request", "erasure", "rule", "editorial", "profile"):
        schema = json.loads(published()[f"{name}.schema.json"])
        assert all(field.get("description") for field in schema["properties"].values())


def test_reading_messages_loads_no_kafka() -> None:
    code = "import sys, schemas; sys.exit(bool({'faust', 'aiokafka'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
