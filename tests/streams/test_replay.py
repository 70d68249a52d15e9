"""`freshet replay` puts files on the topics: complete, in order, at the pace that was asked for."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from kafka import Kafka

from schemas import decode_event, decode_item
from streams.publisher import partition_of
from streams.replay import COULD_NOT_RUN, FINE, LINES_SKIPPED, run_replay
from streams.settings import Settings
from streams.topics import topics

T0 = 1_700_000_000
HEADER = "user_id,item_id,event,value,ts"


def csv(path: Path, rows: list[str], header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def views(count: int, seconds: float = 1) -> list[str]:
    return [f"u{n % 7},i{n},view,,{T0 + n * seconds}" for n in range(count)]


@pytest.fixture
def settings(kafka: Kafka, topic_prefix: str) -> Settings:
    return Settings(bootstrap_servers=kafka.bootstrap_servers, topic_prefix=topic_prefix)


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Both streams as one line: what a person reads, however the terminal wraps it."""

    def read() -> str:
        captured = capsys.readouterr()
        return " ".join((captured.out + captured.err).split())

    return read


@pytest.mark.broker
def test_every_event_arrives_each_user_s_in_order_where_the_key_says(
    kafka: Kafka, settings: Settings, tmp_path: Path, said: Callable[[], str]
) -> None:
    path = tmp_path / "events.csv.gz"
    path.write_bytes(gzip.compress("\n".join([HEADER, *views(30_000)]).encode()))
    items = csv(
        tmp_path / "items.csv",
        ["i1,One,,a|b,5", "i2,Two,,,"],
        "item_id,title,text,categories,price",
    )

    assert run_replay(settings, path, items=items) == FINE
    spoken = said()
    assert "Sent 2 items and 30,000 events" in spoken
    assert "columns that are not read: price. Read are item_id, title" in spoken
    assert spoken.count("not read") == 1

    records = kafka.consume(settings.topic("events"), 30_000)
    assert len(records) == 30_000
    seen: dict[str, list[int]] = {}
    for record in records:
        event = decode_event(record.value, record.timestamp_ms, record.timestamp_ms)
        assert record.key == event.user_id.encode()
        assert record.partition == partition_of(record.key, 4)
        seen.setdefault(event.user_id, []).append(event.ts)
    assert all(times == sorted(times) for times in seen.values())

    found = [
        (record.key, decode_item(record.value, record.timestamp_ms, record.timestamp_ms).title)
        for record in kafka.consume(settings.topic("items"), 2)
    ]
    assert sorted(found) == [(b"i1", "One"), (b"i2", "Two")]


@pytest.mark.broker
def test_bad_lines_are_named_and_the_rest_arrives(
    kafka: Kafka, settings: Settings, tmp_path: Path, said: Callable[[], str]
) -> None:
    path = csv(tmp_path / "events.csv", ["u,i,teleport,,1700000000"] * 30 + views(5))
    assert run_replay(settings, path) == LINES_SKIPPED
    text = said()
    assert f"{path}:2: event: 'teleport'".replace(" ", "") in text.replace(" ", "")
    assert ":21:" in text
    assert ":22:" not in text
    assert "30 lines could not be read" in text
    assert "Sent 5 events" in text
    assert len(kafka.consume(settings.topic("events"), 5)) == 5


@pytest.mark.broker
def test_at_most_stops_there(kafka: Kafka, settings: Settings, tmp_path: Path) -> None:
    assert run_replay(settings, csv(tmp_path / "e.csv", views(50)), at_most=9) == FINE
    assert len(kafka.consume(settings.topic("events"), 9)) == 9


@pytest.mark.broker
@pytest.mark.parametrize("pace", [{"speed": "20"}, {"speed": "20x"}, {"rate": 20}])
def test_the_pace_is_held(settings: Settings, tmp_path: Path, pace: dict[str, Any]) -> None:
    path = csv(tmp_path / "events.csv", views(21))
    run_replay(settings, path, at_most=1)
    began = time.monotonic()
    assert run_replay(settings, path, **pace) == FINE
    assert 1.0 <= time.monotonic() - began < 5.0


@pytest.mark.parametrize(
    ("pace", "advice"),
    [
        ({"speed": "fast"}, "as in 60"),
        ({"speed": "0"}, "as in 60"),
        ({"speed": "-1"}, "as in 60"),
        ({"speed": "inf"}, "as in 60"),
        ({"speed": "nan"}, "as in 60"),
        ({"rate": 0.0}, "above 0"),
        ({"rate": float("nan")}, "above 0"),
    ],
)
def test_a_pace_that_makes_no_sense_says_how_to_write_one(
    tmp_path: Path, said: Callable[[], str], pace: dict[str, Any], advice: str
) -> None:
    assert run_replay(Settings(), csv(tmp_path / "e.csv", []), **pace) == COULD_NOT_RUN
    assert advice in said()


def test_a_file_that_is_not_there_is_said_before_the_brokers_are_asked(
    tmp_path: Path, said: Callable[[], str]
) -> None:
    nowhere = Settings(bootstrap_servers="127.0.0.1:1")
    there = csv(tmp_path / "events.csv", [])
    assert run_replay(nowhere, tmp_path / "none.csv") == COULD_NOT_RUN
    assert "none.csv" in said()
    assert run_replay(nowhere, there, items=tmp_path / "no-items.csv") == COULD_NOT_RUN
    assert "no-items.csv" in said()


@pytest.mark.broker
def test_missing_columns_are_named(
    settings: Settings, tmp_path: Path, said: Callable[[], str]
) -> None:
    path = csv(tmp_path / "events.csv", ["u,i"], header="user_id,item_id")
    assert run_replay(settings, path) == COULD_NOT_RUN
    assert "no column event and no column ts" in said()


def command(settings: Settings, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    environment = os.environ | {
        "FRESHET_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "FRESHET_TOPIC_PREFIX": settings.topic_prefix,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "streams", "replay", *arguments],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def until_some_arrived(kafka: Kafka, settings: Settings) -> None:
    give_up = time.monotonic() + 60
    while not kafka.consume(settings.topic("events"), timeout_s=1):
        assert time.monotonic() < give_up, "nothing arrived"
        time.sleep(0.2)


def until_the_topics_are_there(kafka: Kafka, settings: Settings) -> None:
    wanted = {topic.name for topic in topics(settings)}
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    give_up = time.monotonic() + 60
    while not wanted <= set(admin.list_topics(timeout=10).topics):
        assert time.monotonic() < give_up, "no topics"
        time.sleep(0.1)


@pytest.mark.broker
def test_ctrl_c_ends_it_and_says_how_many_were_sent(
    kafka: Kafka, settings: Settings, tmp_path: Path
) -> None:
    run_replay(settings, csv(tmp_path / "none.csv", []))  # the topics
    path = csv(tmp_path / "events.csv", views(10_000))
    process = command(settings, str(path), "--rate", "20")
    until_some_arrived(kafka, settings)
    process.send_signal(signal.SIGINT)
    _, notes = process.communicate(timeout=20)
    assert process.returncode == LINES_SKIPPED
    assert "Traceback" not in notes
    [count] = re.findall(r"Interrupted: sent ([\d,]+) events", notes)
    arrived = kafka.consume(settings.topic("events"))
    assert [json.loads(record.value or b"")["item_id"] for record in arrived]
    assert len(arrived) == int(count.replace(",", ""))


@pytest.mark.broker
@pytest.mark.parametrize("count", [5, 0])
def test_ctrl_c_ends_it_while_it_waits_for_standard_input(
    kafka: Kafka, settings: Settings, count: int
) -> None:
    process = command(settings, "-", stdin=subprocess.PIPE)
    assert process.stdin is not None
    if count:
        process.stdin.write("\n".join([HEADER, *views(count)]) + "\n")
        process.stdin.flush()
    until_the_topics_are_there(kafka, settings)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, notes = process.communicate(timeout=20)
    assert process.returncode == LINES_SKIPPED
    assert "Traceback" not in notes
    assert f"Interrupted: sent {count} events" in notes


@pytest.mark.broker
def test_standard_input_is_replayed(kafka: Kafka, settings: Settings) -> None:
    process = command(settings, "-", stdin=subprocess.PIPE)
    _, notes = process.communicate("\n".join([HEADER, *views(5)]), timeout=60)
    assert process.returncode == FINE, notes
    assert len(kafka.consume(settings.topic("events"), 5)) == 5
