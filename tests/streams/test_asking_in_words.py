"""Asking in words, of a worker on a real broker with the real encoder."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from kafka import Kafka
from workers import Worker

from models.content.encoder import why_unavailable
from schemas import Recommendation, decode_recommendation

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(why_unavailable() is not None, reason=str(why_unavailable())),
]

#: Title, text, categories, price.
SHOP = {
    "moon": ("Moon", "A lonely man on the moon mines helium", ["sci-fi"], 4),
    "mars": ("Red Dust", "Astronauts are stranded on the planet Mars", ["sci-fi"], 9),
    "aliens": ("The Nest", "Monsters from space slaughter a crew, a horror film", ["sci-fi"], 5),
    "robots": ("Tin Men", "Funny robots run a hotel in the year 3000", ["sci-fi", "comedy"], 6),
    "haunted": ("The House", "A haunted house and its ghosts, horror", ["horror"], 3),
    "wedding": ("Two Rings", "A wedding in Paris, a romantic comedy", ["comedy"], 7),
    "cook": ("Five Courses", "A chef cooks a dinner in a small kitchen", ["food"], 8),
    "bread": ("Sourdough", "How to bake bread at home", ["food"], 2),
    "cup": ("The Cup", "A football team wins the cup", ["sport"], 5),
    "war": ("The Trench", "Two soldiers in a war of long ago", ["war"], 5),
}


def item(item_id: str, **more: Any) -> tuple[str, bytes]:
    title, text, categories, price = SHOP[item_id]
    said = {"title": title, "text": text, "categories": categories, "attributes": {"price": price}}
    return item_id, json.dumps({"item_id": item_id, **said, **more}).encode()


@pytest.fixture(scope="module")
def worker(
    kafka: Kafka, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("words")
    on = {"FRESHET_CONTENT": "on"}
    with Worker(kafka.bootstrap_servers, "words-", cache_dir, folder, on) as running:
        kafka.produce("words-items", [item(each) for each in SHOP])
        kafka.produce("words-events", [event(f"u{n}", each) for n in range(3) for each in SHOP])
        running.wait_for_metric("freshet_linked_items_total", len(SHOP), timeout_s=120)
        running.wait_for_metric("freshet_model_events", 3 * len(SHOP))
        yield running


def event(user: str, item_id: str) -> tuple[str, bytes]:
    return user, json.dumps({"user_id": user, "item_id": item_id, "type": "click"}).encode()


_asked = 0


def ask(kafka: Kafka, worker: Worker, query: str | None, **fields: Any) -> Recommendation:
    """The answer for somebody new (or the user given)."""
    global _asked
    _asked += 1
    fields = {"user_id": f"new{_asked}", "request_id": f"r{_asked}", "n": 3, **fields}
    asked = json.dumps(fields | {"query": query}).encode()
    kafka.produce("words-requests", [(fields["user_id"], asked)])
    return wait_for(kafka, worker, fields["request_id"])


def wait_for(kafka: Kafka, worker: Worker, request_id: str) -> Recommendation:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        for record in kafka.consume("words-recommendations"):
            found = decode_recommendation(record.value) if record.value else None
            if found and found.cause and found.cause.request_id == request_id:
                return found
    raise AssertionError(f"no answer:\n{worker.log}")


def ids(answer: Recommendation) -> list[str]:
    return [each.item_id for each in answer.items]


@pytest.mark.timeout(240)
def test_words_find_what_fits_them_within_filters_and_say_so(kafka: Kafka, worker: Worker) -> None:
    answer = ask(kafka, worker, "astronauts on another planet")
    assert ids(answer)[0] == "mars"
    assert set(ids(answer)) & {"moon", "aliens"}
    assert answer.items[0].reason is not None
    assert answer.items[0].reason.text.startswith(
        "Matches what you asked for: astronauts on another planet."
    )
    others = ask(kafka, worker, "astronauts on another planet", filters={"any": ["food"]})
    assert {*ids(others)} == {"cook", "bread"}
    for each in others.items:
        assert each.reason is not None
        assert each.reason.text.startswith("Among the nearest to what you asked for: astronauts")
    filters = {"any": ["food", "comedy"], "where": [{"attribute": "price", "at_most": 6}]}
    answer = ask(kafka, worker, "astronauts on another planet", filters=filters)
    assert set(ids(answer)) == {"robots", "bread"}
    answer = ask(kafka, worker, "astronauts on another planet", exclude=["mars"])
    assert "mars" not in ids(answer)


def test_a_session_is_refined_by_what_is_not_wanted(kafka: Kafka, worker: Worker) -> None:
    talk = {"user_id": "dee", "session_id": "evening"}
    first = ask(kafka, worker, "a film set in space", **talk)
    assert "aliens" in ids(first)
    calmer = ask(kafka, worker, "no horror and no monsters", n=2, **talk)
    assert set(ids(calmer)) < {"moon", "mars", "robots"}
    others = ask(kafka, worker, "less of that", n=2, **talk)
    assert not set(ids(others)) & set(ids(calmer))
    alone = ask(kafka, worker, "with a chef", n=1)
    assert ids(alone) == ["cook"]


def test_an_item_is_an_example_by_its_title(kafka: Kafka, worker: Worker) -> None:
    answer = ask(kafka, worker, "something like Moon")
    assert "moon" not in ids(answer)
    assert "mars" in ids(answer)


def test_what_is_banned_or_switched_off_is_in_no_answer(kafka: Kafka, worker: Worker) -> None:
    kafka.produce("words-items", [item("aliens", available=False)])
    ban = {"rule_id": "no-ghosts", "kind": "ban", "categories": ["horror"]}
    kafka.produce("words-rules", [("no-ghosts", json.dumps(ban).encode())])
    worker.wait_for_metric("freshet_rules", 1, kind="ban")
    worker.wait_for_metric("freshet_items_total", len(SHOP) + 1, change="upsert")
    answer = ask(kafka, worker, "horror, monsters and ghosts", n=10)
    assert ids(answer)
    assert not {"aliens", "haunted"} & set(ids(answer))


@pytest.mark.parametrize(
    "query", ["  <p> </p> ", "😀🚀", "映画", "no", "not too sad", "word " * 399, None]
)
def test_any_words_get_an_answer(kafka: Kafka, worker: Worker, query: str | None) -> None:
    assert ids(ask(kafka, worker, query))


def test_an_encoder_that_dies_is_started_anew_and_holds_nobody_back(
    kafka: Kafka, worker: Worker
) -> None:
    children = psutil.Process(worker.process.pid).children(recursive=True)
    encoders = [each for each in children if "spawn_main" in " ".join(each.cmdline())]
    assert encoders
    for encoder in encoders:
        encoder.kill()
    # The same user's, so that both come from one partition, in one chunk.
    question = {"user_id": "kim", "request_id": "in words", "query": "bread and cooking", "n": 2}
    kafka.produce("words-requests", [("kim", json.dumps(question).encode())])
    plain = ask(kafka, worker, None, user_id="kim")
    answer = wait_for(kafka, worker, "in words")
    assert set(ids(answer)) == {"bread", "cook"}
    assert plain.ts < answer.ts


def test_freshet_recommend_takes_words(kafka: Kafka, worker: Worker) -> None:
    assert worker.process.poll() is None
    here = ("--bootstrap-servers", kafka.bootstrap_servers, "--set", "topic_prefix=words-")
    words = ("recommend", "ann", "-n", "1", "--query", "a chef in a kitchen", "--session", "s")
    shown = subprocess.run(
        [sys.executable, "-m", "streams", *words, *here],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    assert "cook" in shown
