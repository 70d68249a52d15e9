"""Look at the rules that hold, set them, end them: records on the compacted topic `rules`."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from rich.console import Console
from rich.table import Table

from schemas import Condition, Rejected, Rule, decode_rule, encode
from streams.catalogue import key_text
from streams.kafka import client_options
from streams.settings import Settings
from streams.topics import ensure_topics

_SHOWN_FIELDS, _SHOWN_CHARS = 10, 40


class RuleError(ValueError):
    """The rules cannot be set or ended so; the text says why and what to do."""


def run_list(settings: Settings, *, as_lines: bool, out: Console) -> None:
    """Print every rule that holds: a table, or lines of JSON that `run_set` reads."""
    rules = asyncio.run(_standing(settings))
    if as_lines:
        for _, rule in sorted(rules.items()):
            out.file.write(encode(rule).decode() + "\n")
        return
    table = Table("rule", "kind", "items", "how much", title_justify="left")
    for name, rule in sorted(rules.items()):
        amounts = (rule.factor, rule.at_most, rule.strength)
        amount = next((f"{amount:g}" for amount in amounts if amount is not None), "")
        meant = [*([" or ".join(rule.categories)] if rule.categories else [])]
        meant += [_in_words(condition) for condition in rule.where]
        table.add_row(name, rule.kind.value, " and ".join(meant) or "all", amount)
    out.print(table if rules else "No rules.")


def run_set(settings: Settings, file: Path) -> list[str]:
    """Produce the rules of a file; their ids.

    Raises:
        RuleError: it cannot be read, or one of them is none; nothing has been set then.
    """
    rules = read_rules(file)
    asyncio.run(_produce(settings, {rule.rule_id: encode(rule) for rule in rules}))
    return [rule.rule_id for rule in rules]


def run_delete(settings: Settings, names: Sequence[str]) -> None:
    """End rules.

    Raises:
        RuleError: there is no such rule; nothing has been ended then.
    """
    standing = asyncio.run(_standing(settings))
    for name in names:
        if name not in standing:
            raise RuleError(
                f"there is no rule {name!r}; `freshet rules list` shows those there are"
            )
    asyncio.run(_produce(settings, dict.fromkeys(names)))


def read_rules(file: Path) -> list[Rule]:
    """The rules of a file: one JSON object, a list of them, or one a line.

    Raises:
        RuleError: it cannot be read, or one of them is none, or has fields that rules do not have.
    """
    try:
        value = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as fault:
        raise RuleError(f"cannot read {file} ({fault.strerror}); check the path") from None
    try:
        found = msgspec.json.decode(value)
        parts = (
            [msgspec.json.encode(part) for part in found] if isinstance(found, list) else [value]
        )
    except (msgspec.DecodeError, UnicodeDecodeError):
        parts = [line for line in value.splitlines() if line.strip()]
    now_ms = int(time.time() * 1000)
    rules: list[Rule] = []
    for number, part in enumerate(parts, start=1):
        # First, as a name that was mistyped may be why another is missed.
        if unknown := _unknown_fields(part):
            raise RuleError(f"{file}, rule {number}: {unknown}")
        try:
            rules.append(decode_rule(part, now_ms, now_ms))
        except Rejected as fault:
            raise RuleError(f"{file}, rule {number}: {fault.detail}") from None
    if not rules:
        raise RuleError(f"{file} holds no rule; docs/rules.md shows some")
    return rules


def _unknown_fields(part: bytes) -> str:
    """A sentence about the fields that a rule, or a condition of it, does not have; empty where it
    has them all. On the topic they are ignored, so that producers may be newer than workers."""
    try:
        fields = msgspec.json.decode(part)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    where = fields.get("where") if isinstance(fields, dict) else None
    conditions = where if isinstance(where, list) else []
    kinds: list[tuple[str, object, type[msgspec.Struct]]] = [
        ("", fields, Rule),
        *((f"where[{k}].", c, Condition) for k, c in enumerate(conditions)),
    ]
    for path, given, kind in kinds:
        known = kind.__struct_encode_fields__
        if isinstance(given, dict) and (unknown := [name for name in given if name not in known]):
            named = ", ".join(path + name[:_SHOWN_CHARS] for name in unknown[:_SHOWN_FIELDS])
            return f"there is no field {named}; known are {', '.join(known)}"
    return ""


def _in_words(condition: Condition) -> str:
    name, low, high = condition.attribute, condition.at_least, condition.at_most
    if condition.equals is not None:
        return f"{name} = {condition.equals}"
    bounds = ((" ≥ ", low), (" ≤ ", high))
    return " and ".join(f"{name}{sign}{to:g}" for sign, to in bounds if to is not None)


async def _standing(settings: Settings) -> dict[str, Rule]:
    await ensure_topics(settings)
    consumer = AIOKafkaConsumer(
        settings.topic("rules"),
        **client_options(settings),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
    )
    await consumer.start()
    rules: dict[str, Rule] = {}
    now_ms = int(time.time() * 1000)
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    key = key_text(record) or ""
                    if record.value is None:
                        rules.pop(key, None)
                        continue
                    with suppress(Rejected):
                        rule = decode_rule(record.value, record.timestamp, now_ms)
                        if rule.rule_id == key:
                            rules[key] = rule
    finally:
        await consumer.stop()
    return rules


async def _produce(settings: Settings, values: Mapping[str, bytes | None]) -> None:
    await ensure_topics(settings)
    producer = AIOKafkaProducer(**client_options(settings), acks="all", linger_ms=0)
    await producer.start()
    try:
        for name, value in values.items():
            await producer.send_and_wait(settings.topic("rules"), value=value, key=name.encode())
    finally:
        await producer.stop()
