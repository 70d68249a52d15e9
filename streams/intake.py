"""From records to messages: what can be read goes on, what cannot becomes a dead letter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, NamedTuple, TypeVar

from aiokafka import ConsumerRecord

from schemas import Rejected
from streams.dead_letters import build
from streams.metrics import Metrics
from streams.publisher import Outgoing

M = TypeVar("M")

#: (value, record timestamp in ms, now in ms) → message; raises `Rejected`.
Decode = Callable[[bytes | None, int, int], M]


class Taken(NamedTuple, Generic[M]):
    """One message and the record that carried it."""

    record: ConsumerRecord
    message: M


def readable(records: Sequence[ConsumerRecord], decode: Decode[M], now_ms: int) -> list[Taken[M]]:
    """What can be decoded, in order; the rest is the business of the worker who serves it."""
    taken: list[Taken[M]] = []
    for record in records:
        with suppress(Rejected):
            taken.append(Taken(record, decode(record.value, record.timestamp, now_ms)))
    return taken


class Intake:
    """Sorts records; every dead letter it makes is counted.

    room  bytes of a record that a dead letter can carry (`topics.dead_letter_room`)
    """

    def __init__(self, room: int, metrics: Metrics) -> None:
        self._room = room
        self._counts = metrics.dead_letters

    def take(
        self, records: Sequence[ConsumerRecord], decode: Decode[M], now_ms: int
    ) -> tuple[list[Taken[M]], list[Outgoing]]:
        """What could be decoded, in order, and dead letters for the rest."""
        taken: list[Taken[M]] = []
        dead: list[Outgoing] = []
        for record in records:
            try:
                taken.append(Taken(record, decode(record.value, record.timestamp, now_ms)))
            except Rejected as fault:
                dead.append(self.reject(record, fault, now_ms))
        return taken, dead

    def reject(self, record: ConsumerRecord, fault: Rejected, now_ms: int) -> Outgoing:
        """The dead letter for one record."""
        self._counts.labels(record.topic, fault.reason.value).inc()
        return Outgoing(*build(record, fault.reason, fault.detail, now_ms, at_most=self._room))
