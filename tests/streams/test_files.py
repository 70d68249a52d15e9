"""Files as people have them: what can be read is, what cannot is named by its line."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.interactions import Kind
from schemas import Event, EventType, Item, encode
from streams.files import (
    KEPT_FAULTS,
    Faults,
    UnreadableFile,
    open_events,
    open_items,
    read_columns,
    read_facts,
)

HEADER = b"user_id,item_id,event,value,ts\n"
T0 = 1_700_000_000_000
VIEW = b"u,i,view,,1700000000\n"


def events(path: Path, content: bytes) -> tuple[list[tuple[int, Event]], Faults]:
    path.write_bytes(content)
    with open_events(path) as file:
        return list(file), file.faults


def items(path: Path, content: bytes) -> tuple[list[tuple[int, Item]], Faults]:
    path.write_bytes(content)
    with open_items(path) as file:
        return list(file), file.faults


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def test_a_csv_file_is_read_line_by_line(path: Path) -> None:
    rows = b"u1,i1,rating,4.5,1700000000\nu2,i2,purchase,,1700000001\n"
    assert events(path, HEADER + rows) == (
        [
            (2, Event("u1", "i1", EventType.RATING, 4.5, T0)),
            (3, Event("u2", "i2", EventType.PURCHASE, None, T0 + 1000)),
        ],
        Faults(),
    )


@pytest.mark.parametrize(
    "content",
    [
        HEADER + VIEW,
        HEADER + VIEW.rstrip(),
        (HEADER + VIEW).replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + HEADER + VIEW,
        b"\n\n" + HEADER + b"\n" + VIEW + b"\n,,,,\n",
        HEADER + b'"u","i","view","","1700000000"\n',
        HEADER + b"u,i,view,,1700000000,,\n",
        b" User_ID ,ITEM_ID,Type,ts\nu,i,View ,1700000000\n",
        b"ts;event;item_id;user_id;colour\n1700000000;view;i;u;red\n",
        b"ts\tevent\titem_id\tuser_id\n1700000000\tview\ti\tu\n",
        b"user_id,item_id,event,timestamp\nu,i,view,1700000000\n",
        gzip.compress(HEADER + VIEW),
        gzip.compress(HEADER) + gzip.compress(VIEW),
        b'{"user_id": "u", "item_id": "i", "type": "view", "ts": 1700000000000, "new": 1}\n',
        b'\xef\xbb\xbf\n {"user_id": "u", "item_id": "i", "type": "view", "ts": 1700000000000}\n\n',
        gzip.compress(encode(Event("u", "i", EventType.VIEW, ts=T0))),
    ],
)
def test_the_same_event_is_read_from_any_form_of_file(path: Path, content: bytes) -> None:
    found, faults = events(path, content)
    assert faults == Faults()
    assert [event for _, event in found] == [Event("u", "i", EventType.VIEW, ts=T0)]


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        ("1700000000", T0),
        ("1700000000000", T0),
        ("1700000000.25", T0 + 250),
        ("1.7e9", T0),
        ("1700000000123.9", T0 + 123),
        ("2023-11-14T22:13:20Z", T0),
        (" 2023-11-14 23:13:20.5+01:00", T0 + 500),
        ("631152000", 631_152_000_000),
    ],
)
def test_a_time_is_seconds_or_milliseconds_or_text(path: Path, written: str, ms: int) -> None:
    [(_, event)], _ = events(path, HEADER + f"u,i,view,,{written}\n".encode())
    assert event.ts == ms


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (b"u,i,view,1", "4 cells; the first line names 5"),
        (b"u,i,view,1,1700000000,x", "6 cells"),
        (b",i,view,1,1700000000", "user_id: is empty"),
        (b"u,,view,1,1700000000", "item_id: is empty"),
        (b"u" * 257 + b",i,view,1,1700000000", "user_id: has 257 characters"),
        (b"u,i,teleport,1,1700000000", "'teleport' is none of view, click"),
        (b"u,i,view,much,1700000000", "value: 'much' is no number"),
        (b"u,i,view,1_0,1700000000", "value: '1_0' is no number"),
        (b"u,i,view,nan,1700000000", "value: 'nan' lies beyond"),
        (b"u,i,view,1e400,1700000000", "value: '1e400' lies beyond"),
        (b"u,i,view,1,", "ts: '' is not an instant"),
        (b"u,i,view,1,yesterday", "ts: 'yesterday' is not an instant"),
        (b"u,i,view,1,2023-11-14T22:13:20", "names no zone"),
        (b"u,i,view,1,inf", "ts: 'inf' is no time"),
        (b"u,i,view,1,5", "before 1990"),
        (b"u,i,view,1,-1700000000", "before 1990"),
        (b"u,i,view,1,1_700_000_000", "is not an instant"),
        (b"u,i,view,1,1971-01-01T00:00:00Z", "before 1990"),
        (b"u,i,view,1,9999-01-01T00:00:00Z", "ahead of now"),
        (b"u,i,view,1,99999999999999999999999", "is no time"),
        ("u,i,view,1,²".encode(), "is not an instant"),
        (b"u\xff,i,view,1,1700000000", "is not UTF-8 (invalid start byte at byte 2)"),
        (b"u\x00,i,view,1,1700000000", "NUL"),
        (b'"u,i,view,1,1700000000', "quotes do not match"),
        (b'"u"x,i,view,1,1700000000', "quotes do not match"),
    ],
)
def test_a_bad_line_is_named_and_the_rest_goes_on(path: Path, row: bytes, said: str) -> None:
    found, faults = events(path, HEADER + VIEW + row + b"\n" + VIEW)
    assert [line for line, _ in found] == [2, 4]
    assert faults.count == 1
    assert faults.first[0].line == 3
    assert said in faults.first[0].reason


def test_bad_lines_of_json_are_named_too(path: Path) -> None:
    good = encode(Event("u", "i", EventType.VIEW, ts=T0))
    found, faults = events(path, b"\n".join([good, b"{", good, b'{"user_id": 5}', b"", good]))
    assert [line for line, _ in found] == [1, 3, 6]
    assert [fault.line for fault in faults.first] == [2, 4]
    assert "user_id" in faults.first[1].reason


def test_only_the_first_faults_are_kept_and_all_are_counted(path: Path) -> None:
    _, faults = events(path, HEADER + b"bad\n" * 1000)
    assert faults.count == 1000
    assert [fault.line for fault in faults.first] == list(range(2, 2 + KEPT_FAULTS))


def test_quoted_cells_hold_commas_quotes_and_line_ends(path: Path) -> None:
    rows = b'"u,1","say ""i""",view,,1700000000\r\n"two\r\nlines",i,view,,1700000000\n' + VIEW
    found, faults = events(path, HEADER + rows)
    assert faults == Faults()
    assert [(line, event.user_id, event.item_id) for line, event in found] == [
        (2, "u,1", 'say "i"'),
        (3, "two\r\nlines", "i"),
        (5, "u", "i"),
    ]


def test_a_quote_within_a_cell_is_itself(path: Path) -> None:
    rows = b'u,12" disc,view,,1700000000\nu,i,view,,1700000000\nu,7" disc,view,,1700000000\n'
    found, faults = events(path, HEADER + rows)
    assert faults == Faults()
    assert [(line, event.item_id) for line, event in found] == [
        (2, '12" disc'),
        (3, "i"),
        (4, '7" disc'),
    ]


def test_a_quote_that_is_never_closed_costs_one_line(path: Path) -> None:
    found, faults = events(path, HEADER + b'"u,i,view,,1700000000\n' + VIEW * 5000)
    assert [fault.line for fault in faults.first] == [2]
    assert len(found) == 5000
    assert found[-1][0] == 5002


def test_missing_columns_are_named_in_one_sentence(path: Path) -> None:
    with pytest.raises(UnreadableFile) as caught:
        events(path, b"user,item_id,event\nu,i,view\n")
    assert str(caught.value) == (
        f"{path} has no column user_id and no column ts; its first line must name the columns, "
        "as in user_id,item_id,event,value,ts."
    )
    with pytest.raises(UnreadableFile, match="no column item_id"):
        items(path, b"id,title\n1,x\n")


def test_a_header_of_one_column_is_asked_what_stands_between(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("user_id|item_id|event|ts\nann|moon|view|1\n")
    with pytest.raises(UnreadableFile, match="are commas, semicolons or tabs between"):
        read_columns(path)


def test_lines_that_end_in_cr_alone_are_a_sentence(path: Path) -> None:
    with pytest.raises(UnreadableFile, match="CR alone"):
        events(path, (HEADER + VIEW).replace(b"\n", b"\r"))


def test_a_first_line_that_names_no_columns_is_a_sentence(path: Path) -> None:
    with pytest.raises(UnreadableFile, match="names no columns"):
        events(path, b"a" * 2_000_000 + b"\n" + VIEW)


def test_a_quoted_text_may_be_as_long_as_the_limit_allows(path: Path) -> None:
    found, faults = items(path, b'item_id,text\n1,"' + b"a" * 200_000 + b'"\n2,"b"\n')
    assert faults == Faults()
    assert [len(item.text) for _, item in found] == [200_000, 1]


def test_opening_waits_for_no_content() -> None:
    reading, writing = os.pipe()
    with open_events(Path(f"/dev/fd/{reading}")) as file:
        os.write(writing, HEADER + VIEW)
        os.close(writing)
        assert [line for line, _ in file] == [2]
    os.close(reading)


def test_a_file_that_is_not_there_or_is_no_text_is_a_sentence(path: Path) -> None:
    with pytest.raises(UnreadableFile, match="No such file"):
        read_columns(path)
    with pytest.raises(UnreadableFile, match="directory"):
        read_columns(path.parent)
    for content in ("user_id,item_id\n".encode("utf-16"), b"\x89PNG\x00\x00", b"\xff\xfe"):
        with pytest.raises(UnreadableFile, match="UTF-8"):
            events(path, content)


@pytest.mark.parametrize("content", [b"", b"\n\r\n", HEADER, b"\xef\xbb\xbf", gzip.compress(b"")])
def test_an_empty_file_holds_nothing(path: Path, content: bytes) -> None:
    assert events(path, content) == ([], Faults())
    assert len(read_columns(path).rows) == 0
    assert read_columns(path).rows.kinds.dtype == np.int8


def test_a_gzip_file_that_was_cut_is_read_as_far_as_it_goes(path: Path) -> None:
    rows = b"".join(b"u%d,i,view,,1700000000\n" % n for n in range(100_000))
    whole = gzip.compress(HEADER + rows)
    found, faults = events(path, whole[: len(whole) // 2])
    assert 1000 < len(found) < 100_000
    assert faults.count == 1
    assert "cut" in faults.first[0].reason
    found, faults = events(path, whole[:1000] + b"\x00" * 1000)
    assert faults.count == 1


def test_further_columns_of_events_are_read(path: Path) -> None:
    header = b"user_id,item_id,event,ts,event_id,recommendation_id,position,mood\n"
    rows = b"u,i,click,1700000000,e,events-1-2,3,gay\nu,i,view,1700000000,,,,\n"
    bad = b"u,i,view,1700000000,,,x,\nu,i,view,1700000000,,,9999999,\n"
    found, faults = events(path, header + rows + bad)
    assert [event for _, event in found] == [
        Event("u", "i", EventType.CLICK, None, T0, "e", "events-1-2", 3),
        Event("u", "i", EventType.VIEW, None, T0),
    ]
    assert [fault.line for fault in faults.first] == [4, 5]
    assert "position" in faults.first[0].reason


def test_items_are_read_with_their_categories(path: Path) -> None:
    rows = (
        b'item_id,title,text,categories\n1,"Kettle, blue",whistles,kitchen|tea| \n2,,,\n'
        b",nameless,,\n"
    )
    found, faults = items(path, rows)
    assert [
        (line, item.item_id, item.title, item.text, item.categories) for line, item in found
    ] == [
        (2, "1", "Kettle, blue", "whistles", ["kitchen", "tea"]),
        (3, "2", "", "", []),
    ]
    assert [fault.line for fault in faults.first] == [4]


def test_items_can_be_unavailable(path: Path) -> None:
    found, faults = items(path, b"item_id,available\n1,no\n2,TRUE\n3,\n4,perhaps\n")
    assert [item.available for _, item in found] == [False, True, True]
    assert "perhaps" in faults.first[0].reason


def test_of_several_lines_about_an_item_the_last_counts(path: Path) -> None:
    path.write_bytes(b'{"item_id": "1", "title": "old"}\n{"item_id": "1", "title": "new"}\n{}\n')
    facts = read_facts(path)
    assert [(item.item_id, item.title) for item in facts.items.values()] == [("1", "new")]
    assert facts.skipped == 1


def test_columns_hold_what_the_events_say(path: Path) -> None:
    path.write_bytes(HEADER + b"u1,i1,rating,4.5,1700000000.5\nbad\nu2,i2,dismiss,,1700000001\n")
    read = read_columns(path)
    assert read.skipped == 1
    assert (read.rows.users, read.rows.items) == (["u1", "u2"], ["i1", "i2"])
    assert read.rows.kinds.tolist() == [Kind.RATING, Kind.DISMISS]
    np.testing.assert_array_equal(read.rows.values, np.array([4.5, np.nan], np.float32))
    assert read.rows.times.tolist() == [1_700_000_000.5, 1_700_000_001.0]


def test_columns_that_are_not_read_are_told_with_those_that_are(path: Path) -> None:
    path.write_bytes(
        b" Type,user_id,item_id,timestamp,colour, Price (EUR),\nview,u,i,1700000000,,,\n"
    )
    assert read_columns(path).passed_over == (
        "columns that are not read: colour, Price (EUR). Read are user_id, item_id, event, value, "
        "ts, event_id, recommendation_id, position."
    )
    path.write_bytes(b"item_id,price\ni,5\n")
    said = read_facts(path).passed_over
    assert said.startswith("columns that are not read: price. Read are item_id, title, text, categ")
    assert "attributes, as JSON lines" in said
    path.write_bytes(b"item_id," + b",".join(b"x" * 99 for _ in range(1000)))
    assert "and 990 more" in read_facts(path).passed_over
    assert len(read_facts(path).passed_over) < 1000
    path.write_bytes(HEADER + VIEW)
    assert read_columns(path).passed_over == ""


@pytest.mark.parametrize("content", [b'[{"user_id": "u"}]', b"[\n{}\n]\n", b"\xef\xbb\xbf []"])
def test_an_array_is_told_to_be_written_as_lines(path: Path, content: bytes) -> None:
    with pytest.raises(UnreadableFile, match="one JSON object a line, not an array"):
        events(path, content)


def test_at_most_reads_no_further(path: Path) -> None:
    path.write_bytes(HEADER + VIEW * 10 + b"bad\n")
    read = read_columns(path, at_most=10)
    assert (len(read.rows), read.skipped) == (10, 0)


def test_standard_input_is_read_by_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BufferedReader(io.BytesIO(gzip.compress(HEADER + VIEW)))  # type: ignore[arg-type]

    monkeypatch.setattr(sys, "stdin", Stdin)
    with open_events(Path("-")) as file:
        assert [line for line, _ in file] == [2]
        assert (file.size, file.bytes_read) == (None, 0)


def test_progress_is_counted_in_bytes_of_the_file_as_it_lies(path: Path) -> None:
    path.write_bytes(gzip.compress(HEADER + VIEW * 100_000))
    with open_events(path) as file:
        seen = [file.bytes_read for _ in file]
    assert file.size == path.stat().st_size
    assert seen == sorted(seen)
    assert seen[-1] == file.size


@given(st.binary())
def test_any_bytes_are_read_or_named(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz"
    for content in (raw, HEADER + raw, HEADER + VIEW + raw + b"\n" + VIEW, b'{"a":1}\n' + raw):
        try:
            events(path, content)
            items(path, content)
        except UnreadableFile as problem:
            assert str(problem).startswith(str(path))  # noqa: PT017


csv_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
names = csv_text.map(lambda text: text[:256])


@given(st.lists(st.tuples(names, names, st.none() | st.floats(-1e12, 1e12)), min_size=1))
def test_what_a_csv_writer_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, float | None]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "item_id", "event", "value", "ts"])
        for user, item, value in rows:
            writer.writerow([user, item, "view", value, 1_700_000_000])
    with open_events(path) as read:
        found = [(event.user_id, event.item_id, event.value) for _, event in read]
    assert read.faults == Faults()
    assert found == rows


def test_events_written_as_lines_are_read_back(path: Path) -> None:
    sent = [
        Event(f"u{n}", "i", kind, n / 3, T0 + n, context={"n": n * 1.0})
        for n, kind in enumerate(EventType)
    ]
    found, _ = events(path, b"\n".join(map(encode, sent)))
    assert [event for _, event in found] == sent
    assert json.loads(encode(sent[0]))["type"] == "view"
