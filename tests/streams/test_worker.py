"""The main job on a real broker: events in, recommendations out, nothing lost."""

import io
import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from kafka import Kafka
from rich.console import Console
from workers import Worker

from schemas import decode_recommendation
from streams.dead_letters import Selection
from streams.dead_letters_replay import run_replay
from streams.rules import run_list
from streams.settings import Settings

pytestmark = pytest.mark.broker

NOW_MS = int(time.time() * 1000)


@pytest.fixture
def worker(kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path) -> Iterator[Worker]:
    with Worker(kafka.bootstrap_servers, topic_prefix, cache_dir, tmp_path) as running:
        yield running


def event(user: str, item: str, kind: str = "click", **more: Any) -> tuple[str, bytes]:
    return user, json.dumps({"user_id": user, "item_id": item, "type": kind, **more}).encode()


def some_events(count: int = 300) -> list[tuple[str, bytes]]:
    """30 users of two tastes: even ones take even items, odd ones odd items."""
    return [
        event(f"u{n % 30}", f"i{(n * 7 // 30 * 2 + n % 2) % 40}", event_id=f"e{n}")
        for n in range(count)
    ]


def test_every_user_who_acts_gets_a_list_that_says_why(kafka: Kafka, worker: Worker) -> None:
    kafka.produce(f"{worker.topic_prefix}events", some_events())
    worker.wait_for_metric("freshet_model_events", 300)
    lists = kafka.consume(f"{worker.topic_prefix}recommendations", at_least=30)

    newest = {record.key: decode_recommendation(record.value or b"") for record in lists}
    assert {key.decode() for key in newest if key} == {f"u{n}" for n in range(30)}
    for recommendation in newest.values():
        assert recommendation.items
        assert recommendation.cause is not None
        assert recommendation.cause.topic == f"{worker.topic_prefix}events"
        for item in recommendation.items:
            assert item.reason is not None
            assert item.reason.text


def test_what_is_published_is_valid_under_the_published_schema(
    kafka: Kafka, worker: Worker
) -> None:
    """With another client library (confluent-kafka) and another JSON library than Freshet's."""
    schema = json.loads(Path("schemas/json/recommendation.schema.json").read_text())
    kafka.produce(f"{worker.topic_prefix}events", some_events())
    worker.wait_for_metric("freshet_model_events", 300)
    lists = kafka.consume(f"{worker.topic_prefix}recommendations", at_least=30)
    assert len(lists) >= 30
    validator = jsonschema.Draft202012Validator(schema)
    for record in lists:
        validator.validate(json.loads(record.value or b""))


def test_a_batch_is_read_whichever_way_its_producer_compressed_it(
    kafka: Kafka, worker: Worker
) -> None:
    topic = f"{worker.topic_prefix}events"
    for codec in ("gzip", "lz4", "snappy", "zstd"):
        # Alike and many, or the client sends them as they are.
        kafka.produce(topic, [event(codec, f"i{n}") for n in range(50)], compression=codec)
    worker.wait_for_metric("freshet_model_events", 200)
    lists = kafka.consume(f"{worker.topic_prefix}recommendations", at_least=4)
    assert {record.key for record in lists} == {b"gzip", b"lz4", b"snappy", b"zstd"}


BAD = {
    "not JSON": b"hello {",
    "wrong type": b'{"user_id": 7, "item_id": "i", "type": "click"}',
    "missing field": b'{"user_id": "u", "type": "click"}',
    "empty id": b'{"user_id": "", "item_id": "i", "type": "click"}',
    "10 MB record": b'{"user_id": "u", "item_id": "i", "type": "click", "context": {"x": "'
    + b"y" * 10_000_000
    + b'"}}',
    "NaN": b'{"user_id": "u", "item_id": "i", "type": "rating", "value": NaN}',
    "year 1": b'{"user_id": "u", "item_id": "i", "type": "click", "ts": "0001-01-01T00:00:00Z"}',
    "year 9999": b'{"user_id": "u", "item_id": "i", "type": "click", "ts": "9999-12-31T23:59:59Z"}',
    "null value": None,
    "unknown type": b'{"user_id": "u", "item_id": "i", "type": "teleport"}',
}


def test_a_bad_record_is_set_aside_unchanged_and_the_next_one_is_processed(
    kafka: Kafka, worker: Worker
) -> None:
    topic = f"{worker.topic_prefix}events"
    for value in BAD.values():
        kafka.produce(topic, [("u", value), event("u", "good")])
    worker.wait_for_metric("freshet_model_events", len(BAD))
    worker.wait_for_metric("freshet_dead_letters_total", len(BAD), topic=topic)

    dead = kafka.consume(f"{worker.topic_prefix}dead-letters", at_least=len(BAD))
    original = {
        (record.partition, record.offset): record
        for record in kafka.consume(topic, at_least=2 * len(BAD))
    }
    assert sorted(map(str, (r.value for r in dead))) == sorted(map(str, BAD.values()))
    for letter in dead:
        headers = {name: value.decode() for name, value in letter.headers.items()}
        assert headers["freshet-topic"] == topic
        source = original[int(headers["freshet-partition"]), int(headers["freshet-offset"])]
        assert (letter.key, letter.value) == (source.key, source.value)
        assert headers["freshet-reason"]
        assert headers["freshet-detail"]


def test_a_request_is_answered_with_its_id_and_obeys_its_filters(
    kafka: Kafka, worker: Worker
) -> None:
    prefix = worker.topic_prefix
    kafka.produce(
        f"{prefix}items",
        [
            (f"i{n}", json.dumps({"item_id": f"i{n}", "categories": [f"c{n % 2}"]}).encode())
            for n in range(40)
        ],
    )
    kafka.produce(f"{prefix}events", some_events())
    worker.wait_for_metric("freshet_model_events", 300)
    worker.wait_for_metric("freshet_catalogue_items", 40)
    asked = {"user_id": "new", "request_id": "r1", "n": 5, "categories": ["c1"], "exclude": ["i1"]}
    kafka.produce(f"{prefix}requests", [("new", json.dumps(asked).encode())])
    worker.wait_for_metric("freshet_requests_total", 1)
    answers = [
        decode_recommendation(record.value or b"")
        for record in kafka.consume(f"{prefix}recommendations", at_least=31)
        if record.key == b"new"
    ]
    assert len(answers) == 1
    assert answers[0].cause is not None
    assert answers[0].cause.request_id == "r1"
    chosen = [item.item_id for item in answers[0].items]
    assert len(chosen) == 5
    assert all(int(item[1:]) % 2 == 1 and item != "i1" for item in chosen)


def test_an_item_switched_off_or_deleted_is_recommended_no_more(
    kafka: Kafka, worker: Worker
) -> None:
    prefix = worker.topic_prefix
    kafka.produce(f"{prefix}events", some_events())
    worker.wait_for_metric("freshet_model_events", 300)
    kafka.produce(
        f"{prefix}items",
        [("i1", b'{"item_id": "i1", "available": false}'), ("i3", None)],
    )
    worker.wait_for_metric("freshet_items_total", 2)
    kafka.produce(f"{prefix}requests", [("new", b'{"user_id": "new", "n": 100}')])
    worker.wait_for_metric("freshet_requests_total", 1)
    answer = next(
        decode_recommendation(record.value or b"")
        for record in kafka.consume(f"{prefix}recommendations", at_least=31)
        if record.key == b"new"
    )
    chosen = {item.item_id for item in answer.items}
    assert "i5" in chosen
    assert not chosen & {"i1", "i3"}


def test_what_stands_under_another_key_than_its_own_is_set_aside_and_has_no_effect(
    kafka: Kafka, worker: Worker
) -> None:
    prefix = worker.topic_prefix
    ban = {"rule_id": "no-odd", "kind": "ban", "categories": ["odd"]}
    miskeyed = {
        "items": ("item_id", {"item_id": "i1", "categories": ["odd"], "available": False}),
        "rules": ("rule_id", ban),
        "editorial": ("name", {"name": "Summer", "items": [{"item_id": "i2"}]}),
        "profiles": ("user_id", {"user_id": "ann", "country": "DE"}),
    }
    for topic, (_, message) in miskeyed.items():
        kafka.produce(f"{prefix}{topic}", [("another", json.dumps(message).encode())])
    kafka.produce(f"{prefix}items", [("i1", b'{"item_id": "i1", "categories": ["odd"]}')])
    worker.wait_for_metric("freshet_catalogue_items", 1)
    worker.wait_for_metric("freshet_dead_letters_total", len(miskeyed))

    details = {
        letter.headers["freshet-topic"].decode(): letter.headers["freshet-detail"].decode()
        for letter in kafka.consume(f"{prefix}dead-letters", at_least=len(miskeyed))
    }
    assert set(details) == {f"{prefix}{topic}" for topic in miskeyed}
    for topic, (field, _) in miskeyed.items():
        assert f"send the {field} as the key" in details[f"{prefix}{topic}"]

    kafka.produce(f"{prefix}events", [event("u", "i1")])
    kafka.produce(f"{prefix}requests", [("ann", b'{"user_id": "ann"}')])
    answer = next(
        decode_recommendation(record.value or b"")
        for record in kafka.consume(f"{prefix}recommendations", at_least=2)
        if record.key == b"ann"
    )
    assert [item.item_id for item in answer.items] == ["i1"]
    assert run_rules(worker) == ""


def test_a_wish_to_be_forgotten_under_another_key_is_fulfilled_and_set_aside(
    kafka: Kafka, worker: Worker
) -> None:
    prefix = worker.topic_prefix
    kafka.produce(f"{prefix}events", [event("ann", "i1")])
    kafka.consume(f"{prefix}recommendations", at_least=1)
    kafka.produce(f"{prefix}erasures", [("another", b'{"user_id": "ann"}')])
    (letter,) = kafka.consume(f"{prefix}dead-letters", at_least=1)
    assert "send it again with the user_id as the key" in letter.headers["freshet-detail"].decode()
    lists = kafka.consume(f"{prefix}recommendations", at_least=2)
    assert [record.value for record in lists if record.key == b"ann"][-1] is None
    worker.wait_for_metric("freshet_erasures_total", 1)

    settings = Settings(bootstrap_servers=worker.bootstrap_servers, topic_prefix=prefix)
    out = Console(file=io.StringIO())
    assert run_replay(settings, Selection(topic="erasures"), out=out) == 0
    assert {wish.key for wish in kafka.consume(f"{prefix}erasures")} == {b"another", b"ann"}
    assert len(kafka.consume(f"{prefix}recommendations", at_least=3)) == 3
    assert worker.metric("freshet_dead_letters_total", topic=f"{prefix}erasures") == 1


def run_rules(worker: Worker) -> str:
    """What `freshet rules list --json` says."""
    out = Console(file=io.StringIO())
    settings = Settings(
        bootstrap_servers=worker.bootstrap_servers, topic_prefix=worker.topic_prefix
    )
    run_list(settings, as_lines=True, out=out)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_sigterm_finishes_and_commits_what_is_in_hand(kafka: Kafka, worker: Worker) -> None:
    topic = f"{worker.topic_prefix}events"
    kafka.produce(topic, some_events(2000))
    worker.wait_for_metric("freshet_model_events", 1)
    assert worker.terminate() == 0, worker.log
    done = kafka.committed(f"{worker.topic_prefix}app", topic)
    published = kafka.consume(f"{worker.topic_prefix}recommendations")
    taken = {
        (cause.partition, cause.offset)
        for record in published
        if (cause := decode_recommendation(record.value or b"").cause) is not None
    }
    assert taken
    assert all(offset < done[partition] for partition, offset in taken)


def test_after_kill_9_the_next_worker_goes_on_and_nobody_is_left_out(
    kafka: Kafka, worker: Worker
) -> None:
    prefix = worker.topic_prefix
    kafka.produce(f"{prefix}events", some_events(3000))
    worker.wait_for_metric("freshet_model_events", 1)
    worker.kill()
    worker.start()
    worker.wait_until_ready()
    kafka.produce(f"{prefix}events", [event("last", "i1")])
    give_up = time.monotonic() + 30
    ends = {"last": False}
    while not ends["last"] and time.monotonic() < give_up:
        lists = kafka.consume(f"{prefix}recommendations")
        ends["last"] = any(record.key == b"last" for record in lists)
    users = {record.key.decode() for record in lists if record.key}
    assert users == {f"u{n}" for n in range(30)} | {"last"}


def test_both_forms_of_time_are_taken(kafka: Kafka, worker: Worker) -> None:
    topic = f"{worker.topic_prefix}events"
    stamp = datetime.fromtimestamp(NOW_MS / 1000, UTC).isoformat()
    kafka.produce(topic, [event("u", "i", ts=NOW_MS), event("u", "j", ts=stamp)])
    worker.wait_for_metric("freshet_model_events", 2)
    assert worker.metric("freshet_dead_letters_total") == 0
    none = f'freshet_dead_letters_total{{reason="invalid",topic="{topic}"}} 0.0'
    assert none in worker.get("/metrics")[1]


def test_metrics_are_as_prometheus_wants_them(kafka: Kafka, worker: Worker) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    kafka.produce(f"{worker.topic_prefix}events", some_events())
    worker.wait_for_metric("freshet_model_events", 300)
    page = worker.get("/metrics")[1]
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=page, text=True, capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_prometheus_scrapes_the_worker(kafka: Kafka, worker: Worker, tmp_path: Path) -> None:
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        pytest.skip("prometheus is not installed (Debian: apt-get install prometheus)")
    kafka.produce(f"{worker.topic_prefix}events", some_events())
    worker.wait_for_metric("freshet_model_events", 300)
    config = tmp_path / "prometheus.yml"
    target = worker.url.removeprefix("http://")
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: freshet, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    port = target.rsplit(":", 1)[0] + ":0"
    log = tmp_path / "prometheus.log"
    with (
        log.open("wb") as sink,
        subprocess.Popen(
            [
                prometheus,
                f"--config.file={config}",
                f"--storage.tsdb.path={tmp_path / 'tsdb'}",
                f"--web.listen-address={port}",
            ],
            stderr=sink,
            stdout=sink,
        ) as process,
    ):
        try:
            assert _asked(log, "freshet_model_events") == 300
        finally:
            process.kill()


def _asked(log: Path, query: str) -> float:
    """What Prometheus answers; its own log tells which port it took."""
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        address = re.search(r"Listening on\"? address=(127\.0\.0\.1:\d+)", log.read_text())
        if address:
            url = f"http://{address[1]}/api/v1/query?query={query}"
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    result = json.load(answer)["data"]["result"]
            except OSError:
                result = []
            if result:
                return float(result[0]["value"][1])
        time.sleep(0.2)
    raise AssertionError(f"no answer from Prometheus:\n{log.read_text()}")
