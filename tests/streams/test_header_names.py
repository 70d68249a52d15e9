"""Names of headers are any bytes; a record is read whatever they are."""

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

import streams.kafka
from streams.header_names import _AnyRecords


class Raw(str):
    """Text whose bytes are `raw`, as a client in C could send it."""

    raw: bytes

    def encode(self, *_arguments: str) -> bytes:
        return self.raw


def name(raw: bytes) -> Raw:
    text = Raw("name")
    text.raw = raw
    return text


def batch(first: int, names: list[list[bytes]], compression: int = 0) -> bytes:
    """A record for each list of header names, as brokers keep it."""
    builder = _DefaultRecordBatchBuilderPy(
        magic=2,
        compression_type=compression,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 20,
    )
    for number, own in enumerate(names):
        headers = [(name(raw), b"%d" % number) for raw in own]
        builder.append(number, 1_000 + number, b"key", b"value %d" % number, headers)
    data = bytearray(builder.build())
    data[:8] = first.to_bytes(8, "big")
    return bytes(data)


def read(data: bytes) -> list[tuple[int, bytes, list[tuple[str, bytes]]]]:
    records, found = _AnyRecords(data), []
    while records.has_next():
        one = records.next_batch()
        assert one.validate_crc()
        found += [(record.offset, record.value, list(record.headers)) for record in one]
        assert one.next_offset == found[-1][0] + 1
    return found


@pytest.mark.parametrize("compression", [0, 1], ids=["plain", "gzip"])
def test_names_that_are_no_utf_8_are_written_out(compression: int) -> None:
    names = [[b"before"], [b"\xff\xfe bad", "ünï".encode()], [], [b"\x80", b""]]
    data = batch(0, [[b"fine"]]) + batch(1, names, compression) + batch(5, [[b"after"]])

    found = read(data)

    assert [offset for offset, *_ in found] == list(range(6))
    assert [value for _, value, _ in found] == [b"value %d" % n for n in (0, 0, 1, 2, 3, 0)]
    assert [[name for name, _ in headers] for *_, headers in found] == [
        ["fine"],
        ["before"],
        ["\\xff\\xfe bad", "ünï"],
        [],
        ["\\x80", ""],
        ["after"],
    ]
    assert found[2][2][0][1] == b"1"


def test_a_batch_that_is_cut_short_is_left_for_the_next_fetch() -> None:
    whole, cut = batch(0, [[b"\xff"]]), batch(1, [[b"later"]])[:-3]

    assert [offset for offset, *_ in read(whole + cut)] == [0]


def test_whoever_makes_a_client_reads_them() -> None:
    assert streams.kafka.client_options
    assert fetcher.MemoryRecords is _AnyRecords
