"""What could not be taken keeps its bytes, says why, and can be put back."""

from __future__ import annotations

import asyncio
import io
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import Kafka, Record
from rich.console import Console

from schemas import RejectReason
from schemas.dead_letter import parse_headers
from streams.dead_letters import Letter, Selection, build, instant_since, letters, place_at
from streams.dead_letters_replay import (
    DONE,
    MAX_REPLAYS,
    NOT_DONE,
    SOME_REFUSED,
    PutBack,
    Refused,
    as_json,
    from_letter,
    from_line,
    run_list,
    run_replay,
)
from streams.publisher import Outgoing, Publisher
from streams.settings import Settings, SettingsError
from streams.topics import MAX_CARRIED_BYTES, ensure_topics

NOW = 1_767_225_600_000
SETTINGS = Settings(topic_prefix="shop.")


@dataclass
class Rejectee:
    """A record as aiokafka gives it, as far as a dead letter looks at one."""

    value: bytes | None = b'{"user_id": 5}'
    key: bytes | None = b"u-17"
    topic: str = "shop.events"
    partition: int = 2
    offset: int = 4711
    timestamp: int = NOW - 1000
    headers: tuple[tuple[str, bytes | None], ...] = field(default=())


def buried(record: Rejectee, detail: str = "user_id: expected str, got int") -> Letter:
    key, value, headers = build(record, RejectReason.INVALID, detail, NOW)
    return Letter("shop.dead-letters", 1, 33, key, value, parse_headers(headers))


def test_a_dead_letter_has_the_original_bytes_and_says_where_they_stood() -> None:
    letter = buried(Rejectee(headers=(("trace", b"\xff"), ("none", None))))
    assert (letter.key, letter.value) == (b"u-17", b'{"user_id": 5}')
    about = letter.about
    assert (about.topic, about.partition, about.offset) == ("shop.events", 2, 4711)
    assert (about.timestamp_ms, about.rejected_at_ms) == (NOW - 1000, NOW)
    assert about.reason == "invalid"
    assert about.detail == "user_id: expected str, got int"
    assert about.version
    assert about.headers == (("trace", b"\xff"), ("none", b""))


def test_a_record_that_unpacks_to_more_than_a_topic_carries_is_cut_and_says_so() -> None:
    letter = buried(Rejectee(value=b"x" * (MAX_CARRIED_BYTES + 5), headers=(("h", b"1"),)))
    assert len(letter.value or b"") + len(letter.key or b"") == MAX_CARRIED_BYTES
    assert letter.about.cut_from_bytes == MAX_CARRIED_BYTES + 5
    with pytest.raises(Refused, match=r"shop\.events/2/4711"):
        from_letter(letter, SETTINGS)


def test_a_record_of_many_headers_keeps_the_first() -> None:
    record = Rejectee(headers=tuple((f"h{n}", b"") for n in range(5000)))
    assert len(buried(record).about.headers) == 1000


def test_a_long_detail_is_cut() -> None:
    assert len(buried(Rejectee(), "x" * 100_000).about.detail) == 8_000


def test_what_is_put_back_is_the_record_as_it_was_and_marked() -> None:
    back = from_letter(buried(Rejectee(headers=(("trace", b"t"),))), SETTINGS)
    assert back == PutBack(
        "shop.events",
        Outgoing(
            b"u-17",
            b'{"user_id": 5}',
            [
                ("trace", b"t"),
                ("freshet-replay-of", b"shop.dead-letters/1/33"),
                ("freshet-replays", b"1"),
            ],
            partition=2,
            timestamp_ms=NOW - 1000,
        ),
    )


def test_an_erasure_is_put_back_as_of_now() -> None:
    assert (
        from_letter(buried(Rejectee(topic="shop.erasures")), SETTINGS).record.timestamp_ms is None
    )
    line = {
        "topic": "shop.erasures",
        "key": "ann",
        "value": {"user_id": "ann"},
        "timestamp_ms": NOW,
    }
    assert from_line(json.dumps(line).encode(), SETTINGS).record.timestamp_ms is None


def test_an_erasure_is_put_back_under_its_user_s_key_and_where_that_belongs() -> None:
    wish = Rejectee(topic="shop.erasures", value=b'{"user_id": "ann"}', key=b"another")
    line: dict[str, object] = {"topic": "shop.erasures", "value": {"user_id": "ann"}}
    for back in (
        from_letter(buried(wish), SETTINGS),
        from_line(json.dumps(line | {"key": "another"}).encode(), SETTINGS),
        from_line(json.dumps(line).encode(), SETTINGS),
    ):
        assert (back.record.key, back.record.partition) == (b"ann", None)
    wish.key = b"ann"
    assert from_letter(buried(wish), SETTINGS).record.partition == wish.partition
    unread = Rejectee(topic="shop.erasures", key=b"another")
    assert from_letter(buried(unread), SETTINGS).record.key == b"another"


def test_a_record_that_is_rejected_again_and_again_is_refused_in_the_end() -> None:
    record = Rejectee()
    for count in range(1, MAX_REPLAYS + 1):
        again = from_letter(buried(record), SETTINGS).record
        assert dict(again.headers)["freshet-replays"] == b"%d" % count
        assert len(again.headers) == 2
        record = Rejectee(headers=tuple(again.headers))
    with pytest.raises(Refused, match="5 times"):
        from_letter(buried(record), SETTINGS)
    repaired = json.loads(as_json(buried(record))) | {"replays": 0}
    assert from_line(json.dumps(repaired).encode(), SETTINGS)


def test_a_record_of_any_topic_that_workers_read_is_put_back() -> None:
    read = ("events", "items", "rules", "editorial", "profiles", "requests", "erasures")
    for topic in (f"shop.{name}" for name in read):
        assert from_letter(buried(Rejectee(topic=topic)), SETTINGS).topic == topic


def test_a_record_of_no_input_topic_is_refused() -> None:
    for topic in ("events", "shop.recommendations", "shop.dead-letters", ""):
        with pytest.raises(Refused, match=r"shop\.events, shop\.items"):
            from_letter(buried(Rejectee(topic=topic)), SETTINGS)


@given(
    st.none() | st.binary(),
    st.none() | st.binary(),
    st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.binary())),
    st.integers(-1, NOW),
)
def test_a_line_of_json_puts_back_the_same_as_the_letter(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]], timestamp: int
) -> None:
    letter = buried(Rejectee(value, key, headers=tuple(headers), timestamp=timestamp))
    line = as_json(letter)
    assert b"\n" not in line
    topic, record = from_line(line, SETTINGS)
    expected = from_letter(letter, SETTINGS)
    assert (topic, record) == (expected.topic, expected.record._replace(partition=None))


def test_a_repaired_line_may_hold_the_value_as_an_object_and_little_else() -> None:
    line = b'{"topic": "shop.items", "value": {"item_id": "i"}, "key": "i"}'
    topic, record = from_line(line, SETTINGS)
    assert (topic, record.key, record.value) == ("shop.items", b"i", b'{"item_id":"i"}')
    assert record.timestamp_ms is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"", "list --json"),
        (b"[]", "object"),
        (b'{"value": "x"}', "topic"),
        (b'{"topic": "shop.events"}', "value"),
        (b'{"topic": "shop.events", "value": 5}', "value"),
        (b'{"topic": "shop.events", "value": {"base64": "?"}}', "list --json"),
        (b'{"topic": "shop.events", "value": {"base64": 5}}', "list --json"),
        (b'{"topic": "shop.events", "value": "x", "timestamp_ms": 1' + b"0" * 30 + b"}", "list"),
        (b'{"topic": "shop.orders", "value": "x"}', "shop.events, shop.items"),
        (b'{"topic": "shop.items", "value": "x"}', "needs a key, its item_id"),
        (b'{"topic": "shop.editorial", "value": "x"}', "needs a key, its name"),
        (b'{"topic": "shop.events", "value": "x", "cut_from_bytes": 9}', "complete it"),
        (b'{"topic": "shop.events", "value": ' + b"[" * 100_000, "list --json"),
        (b'{"topic": "shop.events", "value": "\xff"}', "list --json"),
    ],
)
def test_a_line_that_cannot_be_read_is_refused_with_a_sentence(line: bytes, said: str) -> None:
    with pytest.raises(Refused, match=said):
        from_line(line, SETTINGS)


def test_a_line_larger_than_topics_carry_is_refused_before_it_is_sent() -> None:
    settings = Settings(topic_prefix="shop.", max_record_bytes=1 << 20)
    line = b'{"topic": "shop.events", "value": "%s"}' % (b"x" * ((1 << 20) + 1))
    with pytest.raises(Refused, match="FRESHET_MAX_RECORD_BYTES"):
        from_line(line, settings)
    assert from_line(line, SETTINGS)


def test_since_is_a_while_ago_or_an_instant() -> None:
    assert instant_since(None) is None
    assert instant_since("2026-01-01T00:00:00Z") == NOW
    hour, two = instant_since("60m"), instant_since("2h")
    assert hour is not None
    assert two is not None
    assert 3_599_000 <= hour - two <= 3_601_000
    assert instant_since("99999999d") == 0
    for text in ("", "2", "h", "-2h", "yesterday"):
        with pytest.raises(SettingsError, match="2h"):
            instant_since(text)


def test_a_place_is_topic_partition_and_offset() -> None:
    assert place_at(None) is None
    assert place_at("shop.events/2/4711") == ("shop.events", 2, 4711)
    for text in ("", "events", "events/2", "/2/4711", "events/2/", "events/x/1", "events/-1/1"):
        with pytest.raises(SettingsError, match="events/2/4711"):
            place_at(text)


# --- on a real broker


class Installation:
    """Freshet's topics on a broker, and what its commands print."""

    def __init__(self, kafka: Kafka, prefix: str) -> None:
        self.kafka = kafka
        self.settings = Settings(bootstrap_servers=kafka.bootstrap_servers, topic_prefix=prefix)

    async def bury(self, *records: Rejectee, reason: RejectReason = RejectReason.INVALID) -> None:
        await ensure_topics(self.settings)
        publisher = Publisher(self.settings)
        await publisher.start()
        for number, record in enumerate(records):
            record.topic = self.settings.topic(record.topic.removeprefix("shop."))
            letter = Outgoing(*build(record, reason, "wrong", NOW + number))
            await publisher.publish(self.settings.topic("dead-letters"), [letter])
        await publisher.stop()

    def list(self, selection: Selection | None = None, *, as_lines: bool = True) -> str:
        out = Console(file=io.StringIO(), width=200)
        chosen = selection or Selection()
        assert run_list(self.settings, chosen, as_lines=as_lines, out=out) == DONE
        assert isinstance(out.file, io.StringIO)
        return out.file.getvalue()

    def replay(
        self, selection: Selection | None = None, file: Path | None = None, dry: bool = False
    ) -> tuple[int, str]:
        out = Console(file=io.StringIO(), width=200)
        code = run_replay(self.settings, selection, file=file, dry_run=dry, out=out)
        assert isinstance(out.file, io.StringIO)
        return code, out.file.getvalue()

    def on(self, topic: str, at_least: int = 0) -> list[Record]:
        return self.kafka.consume(self.settings.topic(topic), at_least)


@pytest.fixture
def shop(kafka: Kafka, topic_prefix: str) -> Installation:
    return Installation(kafka, topic_prefix)


@pytest.mark.broker
def test_without_dead_letters_the_list_says_so(shop: Installation) -> None:
    assert shop.list(as_lines=False) == "No dead letters.\n"
    assert shop.list() == ""
    assert shop.replay(Selection()) == (DONE, "0 records put back.\n")


@pytest.mark.broker
def test_dead_letters_are_selected_by_topic_reason_time_and_number(shop: Installation) -> None:
    asyncio.run(shop.bury(*(Rejectee(b"%d" % n, b"k%d" % n) for n in range(5))))
    asyncio.run(shop.bury(Rejectee(b"x", topic="items"), reason=RejectReason.NOT_JSON))

    def values(selection: Selection) -> list[str]:
        return sorted(json.loads(line)["value"] for line in shop.list(selection).splitlines())

    assert values(Selection()) == ["0", "1", "2", "3", "4", "x"]
    assert values(Selection(topic="items")) == ["x"]
    assert values(Selection(topic=shop.settings.topic("items"))) == ["x"]
    assert values(Selection(topic="requests")) == []
    assert values(Selection(reason="not_json")) == ["x"]
    assert values(Selection(topic="events", limit=2)) == ["3", "4"]
    assert values(Selection(since_ms=NOW + 3)) == ["3", "4"]
    one = ("events", 2, 4711)
    assert values(Selection(at=one)) == ["0", "1", "2", "3", "4"]
    assert values(Selection(at=(shop.settings.topic("events"), 2, 4711), limit=1)) == ["4"]
    assert values(Selection(at=one, topic="items")) == []
    assert values(Selection(at=("events", 2, 4712))) == []
    assert values(Selection(since_ms=4_000_000_000_000)) == []
    table = shop.list(Selection(topic="items"), as_lines=False)
    assert "not_json" in table
    assert "wrong" in table
    assert "1 dead letter." in table


@pytest.mark.broker
def test_dead_letters_are_listed_and_put_back_in_the_order_of_their_time(
    shop: Installation,
) -> None:
    in_time = [b"%d" % n for n in range(12)]
    for value in in_time:  # one by one, or several had the same millisecond
        asyncio.run(shop.bury(Rejectee(value, b"k" + value, partition=0)))
    assert len({record.partition for record in shop.on("dead-letters", 12)}) > 1
    listed = [json.loads(line)["value"].encode() for line in shop.list().splitlines()]
    assert listed == in_time
    shop.replay(Selection())
    assert [record.value for record in shop.on("events", 12)] == in_time


def test_a_topic_or_a_reason_that_there_is_not_is_an_error_that_names_those_there_are() -> None:
    async def look(selection: Selection) -> None:
        async for _ in letters(SETTINGS, selection):
            pass

    for selection, said in (
        (Selection(topic="evnts"), r"--topic evnts: .*events, items, rules"),
        (Selection(topic="shop.vectors"), r"--topic shop\.vectors: .*events, items"),
        (Selection(at=("evnts", 2, 4711)), r"--at evnts: .*events, items"),
        (Selection(reason="notjson"), r"--reason notjson: .*null_value, too_large, not_json"),
    ):
        with pytest.raises(SettingsError, match=said):
            asyncio.run(look(selection))


@pytest.mark.broker
def test_where_there_is_little_room_reason_and_place_are_told_whole(shop: Installation) -> None:
    record = Rejectee(offset=123_456_789)
    asyncio.run(shop.bury(record, reason=RejectReason.TIMESTAMP_OUT_OF_RANGE))
    out = Console(file=io.StringIO(), width=80)
    run_list(shop.settings, Selection(), as_lines=False, out=out)
    assert isinstance(out.file, io.StringIO)
    table = out.file.getvalue()
    assert " timestamp_out_of_range " in table
    cells = [line.split("│")[2].strip() for line in table.splitlines() if line.startswith("│")]
    assert "".join(cells) == f"{record.topic}/2/123456789"
    assert "…" not in table


@pytest.mark.broker
def test_a_record_of_ten_megabytes_is_carried_listed_and_put_back(shop: Installation) -> None:
    large = b"x" * (10 << 20)
    asyncio.run(shop.bury(Rejectee(large, partition=3, offset=0)))
    [letter] = shop.on("dead-letters", 1)
    assert letter.value == large
    assert "10,485,760 bytes" in shop.list(as_lines=False)
    shop.kafka.produce(shop.settings.topic("events"), [("u", large)])
    code, said = shop.replay(Selection(reason="invalid"))
    assert code == DONE
    assert said.startswith(f"1 record put back: 1 on {shop.settings.topic('events')}.\n")
    assert "--put-back" in said
    back = [record for record in shop.on("events", 2) if record.headers]
    assert [(record.value, record.partition, record.timestamp_ms) for record in back] == [
        (large, 3, NOW - 1000)
    ]


@pytest.mark.broker
def test_what_was_put_back_is_neither_listed_nor_put_back_again_unless_asked_for(
    shop: Installation, tmp_path: Path
) -> None:
    asyncio.run(shop.bury(*(Rejectee(b"%d" % n, b"k%d" % n) for n in range(4))))

    def values(selection: Selection | None = None) -> list[str]:
        return sorted(json.loads(line)["value"] for line in shop.list(selection).splitlines())

    assert shop.replay(Selection(), dry=True)[1] == (
        f"4 records would be put back: 4 on {shop.settings.topic('events')}.\n"
    )
    repaired = tmp_path / "repaired.jsonl"
    repaired.write_text(next(row for row in shop.list().splitlines() if '"value":"1"' in row))
    shop.replay(file=repaired)
    assert values() == ["0", "2", "3"]
    assert shop.replay(Selection(limit=1))[1].startswith("1 record put back")
    assert values() == ["0", "2"]
    assert shop.replay(Selection())[1].startswith("2 records put back")
    put_back = "put back already; listed, and put back once more, only with --put-back.\n"
    assert shop.replay(Selection())[1] == f"0 records put back.\n4 such were {put_back}"
    assert shop.list(as_lines=False) == f"No dead letters.\n4 such were {put_back}"
    assert shop.replay(Selection(at=("events", 2, 4711), limit=1))[1].endswith(
        f"1 such was {put_back}"
    )
    assert shop.replay(Selection(at=("events", 2, 4712)))[1] == "0 records put back.\n"
    assert values(Selection(put_back=True)) == ["0", "1", "2", "3"]
    assert sorted(record.value or b"" for record in shop.on("events", 4)) == [
        b"0",
        b"1",
        b"2",
        b"3",
    ]

    # Refused again, it is another dead letter.
    asyncio.run(shop.bury(Rejectee(b"2", b"k2")))
    assert values() == ["2"]


@pytest.mark.broker
def test_repaired_lines_are_put_back_and_the_others_named(
    shop: Installation, tmp_path: Path
) -> None:
    asyncio.run(shop.bury(Rejectee(b'{"user_id": 5}'), Rejectee(b"\xff\xfe", b"\xff")))
    lines = [json.loads(line) for line in shop.list().splitlines()]
    for line in lines:
        if line["value"] == '{"user_id": 5}':
            line["value"] = {"user_id": "5", "item_id": "i", "type": "view"}
    file = tmp_path / "bad.jsonl"
    file.write_text("\n".join([*map(json.dumps, lines), "", "nonsense"]))

    code, said = shop.replay(file=file, dry=True)
    assert code == SOME_REFUSED
    assert "2 records would be put back" in said
    assert "not put back: line 4" in said
    assert shop.on("events") == []

    code, said = shop.replay(file=file)
    assert code == SOME_REFUSED
    assert "1 refused" in said
    records = {record.value: record for record in shop.on("events", 2)}
    assert set(records) == {b'{"user_id":"5","item_id":"i","type":"view"}', b"\xff\xfe"}
    assert all(record.headers["freshet-replays"] == b"1" for record in records.values())


@pytest.mark.broker
def test_a_line_that_names_a_dead_letter_of_another_topic_is_put_back_without_a_mark(
    shop: Installation, tmp_path: Path
) -> None:
    asyncio.run(shop.bury(Rejectee()))
    file = tmp_path / "odd.jsonl"
    line = {"topic": shop.settings.topic("events"), "value": "x"}
    named = ("nowhere", "other/0/0", None, f"{shop.settings.topic('dead-letters')}/99/0")
    file.write_text("\n".join(json.dumps(line | {"dead_letter": name}) for name in named))
    assert shop.replay(file=file)[0] == DONE
    assert len(shop.list().splitlines()) == 1


@pytest.mark.broker
def test_what_a_topic_does_not_take_ends_it_and_only_what_arrived_is_counted(
    kafka: Kafka, topic_prefix: str, tmp_path: Path
) -> None:
    shop = Installation(kafka, topic_prefix)
    kafka.create(shop.settings.topic("events"), config={"max.message.bytes": "1000"})
    file = tmp_path / "bad.jsonl"
    topics = [shop.settings.topic(name) for name in ("requests", "events")]
    file.write_text("\n".join(json.dumps({"topic": t, "value": "x" * 2000}) for t in topics))
    code, said = shop.replay(file=file)
    assert code == NOT_DONE
    assert "does not take a record of this size" in said
    assert f"1 record put back: 1 on {shop.settings.topic('requests')}" in said


@pytest.mark.broker
def test_what_is_dated_ahead_of_what_brokers_take_is_passed_over_and_the_rest_put_back(
    shop: Installation,
) -> None:
    ahead = int(time.time() * 1000) + 3_600_000
    letters = [
        Rejectee(b"1", b"k"),
        Rejectee(b"2", b"k", timestamp=ahead, offset=4712),
        Rejectee(b"3", b"k", offset=4713),
    ]
    asyncio.run(shop.bury(*letters))
    code, said = shop.replay(Selection())
    assert code == SOME_REFUSED
    assert "its record is dated" in said
    assert "2 records put back" in said
    assert "1 refused" in said
    assert [record.value for record in shop.on("events", 2)] == [b"1", b"3"]


@pytest.mark.broker
def test_a_stranger_s_numbers_do_not_end_the_list(shop: Installation) -> None:
    asyncio.run(shop.bury(Rejectee(timestamp=2**70)))
    headers = dict(shop.on("dead-letters", 1)[0].headers) | {"freshet-rejected-at-ms": b"9" * 30}
    shop.kafka.produce(shop.settings.topic("dead-letters"), [("k", b"v")], headers=headers)
    assert "2 dead letters" in shop.list(as_lines=False)
    assert shop.replay(Selection())[0] == DONE


@pytest.mark.broker
def test_a_file_that_is_not_there_is_a_sentence(shop: Installation, tmp_path: Path) -> None:
    code, said = shop.replay(file=tmp_path / "none.jsonl", dry=True)
    assert code == NOT_DONE
    assert "none.jsonl" in said


@pytest.mark.broker
def test_strangers_on_the_topic_are_passed_over(shop: Installation) -> None:
    asyncio.run(ensure_topics(shop.settings))
    shop.kafka.produce(shop.settings.topic("dead-letters"), [("k", b"hello"), (None, None)])
    assert shop.list() == ""
