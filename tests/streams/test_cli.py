"""What the command line says where something is not as it should be: a sentence, soon."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from kafka import Kafka
from typer.testing import CliRunner

from streams import broker, cli
from streams.doctor import _folder, _told_lag, examine
from streams.settings import Settings


def freshet(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streams", *arguments],
        env=os.environ | {"COLUMNS": "80"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.broker
@pytest.mark.parametrize(("command", "asked"), [("recommend", "requests"), ("forget", "erasures")])
def test_who_asks_where_no_worker_has_run_is_told_so_at_once(
    kafka: Kafka, topic_prefix: str, command: str, asked: str
) -> None:
    began = time.monotonic()
    done = freshet(
        command,
        "ann",
        FRESHET_BOOTSTRAP_SERVERS=kafka.bootstrap_servers,
        FRESHET_TOPIC_PREFIX=topic_prefix,
    )
    assert time.monotonic() - began < 10
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"freshet: topics {topic_prefix}{asked} and {topic_prefix}recommendations are missing; "
        "start a worker, or create them with `freshet topics --create`\n"
    )


def test_who_has_somebody_forgotten_is_told_that_it_is_not_known_whether_there_was_anybody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wished: list[str] = []

    async def acted_on(_settings: Settings, user: str, **_: float) -> None:
        wished.append(user)

    monkeypatch.setattr("streams.forget.forget", acted_on)
    done = CliRunner().invoke(cli.app, ["forget", "[ann"], env={"FRESHET_TOPIC_PREFIX": "shop."})
    said = " ".join(done.output.split())
    assert (done.exit_code, wished) == (0, ["[ann"])
    assert "Whatever was known of '[ann' is forgotten: the wish stands on shop.erasures" in said
    assert "does not say whether anybody of this name was known" in said


@pytest.mark.broker
def test_the_doctor_does_not_look_how_far_topics_are_read_that_are_not_there(
    kafka: Kafka, topic_prefix: str
) -> None:
    settings = Settings(bootstrap_servers=kafka.bootstrap_servers, topic_prefix=topic_prefix)
    found = {finding.what: finding for finding in examine(settings)}
    assert found["topics"].verdict == "fault"
    assert "freshet topics --create" in found["topics"].detail
    assert "lag" not in found


def test_the_doctor_says_what_to_do_where_no_broker_answers() -> None:
    found = {
        finding.what: finding for finding in examine(Settings(bootstrap_servers="127.0.0.1:1"))
    }
    assert found["broker"].verdict == "fault"
    assert found["broker"].detail.startswith("no broker answers at 127.0.0.1:1 (KafkaConnection")
    assert "freshet broker --port 1" in found["broker"].detail
    assert "topics" not in found


@pytest.mark.parametrize(
    ("committed", "verdict", "said"),
    [
        ((None, None), "warning", "group shop has committed nothing, and 30 events wait"),
        ((0, None), "ok", "40 events"),
        ((20, None), "ok", "20 events"),
        ((20, 20), "ok", "0 events"),
    ],
)
def test_the_doctor_tells_a_group_that_lags_from_one_that_has_read_nothing(
    committed: tuple[int | None, ...], verdict: str, said: str
) -> None:
    partitions = [TopicPartition("events", 0), TopicPartition("events", 1)]
    starts, ends = dict(zip(partitions, (10, 0), strict=True)), dict.fromkeys(partitions, 20)
    found = _told_lag("shop", starts, ends, dict(zip(partitions, committed, strict=True)))
    assert (found.verdict, said in found.detail) == (verdict, True)


def test_the_doctor_says_of_a_folder_whether_it_is_there(tmp_path: Path) -> None:
    assert _folder("data folder", tmp_path).detail == str(tmp_path)
    assert "not there yet" in _folder("data folder", tmp_path / "data").detail


def test_the_doctor_takes_no_file_for_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.touch()
    for path in (file, file / "in-it"):
        found = _folder("data folder", path)
        assert (found.verdict, "FRESHET_DATA_DIR" in found.detail) == ("fault", True)


def test_which_freshet_this_is_can_be_asked() -> None:
    done = CliRunner().invoke(cli.app, ["--version"])
    assert (done.exit_code, done.output) == (0, f"freshet {version('freshet-recommender')}\n")


def test_the_doctor_takes_no_group_to_task_where_there_is_nothing_to_read() -> None:
    partition = TopicPartition("events", 0)
    assert _told_lag("shop", {partition: 5}, {partition: 5}, {partition: None}).verdict == "ok"


def test_a_broker_that_is_away_is_one_sentence() -> None:
    done = freshet("recommend", "ann", "--bootstrap-servers", "127.0.0.1:1")
    assert done.stderr == (
        "freshet: no Kafka broker answers at 127.0.0.1:1; start one with `freshet broker --port "
        "1`, or name yours with --bootstrap-servers.\n"
    )


@pytest.mark.parametrize(
    ("servers", "options", "port"),
    [
        ("127.0.0.1:19592", (), 19592),
        ("localhost:19592, kafka:9092", (), 19592),
        ("127.0.0.1", (), 9092),
        ("127.0.0.1:19592", ("--port", "19593"), 19593),
        ("127.0.0.1:19592", ("--port", "0"), None),
        ("kafka:9092", ("--port", "19593"), 19593),
    ],
)
def test_the_broker_listens_where_the_settings_say(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    servers: str,
    options: tuple[str, ...],
    port: int | None,
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(broker, "run_broker", lambda *_, **given: asked.append(given["port"]))
    config = tmp_path / "freshet.toml"
    config.write_text(f'bootstrap_servers = "{servers}"\n')
    done = CliRunner().invoke(cli.app, ["broker", "--config", str(config), *options])
    assert done.exit_code == 0, done.output
    assert asked == [port]


def test_a_broker_cannot_be_another_machine_s() -> None:
    with pytest.raises(broker.BrokerError, match=r"kafka\.example:9092.*127\.0\.0\.1.*--port"):
        broker.port_of("kafka.example:9092,127.0.0.1:9092")


@pytest.mark.parametrize(
    ("servers", "said"),
    [
        ("127.0.0.1:9092", "start one with `freshet broker`"),
        ("localhost:19592", "start one with `freshet broker --port 19592`"),
        ("kafka:9092", "start it"),
    ],
)
def test_what_to_do_without_a_broker_names_the_port_if_it_is_another(
    servers: str, said: str
) -> None:
    assert broker.advice(servers) == said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rules", "set", "[/x]"), "[/x]"),
        (("similar", "x", "--url", "http://[/x]"), "http://[/x]"),
        (("settings", "--set", "app_id=[/x]"), "[/x]"),
        (("evaluate", "[/x]:smile:.csv"), "[/x]:smile:.csv"),
    ],
)
def test_what_was_typed_is_shown_as_it_is(arguments: tuple[str, ...], said: str) -> None:
    done = freshet(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.broker
def test_a_user_whose_name_is_in_brackets_can_be_asked_for(kafka: Kafka, topic_prefix: str) -> None:
    where = {
        "FRESHET_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "FRESHET_TOPIC_PREFIX": topic_prefix,
    }
    assert freshet("topics", "--create", **where).returncode == 0
    done = freshet("recommend", "[/b]", "--timeout", "0.5", **where)
    assert done.returncode == 2
    assert done.stderr.startswith("freshet: no answer for '[/b]' within 0.5 s.")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [["settings"], ["settings", "--markdown"]])
def test_output_that_cannot_be_written_is_one_sentence(arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "streams", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == (
        "freshet: cannot write: No space left on device; make room, or write elsewhere\n"
    )


@pytest.mark.parametrize("command", ["worker", "setup"])
def test_a_cache_folder_that_cannot_be_is_told_before_anything_else(
    tmp_path: Path, command: str
) -> None:
    taken = tmp_path / "cache"
    taken.touch()
    done = freshet(command, FRESHET_CACHE_DIR=str(taken))
    assert done.returncode == 2
    assert "cannot write to the cache folder" in done.stderr
    assert "FRESHET_CACHE_DIR" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_doctor_finds_a_cache_folder_that_cannot_be(tmp_path: Path) -> None:
    taken = tmp_path / "cache"
    taken.touch()
    done = freshet("doctor", FRESHET_CACHE_DIR=str(taken), FRESHET_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert done.returncode == 1
    assert "cannot be written" in " ".join(done.stdout.split())


def test_a_cache_folder_that_cannot_be_looked_into_is_told_as_that(tmp_path: Path) -> None:
    """A name that is too long stands for missing rights, which nothing misses that runs as root."""
    taken = str(tmp_path / ("cache" * 100))
    servers = "127.0.0.1:1"
    done = freshet("doctor", FRESHET_CACHE_DIR=taken, FRESHET_BOOTSTRAP_SERVERS=servers)
    assert done.returncode == 1
    assert "cannot be written" in " ".join(done.stdout.split())
    assert "cannot read the cache folder" in " ".join(done.stdout.split())
    done = freshet("broker", "--data-dir", str(tmp_path / "data"), FRESHET_CACHE_DIR=taken)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "FRESHET_CACHE_DIR" in done.stderr


@pytest.mark.parametrize("after", [0.1, 0.3])
def test_ctrl_c_while_modules_are_read_is_no_fault(after: float) -> None:
    script = f"""
import os, signal, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
threading.Timer({after}, os.kill, (os.getpid(), signal.SIGINT)).start()
from streams.__main__ import main
main()
"""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-c", script, "similar", "tea", "--url", url],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
