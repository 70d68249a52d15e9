"""The headers of a dead letter say everything about the record it carries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dead_letter import REPLAYS, TOPIC, DeadLetter, build_headers, parse_headers

LETTER = DeadLetter(
    topic="shop.events",
    partition=3,
    offset=4711,
    timestamp_ms=-1,
    reason="invalid",
    detail="user_id: expected str, got int",
    rejected_at_ms=1_767_225_600_000,
    version="0.1.0",
    headers=(("trace", b"\x00\xff"), ("trace", b"again"), ("original-trace", b"nested")),
)

texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers(-1, 2**63 - 1)


def test_headers_read_back_as_they_were_written() -> None:
    assert parse_headers(build_headers(LETTER)) == LETTER


@given(
    st.builds(
        DeadLetter,
        texts,
        numbers,
        numbers,
        numbers,
        texts,
        texts,
        numbers,
        texts,
        st.none() | numbers,
        st.lists(st.tuples(texts, st.binary())).map(tuple),
    )
)
def test_any_dead_letter_reads_back(letter: DeadLetter) -> None:
    assert parse_headers(build_headers(letter)) == letter


def test_headers_nobody_knows_are_passed_over() -> None:
    assert parse_headers([*build_headers(LETTER), ("freshet-mood", b"grey")]) == LETTER


def test_a_stranger_s_record_is_no_dead_letter() -> None:
    with pytest.raises(ValueError, match=TOPIC):
        parse_headers([("trace", b"1")])


@given(st.lists(st.tuples(texts, st.binary())))
def test_any_headers_are_read_or_a_value_error(headers: list[tuple[str, bytes]]) -> None:
    with pytest.raises(ValueError, match="no dead letter"):
        parse_headers(headers)


def test_a_detail_that_no_utf_8_can_say_is_escaped() -> None:
    letter = DeadLetter("events", 0, 0, 0, "invalid", "'\ud800'", 0, "1")
    assert parse_headers(build_headers(letter)).detail == "'\\ud800'"


@pytest.mark.parametrize(
    ("value", "count"), [(b"2", 2), (b"", 0), (b"-1", 0), (b"two", 0), (b"9" * 5000, 0)]
)
def test_a_replay_is_counted(value: bytes, count: int) -> None:
    letter = DeadLetter("events", 0, 0, 0, "invalid", "", 0, "1", None, ((REPLAYS, value),))
    assert letter.replays == count
