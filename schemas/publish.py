"""The published JSON Schema of each message: `python -m schemas.publish` writes `schemas/json/`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from schemas.editorial import Editorial
from schemas.erasure import Erasure
from schemas.event import Event
from schemas.item import Item
from schemas.profile import Profile
from schemas.recommendation import Recommendation
from schemas.request import Request
from schemas.rule import Rule

FOLDER = Path(__file__).with_name("json")

#: Raised when a message changes such that old readers would fail; see EVOLUTION.md.
VERSION = 1

_READ = (Event, Item, Request, Erasure, Rule, Editorial, Profile)
_WRITTEN = (Recommendation,)


def main() -> None:
    """Write every schema."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in published().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def published() -> dict[str, str]:
    """File name → its text, for every message."""
    texts = {}
    for kind in (*_READ, *_WRITTEN):
        schema = _schema(kind, lenient=kind in _READ)
        name = f"{kind.__name__.lower()}.schema.json"
        texts[name] = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    return texts


def _schema(kind: type[msgspec.Struct], *, lenient: bool) -> dict[str, Any]:
    """JSON Schema 2020-12 of one message; lenient ones may have null for what is optional."""
    parts: dict[str, Any] = msgspec.json.schema(kind)["$defs"]
    itself = parts.pop(kind.__name__)
    if lenient:
        itself["properties"] = {
            name: field if name in itself.get("required", ()) else _or_null(field)
            for name, field in itself["properties"].items()
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:freshet:{kind.__name__.lower()}:{VERSION}",
        **itself,
        **({"$defs": parts} if parts else {}),
    }


def _or_null(field: dict[str, Any]) -> dict[str, Any]:
    if {"type": "null"} in field.get("anyOf", ()):
        return field
    form = dict(field)
    about: dict[str, Any] = {
        key: form.pop(key) for key in ("description", "default") if key in form
    }
    return {**about, "anyOf": [form, {"type": "null"}]}


if __name__ == "__main__":
    main()
