"""Reading records whose headers have names that are no UTF-8.

Kafka says that they are text, but brokers do not look, and clients in C and what builds on them
take any bytes. aiokafka raises on one, in the middle of a batch and again at every start: one such
record would end every worker, for ever. Here such a name is read with its bytes written out
(`\\xff`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

#: Of every batch: its first offset (8 bytes), then how many bytes come after these two.
_HEAD = struct.Struct(">qi")


def read_any() -> None:
    """Have every consumer of this process, of now and of later, read such records."""
    fetcher.MemoryRecords = _AnyRecords


class _AnyRecords:
    """What a fetch brought of a partition, batch by batch: aiokafka's own, told where each begins.

    data  the batches, one after the other; the last may be cut short
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self._records = MemoryRecords(data)
        self.has_next, self.size_in_bytes = self._records.has_next, self._records.size_in_bytes

    def next_batch(self) -> Any:
        begin = self._at
        _, length = _HEAD.unpack_from(self._data, begin)
        self._at = begin + _HEAD.size + length
        return _AnyBatch(self._records.next_batch(), memoryview(self._data)[begin : self._at])


class _AnyBatch:
    """A batch; where reading it raises, it is read again by aiokafka's slower twin in Python."""

    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch, self._data = batch, data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        given = 0
        try:
            for record in self._batch:
                yield record
                given += 1
        except UnicodeDecodeError:
            again = _DefaultRecordBatchPy(bytearray(self._data))
            again._maybe_uncompress()
            again._buffer = _Buffer(again._buffer)
            for number, record in enumerate(again):
                if number >= given:
                    yield record


class _Buffer(bytearray):
    """Bytes of which any part can be read as text."""

    def __getitem__(self, part: Any) -> Any:
        found = super().__getitem__(part)
        return _Buffer(found) if isinstance(part, slice) else found

    def decode(self, encoding: str = "utf-8", _errors: str = "") -> str:
        return super().decode(encoding, "backslashreplace")
