"""A shop changes its rules and its editors' lists while a worker runs."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import Kafka
from workers import Worker

from schemas import Recommendation, decode_recommendation

pytestmark = pytest.mark.broker

ITEMS = 40
#: An item switched off is in no list published later than this after its record was produced.
GONE_MS = 2000


@pytest.fixture(scope="module")
def worker(
    kafka: Kafka, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("rules")
    with Worker(kafka.bootstrap_servers, "rules-", cache_dir, folder) as running:
        kafka.produce("rules-items", [item(f"i{n}") for n in range(ITEMS)])
        kafka.produce("rules-events", [event(f"u{n % 30}", n * 7 % ITEMS) for n in range(600)])
        running.wait_for_metric("freshet_model_events", 600)
        running.wait_for_metric("freshet_catalogue_items", ITEMS)
        yield running


def item(item_id: str, **more: Any) -> tuple[str, bytes]:
    number = int(item_id[1:])
    facts = {"categories": ["odd" if number % 2 else "even"], "attributes": {"price": number}}
    return item_id, json.dumps({"item_id": item_id, **facts, **more}).encode()


def event(user: str, number: int) -> tuple[str, bytes]:
    return user, json.dumps({"user_id": user, "item_id": f"i{number}", "type": "click"}).encode()


_asked = 0


def ask(kafka: Kafka, worker: Worker, **fields: Any) -> Recommendation:
    """A list for somebody new (or the user given)."""
    global _asked
    _asked += 1
    fields = {"user_id": f"new{_asked}", "request_id": f"r{_asked}"} | fields
    kafka.produce("rules-requests", [(fields["user_id"], json.dumps(fields).encode())])
    give_up = time.monotonic() + 15
    while time.monotonic() < give_up:
        for record in kafka.consume("rules-recommendations"):
            found = decode_recommendation(record.value or b"{}") if record.value else None
            if found and found.cause and found.cause.request_id == fields["request_id"]:
                return found
    raise AssertionError(f"no answer:\n{worker.log}")


def ids(answer: Recommendation) -> list[str]:
    return [item.item_id for item in answer.items]


def freshet(kafka: Kafka, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    here = ("--bootstrap-servers", kafka.bootstrap_servers, "--set", "topic_prefix=rules-")
    return subprocess.run(
        [sys.executable, "-m", "streams", *arguments, *here],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_rules_are_set_listed_obeyed_and_ended(kafka: Kafka, worker: Worker) -> None:
    rules = [
        {"rule_id": "no-odd", "kind": "ban", "categories": ["odd"]},
        {"rule_id": "dear", "kind": "boost", "factor": 1000,
         "where": [{"attribute": "price", "at_least": 36}]},
    ]  # fmt: skip
    done = freshet(kafka, "rules", "set", "-", stdin=json.dumps(rules))
    assert done.returncode == 0, done.stderr
    worker.wait_for_metric("freshet_rules", 2)
    listed = freshet(kafka, "rules", "list")
    assert "no-odd" in listed.stdout, listed.stderr
    assert "price ≥ 36" in listed.stdout

    answer = ask(kafka, worker, n=20)
    assert set(ids(answer)[:2]) == {"i36", "i38"}
    assert set(ids(answer)) == {f"i{n}" for n in range(0, ITEMS, 2)}
    kafka.produce("rules-events", [event("somebody", 2)])
    worker.wait_for_metric("freshet_model_events", 601)
    lists = [
        decode_recommendation(record.value)
        for record in kafka.consume("rules-recommendations")
        if record.key == b"somebody" and record.value
    ]
    assert {"i36", "i38"} <= set(ids(lists[-1]))
    assert not any(int(name[1:]) % 2 for name in ids(lists[-1]))

    assert freshet(kafka, "rules", "delete", "no-odd", "dear").returncode == 0
    give_up = time.monotonic() + 10
    while worker.metric("freshet_rules") and time.monotonic() < give_up:
        time.sleep(0.05)
    assert len(ids(ask(kafka, worker, n=40))) == ITEMS
    missing = freshet(kafka, "rules", "delete", "no-odd")
    assert missing.returncode == 2
    assert "rules list" in missing.stderr
    assert "no-odd" in worker.log


def test_a_rule_that_cannot_be_is_set_aside_and_not_sent_by_the_command(
    kafka: Kafka, worker: Worker
) -> None:
    faulty = '{"rule_id": "r", "kind": "boost", "categories": ["odd"]}'
    refused = freshet(kafka, "rules", "set", "-", stdin=faulty)
    assert refused.returncode == 2
    assert "needs factor" in refused.stderr
    kafka.produce("rules-rules", [("r", faulty.encode())])
    worker.wait_for_metric("freshet_dead_letters_total", 1, topic="rules-rules")


def test_a_request_filters_by_categories_and_attributes(kafka: Kafka, worker: Worker) -> None:
    filters = {
        "none": ["odd"],
        "where": [{"attribute": "price", "at_least": 10, "at_most": 15}],
    }
    assert set(ids(ask(kafka, worker, filters=filters))) == {"i10", "i12", "i14"}


def test_editors_lists_are_for_those_who_are_new(kafka: Kafka, worker: Worker) -> None:
    kafka.produce("rules-items", [item("i100"), item("i101", available=False)])
    picks = [{"item_id": "i100", "weight": 3}, {"item_id": "i101"}, {"item_id": "i1"}]
    kafka.produce(
        "rules-editorial",
        [
            ("Winter", json.dumps({"name": "Winter", "items": picks}).encode()),
            (
                "Past",
                json.dumps(
                    {"name": "Past", "items": [{"item_id": "i2"}], "valid_until": 1_000_000_000_000}
                ).encode(),
            ),
        ],
    )
    worker.wait_for_metric("freshet_editorial_lists", 2)
    worker.wait_for_metric("freshet_catalogue_items", ITEMS + 1)
    answer = ask(kafka, worker)
    assert ids(answer)[0] == "i100"
    assert answer.items[0].reason is not None
    assert answer.items[0].reason.text == "Chosen by the editors: Winter"
    assert "i101" not in ids(answer)
    assert "Past" not in json.dumps([i.reason.text for i in answer.items if i.reason])
    assert not [
        i for i in ask(kafka, worker, user_id="u1", n=40).items
        if i.reason and i.reason.source == "editors"
    ]  # fmt: skip
    kafka.produce("rules-editorial", [("Winter", None), ("Past", None)])


def test_a_user_never_seen_gets_what_people_with_the_same_facts_take(
    kafka: Kafka, worker: Worker
) -> None:
    """Users with even numbers take even items and live elsewhere than those who take odd ones."""

    def profile(user: str, country: str, **more: Any) -> tuple[str, bytes]:
        return user, json.dumps({"user_id": user, "country": country, **more}).encode()

    def odd(answer: Recommendation) -> float:
        return sum(int(name[1:]) % 2 for name in ids(answer)) / len(answer.items)

    clicks = [event(f"u{n}", (n * 7 + 2 * k) % ITEMS) for n in range(30, 90) for k in range(6)]
    kafka.produce("rules-events", clicks)
    kafka.produce(
        "rules-profiles",
        [
            *(profile(f"u{n}", "FR" if n % 2 else "DE", age_band="25-34") for n in range(90)),
            profile("french", "FR", interests=["tea"], attributes={"plan": "plus", "seats": 2}),
            profile("german", "DE"),
            ("nobody", b'{"user_id": "nobody", "country": 49}'),
            ("another", profile("somebody-else", "DE")[1]),
        ],
    )
    worker.wait_for_metric("freshet_profiles", 92)
    dead = worker.wait_for_metric("freshet_dead_letters_total", 2, topic="rules-profiles")
    assert (dead, worker.metric("freshet_profiles")) == (2, 92)

    worker.wait_for_metric("freshet_model_events", 600 + len(clicks))
    french, german = ask(kafka, worker, user_id="french"), ask(kafka, worker, user_id="german")
    assert odd(french) > 0.85 > 0.15 > odd(german)
    reason = french.items[0].reason
    assert reason is not None
    assert reason.text == "Popular among people like you: country FR"
    # Of what is popular with all, the first ten are whatever came last: it takes half of all.
    assert 0.15 < odd(ask(kafka, worker, n=20)) < 0.85
    kafka.produce("rules-events", [event("german", 4)])
    give_up = time.monotonic() + 15
    while not (lists := [
        found
        for record in kafka.consume("rules-recommendations")
        if record.key == b"german" and record.value
        and not (found := decode_recommendation(record.value)).cause.request_id  # type: ignore[union-attr]
    ]):  # fmt: skip
        assert time.monotonic() < give_up, worker.log
    assert odd(lists[-1]) < 0.3
    kafka.produce("rules-profiles", [("french", None)])
    while worker.metric("freshet_profiles") > 91:
        assert time.monotonic() < give_up, worker.log
        time.sleep(0.05)
    assert 0.15 < odd(ask(kafka, worker, user_id="french", n=20)) < 0.85
    assert "25-34" not in worker.log


def test_what_is_switched_off_is_gone_from_all_that_is_published_two_seconds_later(
    kafka: Kafka, worker: Worker
) -> None:
    """Under load: events flow all the while, and items are switched off one after another, some by
    their own record and some by a rule that bans their category."""
    stop = threading.Event()

    def flow() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            kafka.produce(
                "rules-events",
                [event(f"u{(turn * 50 + n) % 300}", (turn + n) * 7 % ITEMS) for n in range(50)],
            )

    kafka.produce("rules-items", [item(f"i{n}", categories=[f"c{n}"]) for n in range(20, 30)])
    flowing = threading.Thread(target=flow)
    flowing.start()
    try:
        worker.wait_for_metric("freshet_model_events", 1200)
        for number in range(20):
            if number < 10:
                off = "rules-items", [item(f"i{number + 10}", available=False)]
            else:
                ban = {"rule_id": f"b{number}", "kind": "ban", "categories": [f"c{number + 10}"]}
                off = "rules-rules", [(f"b{number}", json.dumps(ban).encode())]
            kafka.produce(*off)
            time.sleep(0.3)
        time.sleep(GONE_MS / 1000 + 1)
    finally:
        stop.set()
        flowing.join()

    off_ms = {
        f"i{int((record.key or b'')[1:]) + 10 * (topic == 'rules-rules')}": record.timestamp_ms
        for topic in ("rules-items", "rules-rules")
        for record in kafka.consume(topic)
        if record.value and (b"false" in record.value or b"b1" in record.value)
    }
    off_ms.pop("i101", None)
    assert len(off_ms) == 20
    last_seen = dict.fromkeys(off_ms, 0)
    lists = after = 0
    for record in kafka.consume("rules-recommendations"):
        if record.value is None:
            continue
        lists += 1
        after += record.timestamp_ms > max(off_ms.values()) + GONE_MS
        for listed in decode_recommendation(record.value).items:
            if listed.item_id in last_seen:
                seen = record.timestamp_ms - off_ms[listed.item_id]
                last_seen[listed.item_id] = max(last_seen[listed.item_id], seen)
    late = sorted(last_seen.values())
    print(f"last seen after the switch, ms: {late}; {lists} lists, {after} of them afterwards")
    assert after > 100
    assert max(late) <= GONE_MS
