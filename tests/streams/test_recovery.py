"""Killed anywhere, started anywhere: every event is learned once, and serving goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from kafka import Kafka
from replicas import counts, saved
from workers import Worker

from streams.settings import Settings
from streams.topics import topics

pytestmark = [pytest.mark.broker, pytest.mark.slow]

SOON = {"FRESHET_SNAPSHOT_SECONDS": "1", "FRESHET_SESSION_TIMEOUT_SECONDS": "6"}


def click(user: str, item: str, event_id: str | None = None) -> tuple[str, bytes]:
    record = {"user_id": user, "item_id": item, "type": "click", "event_id": event_id}
    return user, json.dumps(record).encode()


def clicks(first: int, count: int) -> list[tuple[str, bytes]]:
    """Two tastes: even users take even items, odd ones odd items."""
    return [
        click(f"u{n % 50}", f"i{(n * 7 // 50 * 2 + n % 2) % 60}", f"e{n}")
        for n in range(first, first + count)
    ]


def taken(records: Sequence[tuple[str, bytes]]) -> Counter[str]:
    return Counter(json.loads(value)["item_id"] for _, value in records)


def until_all_is_published(kafka: Kafka, worker: Worker, timeout_s: float = 60) -> None:
    """Until the group has committed the end of every partition of `events`."""
    topic, give_up = f"{worker.topic_prefix}events", time.monotonic() + timeout_s
    ends = Counter(record.partition for record in kafka.consume(topic))
    while kafka.committed(f"{worker.topic_prefix}app", topic) != ends:
        assert time.monotonic() < give_up, worker.log
        time.sleep(0.2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "snapshots"


def worker_of(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path, folder: Path
) -> Worker:
    environment = {"FRESHET_SNAPSHOTS": str(folder), **SOON}
    return Worker(kafka.bootstrap_servers, topic_prefix, cache_dir, tmp_path, environment)


def test_what_a_killed_worker_had_learned_is_there_again_and_learned_once(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path, folder: Path
) -> None:
    events = clicks(0, 4000)
    with worker_of(kafka, topic_prefix, cache_dir, tmp_path, folder) as worker:
        for begin, stop in ((0, 1500), (1500, 2500), (2500, 3300), (3300, 4000)):
            kafka.produce(f"{topic_prefix}events", events[begin:stop])
            worker.wait_for_metric("freshet_model_events", begin + 100)
            worker.kill()
            worker.start()
            worker.wait_until_ready()
        worker.wait_for_metric("freshet_model_events", 4000)
        until_all_is_published(kafka, worker)
        assert worker.terminate() == 0, worker.log
    replica = saved(folder, worker)
    assert replica.recommender.events == 4000
    assert counts(replica) == taken(events)
    lists = kafka.consume(f"{topic_prefix}recommendations")
    assert {record.key for record in lists} == {f"u{n}".encode() for n in range(50)}


def test_a_duplicate_is_learned_once_also_across_a_restart(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path, folder: Path
) -> None:
    events = clicks(0, 300)
    with worker_of(kafka, topic_prefix, cache_dir, tmp_path, folder) as worker:
        kafka.produce(f"{topic_prefix}events", [*events, *events[-50:]])
        worker.wait_for_metric("freshet_duplicates_total", 50)
        assert worker.terminate() == 0
        worker.start()
        worker.wait_until_ready()
        kafka.produce(f"{topic_prefix}events", [*events[-20:], click("u1", "i1", "new")])
        worker.wait_for_metric("freshet_duplicates_total", 20)
        assert worker.terminate() == 0
    assert counts(saved(folder, worker)) == taken([*events, click("u1", "i1")])


def test_workers_learn_from_each_others_clicks_and_take_over_at_once(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path, folder: Path
) -> None:
    first = worker_of(kafka, topic_prefix, cache_dir, tmp_path / "a", folder)
    second = worker_of(kafka, topic_prefix, cache_dir, tmp_path / "b", folder)
    for each in (first, second):
        each.folder.mkdir()
    events = clicks(0, 3000)
    with first, second:
        kafka.produce(f"{topic_prefix}events", events[:2000])
        for each in (first, second):
            each.wait_for_metric("freshet_model_events", 2000)
        first.kill()
        killed = time.monotonic()
        kafka.produce(f"{topic_prefix}events", [*events[2000:], click("last", "i1", "x")])
        second.wait_for_metric("freshet_model_events", 3001)
        while not any(r.key == b"last" for r in kafka.consume(f"{topic_prefix}recommendations")):
            assert time.monotonic() < killed + 25, second.log
        assert second.terminate() == 0
    assert counts(saved(folder, second)) == taken([*events, click("last", "i1")])


def test_a_worker_that_slept_past_its_session_goes_on_without_learning_twice(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path, folder: Path
) -> None:
    zombie = worker_of(kafka, topic_prefix, cache_dir, tmp_path / "a", folder / "a")
    other = worker_of(kafka, topic_prefix, cache_dir, tmp_path / "b", folder / "b")
    for each in (zombie, other):
        each.folder.mkdir()
    events = clicks(0, 3000)
    with zombie, other:
        kafka.produce(f"{topic_prefix}events", events[:2000])
        zombie.wait_for_metric("freshet_model_events", 100)
        os.kill(zombie.process.pid, signal.SIGSTOP)
        time.sleep(9)
        kafka.produce(f"{topic_prefix}events", events[2000:])
        other.wait_for_metric("freshet_model_events", 3000)
        os.kill(zombie.process.pid, signal.SIGCONT)
        zombie.wait_for_metric("freshet_model_events", 3000)
        time.sleep(2)
        assert other.terminate() == 0
        assert zombie.terminate() == 0
    for each, name in ((zombie, "a"), (other, "b")):
        assert counts(saved(folder / name, each)) == taken(events)


def test_a_damaged_snapshot_is_passed_over_for_the_one_before(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path, folder: Path
) -> None:
    with worker_of(kafka, topic_prefix, cache_dir, tmp_path, folder) as worker:
        kafka.produce(f"{topic_prefix}events", clicks(0, 500))
        worker.wait_for_metric("freshet_snapshots_total", 1, outcome="written")
        kafka.produce(f"{topic_prefix}events", clicks(500, 500))
        worker.wait_for_metric("freshet_model_events", 1000)
        assert worker.terminate() == 0
        newest, before = sorted(folder.glob("*.freshet"), reverse=True)[:2]
        content = bytearray(newest.read_bytes())
        content[len(content) // 2] ^= 0xFF
        newest.write_bytes(content)
        worker.start()
        worker.wait_until_ready()
        assert f"{newest} is damaged" in worker.log
        assert before.name in worker.log
        worker.wait_for_metric("freshet_model_events", 1000)


def test_a_forgotten_user_is_in_no_topic_and_no_file_of_ours(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path, folder: Path
) -> None:
    name = "the-user-who-wants-to-go"
    with worker_of(kafka, topic_prefix, cache_dir, tmp_path, folder) as worker:
        topic = f"{topic_prefix}events"
        kafka.produce(topic, [*clicks(0, 300), click(name, "i1"), click(name, "i3")])
        kafka.produce(topic, [click(name, "i5")], timestamp_ms=int(time.time() * 1000) + 120_000)
        profile = json.dumps({"user_id": name, "country": "DE"}).encode()
        ahead = int(time.time() * 1000) + 120_000
        kafka.produce(f"{topic_prefix}profiles", [(name, profile)], timestamp_ms=ahead)
        worker.wait_for_metric("freshet_profiles", 1)
        worker.wait_for_metric("freshet_model_events", 303)
        worker.wait_for_metric("freshet_snapshots_total", 1, outcome="written")
        done = subprocess.run(
            [sys.executable, "-m", "streams", "forget", name],
            env={
                **os.environ,
                "FRESHET_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
                "FRESHET_TOPIC_PREFIX": topic_prefix,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert name in done.stdout
        give_up = time.monotonic() + 20
        while any(name.encode() in path.read_bytes() for path in folder.iterdir()):
            assert time.monotonic() < give_up, worker.log
            time.sleep(0.2)

        # Neither a restart, which reads the log again, nor the loss of all snapshots brings
        # anything back; what the user does from now on counts.
        worker.kill()
        for path in folder.iterdir():
            path.unlink()
        worker.start()
        worker.wait_until_ready()
        worker.wait_for_metric("freshet_model_events", 300)
        assert worker.metric("freshet_profiles") == 0
        assert worker.terminate() == 0
        assert name.encode() not in b"".join(path.read_bytes() for path in folder.iterdir())
        for lists_or_profiles in ("recommendations", "profiles"):
            newest = {r.key: r.value for r in kafka.consume(f"{topic_prefix}{lists_or_profiles}")}
            assert newest[name.encode()] is None
        # `events` is the shop's own, and `erasures` says who is meant. Elsewhere a null value is
        # the newest, and compaction removes what it replaced.
        ours = {topic.name for topic in topics(Settings())}
        for topic in ours - {"events", "erasures"}:
            newest = {r.key: r.value for r in kafka.consume(f"{topic_prefix}{topic}")}
            assert name.encode() not in b"".join(value or b"" for value in newest.values()), topic
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert worker.log_file in files
        assert [path for path in files if name.encode() in path.read_bytes()] == []


def test_topics_that_got_more_partitions_are_learned_to_their_ends(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path, folder: Path
) -> None:
    topic, events = f"{topic_prefix}events", clicks(0, 600)
    with worker_of(kafka, topic_prefix, cache_dir, tmp_path, folder) as worker:
        kafka.produce(topic, events[:300])
        worker.wait_for_metric("freshet_model_events", 300)
        assert worker.terminate() == 0
        together = [each.name for each in topics(Settings()) if each.co_partitioned]
        kafka.grow(*(topic_prefix + name for name in together), partitions=6)
        kafka.produce(topic, events[300:])
        assert {record.partition for record in kafka.consume(topic)} == set(range(6))
        worker.environment = {**worker.environment, "FRESHET_PARTITIONS": "6"}
        worker.start()
        worker.wait_until_ready()
        until_all_is_published(kafka, worker)
        assert worker.terminate() == 0
    assert counts(saved(folder, worker)) == taken(events)


@pytest.mark.slow
def test_topics_that_get_more_partitions_under_a_worker_are_served_within_a_minute(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path, folder: Path
) -> None:
    topic, events = f"{topic_prefix}events", clicks(0, 600)
    with worker_of(kafka, topic_prefix, cache_dir, tmp_path, folder) as worker:
        kafka.produce(topic, events[:300])
        worker.wait_for_metric("freshet_model_events", 300)
        together = [each.name for each in topics(Settings()) if each.co_partitioned]
        kafka.grow(*(topic_prefix + name for name in together), partitions=6)
        kafka.produce(topic, events[300:])
        worker.wait_for_metric("freshet_model_events", 600, 60)
        until_all_is_published(kafka, worker)
        assert worker.terminate() == 0
    assert counts(saved(folder, worker)) == taken(events)


def test_a_topic_made_anew_is_not_taken_for_the_old_one(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path, folder: Path
) -> None:
    topic = f"{topic_prefix}events"
    with worker_of(kafka, topic_prefix, cache_dir, tmp_path, folder) as worker:
        kafka.produce(topic, clicks(0, 300))
        worker.wait_for_metric("freshet_model_events", 300)
        assert worker.terminate() == 0
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
        for number_of_events in (10, 3000):
            admin.delete_topics([topic])[topic].result(15)
            time.sleep(1)
            kafka.create(topic)
            kafka.produce(topic, clicks(0, number_of_events))
            worker.start()
            assert worker.process.wait(60) != 0
            assert "was made anew" in worker.log
            assert "FRESHET_SNAPSHOTS" in worker.log


def of_format(snapshots: Path, number: int) -> None:
    """As if another version had written them."""
    for file in snapshots.glob("*.freshet"):
        with np.load(file) as archive:
            arrays = dict(archive) | {"format": np.array([number])}
        with file.open("wb") as out:
            np.savez(out, **arrays)


def lose(kafka: Kafka, topic: str, *, before: int) -> None:
    """Delete what partition 0 holds before this offset."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for done in admin.delete_records([TopicPartition(topic, 0, before)]).values():
        done.result(10)


def test_a_model_that_cannot_be_read_is_learned_again_or_kept_where_that_cannot_be(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path, folder: Path
) -> None:
    topic = f"{topic_prefix}events"
    with worker_of(kafka, topic_prefix, cache_dir, tmp_path, folder) as worker:
        kafka.produce(topic, clicks(0, 200), partition=0)
        worker.wait_for_metric("freshet_model_events", 200)
        assert worker.terminate() == 0
        of_format(folder, 1)
        worker.start()
        worker.wait_until_ready()
        worker.wait_for_metric("freshet_model_events", 200)
        assert "of another version" in worker.log
        assert worker.terminate() == 0
        of_format(folder, 1)
        lose(kafka, topic, before=50)
        before = sorted(folder.iterdir())
        worker.start()
        assert worker.process.wait(60) != 0
        assert "Start the version that wrote it" in worker.log
        assert sorted(folder.iterdir()) == before


def test_events_gone_from_the_log_unlearned_are_counted_and_the_rest_is_learned(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path, folder: Path
) -> None:
    topic = f"{topic_prefix}events"
    with worker_of(kafka, topic_prefix, cache_dir, tmp_path, folder) as worker:
        kafka.produce(topic, clicks(0, 200), partition=0)
        worker.wait_for_metric("freshet_model_events", 200)
        assert worker.terminate() == 0
        kafka.produce(topic, clicks(200, 100), partition=0)
        lose(kafka, topic, before=250)
        worker.start()
        worker.wait_until_ready()
        worker.wait_for_metric("freshet_model_events", 250)
        assert worker.metric("freshet_missed_events_total") == 50
        assert "are gone from the log" in worker.log


def test_a_place_where_nothing_can_be_saved_is_named_at_the_start(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "a file").write_text("")
    worker = worker_of(kafka, topic_prefix, cache_dir, tmp_path, tmp_path / "a file" / "snapshots")
    worker.start()
    assert worker.process.wait(60) != 0
    assert "FRESHET_SNAPSHOTS" in worker.log


def test_a_full_disk_costs_the_snapshot_and_nothing_else(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path, folder: Path
) -> None:
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder],
        check=False,
        capture_output=True,
    )
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    try:
        with worker_of(kafka, topic_prefix, cache_dir, tmp_path, folder) as worker:
            kafka.produce(f"{topic_prefix}events", clicks(0, 300))
            worker.wait_for_metric("freshet_snapshots_total", 1, outcome="failed")
            assert "No space left" in worker.log
            kafka.produce(f"{topic_prefix}events", clicks(300, 300))
            worker.wait_for_metric("freshet_model_events", 600)
            assert worker.get("/readyz")[0] == 200
            subprocess.run(["mount", "-o", "remount,size=64m", folder], check=True)
            worker.wait_for_metric("freshet_snapshots_total", 1, outcome="written")
            assert worker.terminate() == 0
        assert counts(saved(folder, worker)) == taken(clicks(0, 600))
        assert not list(folder.glob(".part-*"))
    finally:
        subprocess.run(["umount", folder], check=False)
