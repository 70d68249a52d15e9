"""`freshet evaluate` on files as spreadsheets, databases and broken transfers leave them.

Each gives the table of the same events in a good file, or a sentence that says what to do.
"""

from __future__ import annotations

import gzip
import json
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streams.evaluate import COULD_NOT_RUN, FINE, LINES_SKIPPED, run_evaluate

HEADER = "user_id,item_id,event,value,ts"
START = 1_700_000_000


def rows(events: int = 200, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [
        f"u{rng.integers(25)},i{min(rng.zipf(1.4), 30)},view,1,{START + 60 * t}"
        for t in range(events)
    ]


def text(lines: list[str], header: str = HEADER) -> str:
    return "\n".join([header, *lines]) + "\n"


def evaluated(path: Path, content: bytes) -> tuple[int, dict[str, Any]]:
    """The exit code, and the JSON without what depends on the clock and the name."""
    path.write_bytes(content)
    result = path.with_name("result.json")
    result.unlink(missing_ok=True)
    code = run_evaluate(path, json_path=result)
    found = json.loads(result.read_text()) if result.exists() else {}
    for name in ("stream", "seconds", "events_per_second"):
        found.pop(name, None)
    return code, found


def said(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return " ".join((captured.out + captured.err).split())


GOOD = text(rows())


def quoted(line: str) -> str:
    return ",".join(f'"{cell}"' for cell in line.split(","))


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode(),
        GOOD.replace(",", ";").encode(),
        GOOD.replace(",", "\t").encode(),
        text([quoted(row) for row in rows()]).encode(),
        ("\n\n" + GOOD.replace("\n", "\n\n")).encode(),
        GOOD.rstrip("\n").encode(),
        GOOD.replace("user_id,item_id,event", " User_ID ,ITEM_ID,Type").encode(),
        text([f"{row},further,," for row in rows()], f"{HEADER},a,b,c").encode(),
        text(
            [f"{a},{b},{c},1,{t}000" for a, b, c, _, t in (r.split(",") for r in rows())]
        ).encode(),
    ],
    ids=[
        "BOM",
        "CRLF",
        "BOM and CRLF",
        "semicolons",
        "tabs",
        "quoted",
        "empty lines",
        "no last line end",
        "other names",
        "more columns",
        "ms",
    ],
)
def test_the_same_events_in_another_dress_give_the_same_figures(
    tmp_path: Path, content: bytes
) -> None:
    good = evaluated(tmp_path / "good.csv", GOOD.encode())
    assert good[0] == FINE
    assert good[1]["scored"] > 100
    assert evaluated(tmp_path / "dressed.csv", content) == good


def test_columns_in_another_order_give_the_same_figures(tmp_path: Path) -> None:
    turned = [",".join(reversed(line.split(","))) for line in GOOD.splitlines()]
    good = evaluated(tmp_path / "good.csv", GOOD.encode())
    assert evaluated(tmp_path / "turned.csv", "\n".join(turned).encode()) == good


def test_what_is_not_read_and_what_changes_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events, items = tmp_path / "events.csv", tmp_path / "items.csv"
    items.write_text("item_id,title,price\ni1,Tea,5\n")
    events.write_text(GOOD)
    assert run_evaluate(events, items=items) == FINE
    spoken = said(capsys)
    assert "columns that are not read: price. Read are item_id, title" in spoken
    assert "items.csv has no effect here" in spoken
    events.write_text(text(rows(600)))
    assert run_evaluate(events, items=items) == FINE
    assert "no effect" not in said(capsys)


def test_names_with_line_ends_commas_and_quotes_are_names_like_others(tmp_path: Path) -> None:
    odd = [row.replace(",i1,", ',"tea, ""green""\nor black",') for row in rows()]
    good = evaluated(tmp_path / "good.csv", GOOD.encode())
    assert evaluated(tmp_path / "odd.csv", text(odd).encode()) == good


@pytest.mark.parametrize("column", HEADER.replace(",value", "").split(","))
def test_each_missing_column_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], column: str
) -> None:
    content = GOOD.replace(column, "something_else", 1)
    assert evaluated(tmp_path / "a.csv", content.encode())[0] == COULD_NOT_RUN
    assert f"has no column {column}" in said(capsys)


def test_without_values_there_is_a_table(tmp_path: Path) -> None:
    short = [row.replace(",1,", ",") for row in rows()]
    code, found = evaluated(tmp_path / "a.csv", text(short, HEADER.replace(",value", "")).encode())
    assert code == FINE
    assert found["events"] == 200


@pytest.mark.parametrize(
    "content",
    [b"", b"\n\n", b"\xef\xbb\xbf", HEADER.encode(), gzip.compress(b"")],
    ids=["no byte", "empty lines", "BOM alone", "first line alone", "empty gzip"],
)
def test_a_file_that_holds_no_event_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    assert evaluated(tmp_path / "a.csv", content)[0] == COULD_NOT_RUN
    assert "holds no events" in said(capsys)


def test_where_no_line_can_be_read_the_first_faults_say_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = [f"u{n},i{n},view,1,yesterday" for n in range(5)]
    assert evaluated(tmp_path / "a.csv", text(bad).encode())[0] == COULD_NOT_RUN
    spoken = said(capsys)
    assert "holds no events" in spoken
    assert "line 2: ts: 'yesterday'" in spoken
    assert "5 lines" in spoken


def test_a_gzip_file_cut_in_the_middle_is_evaluated_as_far_as_it_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = gzip.compress(text(rows(4000)).encode())
    code, found = evaluated(tmp_path / "a.csv.gz", whole[: len(whole) // 2])
    assert code == LINES_SKIPPED
    assert 500 < found["events"] < 4000
    assert "the gzip file is damaged or cut here" in said(capsys)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_another_encoding_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], encoding: str
) -> None:
    assert evaluated(tmp_path / "a.csv", GOOD.encode(encoding))[0] == COULD_NOT_RUN
    assert "save it as UTF-8" in said(capsys)


def test_lines_in_another_encoding_are_skipped_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = GOOD.encode() + f"u1,thé,view,1,{START + 99_999}\n".encode("latin-1")
    code, found = evaluated(tmp_path / "a.csv", content)
    assert code == LINES_SKIPPED
    assert found["events"] == 200
    assert "line 202: is not UTF-8" in said(capsys)


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\x00\x00", b"PK\x03\x04\x14\x00"])
def test_a_file_that_is_no_text_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    assert evaluated(tmp_path / "a.csv", content)[0] == COULD_NOT_RUN
    assert "a.csv" in said(capsys)


def test_a_folder_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_evaluate(tmp_path) == COULD_NOT_RUN
    assert "cannot be read" in said(capsys)


def test_events_at_one_and_the_same_time_keep_the_order_of_the_file(tmp_path: Path) -> None:
    same = [f"{row.rsplit(',', 1)[0]},{START}" for row in rows()]
    code, found = evaluated(tmp_path / "a.csv", text(same).encode())
    assert (code, found["reordered"]) == (FINE, 0)


def test_one_item_is_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = [f"u{n},tea,view,1,{START + 60 * n}" for n in range(60)]
    code, found = evaluated(tmp_path / "a.csv", text(one).encode())
    assert code == FINE
    assert found["items"] == 1
    assert found["results"]["freshet"]["recall@10"] == 1
    assert "nan" not in said(capsys).lower()


def test_one_user_with_one_item_is_a_table_or_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = [f"me,tea,view,1,{START + 86_400 * n}" for n in range(60)]
    assert evaluated(tmp_path / "a.csv", text(one).encode())[0] == FINE
    assert "nan" not in said(capsys).lower()


def test_events_of_which_none_takes_an_item_are_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = GOOD.replace(",view,", ",impression,")
    assert evaluated(tmp_path / "a.csv", shown.encode())[0] == COULD_NOT_RUN
    assert "None of 200 events can be scored" in said(capsys)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_million_rows_are_a_table_within_two_gigabytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n = 1_000_000
    users, items = rng.integers(0, 100_000, n), np.minimum(rng.zipf(1.2, n), 50_000)
    path = tmp_path / "million.csv"
    with path.open("w") as file:
        file.write(HEADER + "\n")
        for t, (user, item) in enumerate(zip(users.tolist(), items.tolist(), strict=True)):
            file.write(f"u{user},i{item},view,,{START + t}\n")
    result = tmp_path / "result.json"
    assert run_evaluate(path, json_path=result) == FINE
    found = json.loads(result.read_text())
    assert found["events"] == n
    assert found["scored"] > 900_000
    assert found["results"]["freshet"]["recall@10"] > found["results"]["random"]["recall@10"]
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert kilobytes < 2e6
    print(found["events_per_second"], "events/s,", kilobytes, "KB")
