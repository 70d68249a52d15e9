"""Every setting in a table: for `freshet settings`, and for `docs/settings.md`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

from pydantic import SecretStr
from pydantic_core import PydanticUndefined
from rich.table import Table

from models.settings import EngineSettings
from streams.settings import Settings


class Row(NamedTuple):
    """One setting."""

    name: str
    variable: str
    default: str
    meaning: str


def rows() -> Iterator[Row]:
    """All settings in the order they are defined, the engine's last."""
    for name, field in Settings.model_fields.items():
        if name == "engine":
            continue
        default = "" if field.default is PydanticUndefined else _text(field.default)
        if name == "cache_dir":
            default = "the user's cache folder"
        elif name == "data_dir":
            default = "the user's data folder"
        yield Row(name, f"FRESHET_{name.upper()}", default, field.description or "")
    for option in dataclasses.fields(EngineSettings):
        yield Row(
            f"engine.{option.name}",
            f"FRESHET_ENGINE__{option.name.upper()}",
            _text(option.default),
            str(option.metadata.get("doc", "")),
        )


def as_markdown() -> str:
    """`docs/settings.md`."""
    lines = [
        "# Settings",
        "",
        "Written by `freshet settings --markdown`; the words stand beside each setting in",
        "`streams/settings.py` and `models/settings.py`.",
        "",
        "A value comes from the variable, from a TOML file (`--config FILE`, where `engine.`",
        "settings stand under `[engine]`), or from the command line (`--set NAME=VALUE`), each",
        "overriding the one before.",
        "",
        "| setting | variable | default | meaning |",
        "|---|---|---|---|",
    ]
    for row in rows():
        default = f"`{row.default}`" if row.default else ""
        lines.append(f"| `{row.name}` | `{row.variable}` | {default} | {row.meaning} |")
    return "\n".join(lines) + "\n"


def as_table(settings: Settings) -> Table:
    """What holds here and now."""
    table = Table(title="Settings", title_justify="left")
    for heading in ("setting", "value here", "meaning"):
        table.add_column(heading, overflow="fold")
    for row in rows():
        owner: object = settings
        for part in row.name.split("."):
            owner = getattr(owner, part)
        table.add_row(row.name, _text(owner), row.meaning)
    return table


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return "***" if isinstance(value, SecretStr) else str(value)
