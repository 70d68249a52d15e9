"""More events than can be answered: all are learned, lists become fewer, nobody is left out."""

import json
import time
from collections import Counter
from pathlib import Path

import pytest
from kafka import Kafka
from replicas import counts, saved
from workers import Worker

from schemas import decode_recommendation

pytestmark = [pytest.mark.broker, pytest.mark.slow]


def test_under_a_flood_learning_goes_on_and_everybody_is_served_for_their_newest_event(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path
) -> None:
    events = [
        (f"u{n % 400}", {"user_id": f"u{n % 400}", "item_id": f"i{n * n % 97}", "type": "click"})
        for n in range(40_000)
    ]
    environment = {"FRESHET_SNAPSHOTS": str(tmp_path / "snapshots"), "FRESHET_CHUNK_RECORDS": "100"}
    with Worker(kafka.bootstrap_servers, topic_prefix, cache_dir, tmp_path, environment) as worker:
        topic = f"{topic_prefix}events"
        kafka.produce(topic, [(user, json.dumps(event).encode()) for user, event in events])
        worker.wait_for_metric("freshet_model_events", len(events), timeout_s=120)
        assert worker.metric("freshet_coalesced_events_total") > len(events) / 2
        give_up = time.monotonic() + 60
        ends = Counter(record.partition for record in kafka.consume(topic, len(events)))
        while kafka.committed(f"{topic_prefix}app", topic) != ends:
            assert time.monotonic() < give_up, worker.log
            time.sleep(0.2)
        assert worker.metric("freshet_waiting_users") == 0

        # The flood is over: as before, each event has its list.
        kafka.produce(topic, [(user, json.dumps(event).encode()) for user, event in events[:1]])
        worker.wait_for_metric("freshet_model_events", len(events) + 1)
        lists = kafka.consume(f"{topic_prefix}recommendations")
        assert worker.terminate() == 0

    newest = {record.key: decode_recommendation(record.value or b"").cause for record in lists}
    assert len(newest) == 400
    assert len(lists) < len(events) / 2
    of_each_user = {record.key: record.offset for record in kafka.consume(topic)}
    assert {user: cause.offset for user, cause in newest.items() if cause} == of_each_user
    assert counts(saved(tmp_path / "snapshots", worker)).total() == len(events) + 1
