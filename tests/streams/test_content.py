"""Items understood as they arrive, by a worker on a real broker with the real encoder."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kafka import Kafka
from tiny_clip import picture, tiny_clip
from workers import Worker

from models.content.encoder import why_unavailable
from models.index import gpu_is_there
from schemas import decode_recommendation
from streams.content import is_wanted
from streams.settings import load

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(why_unavailable() is not None, reason=str(why_unavailable())),
]

SPACE = "A crew of astronauts travels through space to a distant planet"
FOOD = "A chef cooks a dinner of many courses in a small kitchen"
KINDS = {"space": SPACE, "food": FOOD}
#: What nobody takes: what is alike shows beside what is not.
OTHERS = [
    "A football team wins the cup", "Two soldiers in a war of long ago", "An opera of the baroque",
    "How to grow roses in a garden", "A lecture on the theory of numbers", "A wedding in Paris",
    "Wolves and bears in the forests of the north", "Racing cars on a mountain road",
    "A detective looks for a thief in London", "Songs for small children", "Learning to paint",
    "The kings and queens of England",
]  # fmt: skip


def item(item_id: str, text: str, **more: object) -> tuple[str, bytes]:
    said = {"item_id": item_id, "title": f"Number {item_id}", "text": text, **more}
    return item_id, json.dumps(said).encode()


def event(user: str, item_id: str) -> tuple[str, bytes]:
    return user, json.dumps({"user_id": user, "item_id": item_id, "type": "click"}).encode()


CATALOGUE = [
    *(item(f"{kind}{n}", text) for kind, text in KINDS.items() for n in range(20)),
    *(item(f"other{n}", text) for n, text in enumerate(OTHERS)),
]
#: Ten users who take from space and ten who take from food.
CLICKS = [
    event(f"{kind}-fan{n % 10}", f"{kind}{(n * 7 + n // 10) % 20}")
    for n in range(160)
    for kind in KINDS
]


def freshet(*arguments: str) -> str:
    """What a command prints."""
    return subprocess.run(
        [sys.executable, "-m", "streams", *arguments], check=True, capture_output=True, text=True
    ).stdout


def lists_with(kafka: Kafka, worker: Worker, wanted: str, after: int) -> tuple[int, set[str]]:
    """How many lists there are by now, and the users of those after the first `after` that show
    the item."""
    records = kafka.consume(f"{worker.topic_prefix}recommendations", at_least=after + 1)
    users = set()
    for record in records[after:]:
        found = decode_recommendation(record.value)
        if any(item.item_id == wanted for item in found.items):
            users.add(found.user_id)
    return len(records), users


@pytest.mark.timeout(240)
def test_a_new_item_reaches_those_it_is_for_and_a_restart_encodes_nothing(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path
) -> None:
    worker = Worker(
        kafka.bootstrap_servers,
        topic_prefix,
        cache_dir,
        tmp_path,
        {"FRESHET_CONTENT": "on", "FRESHET_ENGINE__EXPLORE": "1"},
    )
    with worker:
        kafka.produce(f"{topic_prefix}items", CATALOGUE)
        worker.wait_for_metric("freshet_linked_items_total", 52, timeout_s=90)
        kafka.produce(f"{topic_prefix}events", CLICKS)
        worker.wait_for_metric("freshet_model_events", len(CLICKS))
        before = len(kafka.consume(f"{topic_prefix}recommendations", at_least=20))

        # What an item is like, by what is said, by what was learned, by what is taken together.
        shown = json.loads(freshet("similar", "space0", "-n", "5", "--json", "--url", worker.url))
        for kind in ("content", "learned", "taken_together"):
            assert len(shown[kind]) == 5, kind
        for near in (*shown["content"], *shown["taken_together"]):
            assert near["item_id"].startswith("space")
        assert "taken together" in freshet("similar", "space0", "--url", worker.url)
        assert worker.get("/similar?item=nobody")[0] == 404
        assert worker.get("/similar?item=space0&n=0")[0] == 400

        kafka.produce(f"{topic_prefix}items", [item("mars", "Astronauts land on the planet Mars")])
        worker.wait_for_metric("freshet_linked_items_total", 53)
        kafka.produce(
            f"{topic_prefix}events",
            [event(f"{kind}-fan{n}", f"{kind}0") for n in range(10) for kind in KINDS],
        )
        worker.wait_for_metric("freshet_model_events", len(CLICKS) + 20)
        _, users = lists_with(kafka, worker, "mars", before)
        assert len({user for user in users if user.startswith("space")}) >= 5
        assert not {user for user in users if user.startswith("food")}

        # What changes nothing to read is not encoded again; what is switched off is gone.
        kafka.produce(
            f"{topic_prefix}items",
            [
                item("mars", "Astronauts land on the planet Mars", available=False),
                item("space1", SPACE, attributes={"price": 2}),
            ],
        )
        worker.wait_for_metric("freshet_items_total", 55, change="upsert")
        assert worker.metric("freshet_encoded_items_total") == 53
        assert worker.terminate() == 0

    with worker:
        assert worker.metric("freshet_vectors") == 53
        kafka.produce(f"{topic_prefix}items", [("mars", None), item("food0", "A documentary")])
        worker.wait_for_metric("freshet_encoded_items_total", 1, timeout_s=60)
        worker.wait_for_metric("freshet_linked_items_total", 1)
        give_up = time.monotonic() + 30
        while worker.metric("freshet_vectors") > 52 and time.monotonic() < give_up:
            time.sleep(0.2)
        assert worker.metric("freshet_vectors") == 52
        assert worker.metric("freshet_encoded_items_total") == 1


def test_a_worker_that_must_understand_items_and_cannot_says_what_to_do(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path
) -> None:
    worker = Worker(
        kafka.bootstrap_servers,
        topic_prefix,
        cache_dir,
        tmp_path,
        {"FRESHET_CONTENT": "on", "FRESHET_ENCODER": str(tmp_path / "no-model")},
    )
    with worker:
        kafka.produce(f"{topic_prefix}items", CATALOGUE[:1])
        # Its process loads torch first: seconds, and under load a minute or more.
        worker.wait_for_metric("freshet_failures_total", 1, timeout_s=120, step="encode")
        assert "FRESHET_ENCODER names a folder" in worker.log
        kafka.produce(f"{topic_prefix}events", CLICKS[:20])
        worker.wait_for_metric("freshet_model_events", 20)


@pytest.mark.skipif(gpu_is_there(), reason="there is a GPU")
def test_a_gpu_that_is_wanted_and_not_there_is_told_at_the_start() -> None:
    with pytest.raises(SystemExit, match="FRESHET_INDEX_DEVICE=cuda"):
        is_wanted(load(options={"index_device": "cuda"}))
    assert is_wanted(load(options={"index_device": "auto"}))


def test_pictures_that_are_wanted_without_a_model_are_told_at_the_start() -> None:
    with pytest.raises(SystemExit, match="FRESHET_IMAGE_ENCODER"):
        is_wanted(load(options={"images": "on"}))
    assert not is_wanted(load(options={"images": "on", "content": "off"}))


def test_what_an_item_looks_like_is_taken_in_beside_what_it_says(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path
) -> None:
    pytest.importorskip("PIL")
    model, folder = str(tiny_clip(tmp_path)), tmp_path / "pictures"
    folder.mkdir()
    for name in ("red", "blue"):
        (folder / f"{name}.png").write_bytes(picture(name))
    (folder / "damaged.png").write_bytes(b"not a picture")
    settings = {
        "FRESHET_CONTENT": "on",
        "FRESHET_ENCODER": model,
        "FRESHET_IMAGES": "on",
        "FRESHET_IMAGE_ENCODER": model,
        "FRESHET_IMAGE_FOLDER": str(folder),
    }
    catalogue = [
        item(name, "tea", image_url=f"file://{folder}/{name}.png")
        for name in ("red", "damaged", "none")
    ]
    with Worker(kafka.bootstrap_servers, topic_prefix, cache_dir, tmp_path, settings) as worker:
        kafka.produce(f"{topic_prefix}items", [*catalogue, item("plain", "tea")])
        worker.wait_for_metric("freshet_vectors", 4, timeout_s=60)
        for outcome, images in (("taken", 2), ("refused", 1), ("unreadable", 1)):
            worker.wait_for_metric("freshet_images_total", images, outcome=outcome)
        # In the records themselves: one, the same with another price, one that is damaged further
        # on; and what begins as no picture does is a dead letter.
        green = base64.b64encode(picture("green")).decode()
        torn = base64.b64encode(picture("green")[:40]).decode()
        kafka.produce(
            f"{topic_prefix}items",
            [
                item("green", "tea", image=green),
                item("torn", "tea", image=torn),
                item("svg", "tea", image=base64.b64encode(b"<svg></svg>").decode()),
            ],
        )
        worker.wait_for_metric("freshet_dead_letters_total", 1, topic=f"{topic_prefix}items")
        worker.wait_for_metric("freshet_images_total", 2, outcome="unreadable")
        worker.wait_for_metric("freshet_images_total", 4, outcome="taken")
        encoded = worker.metric("freshet_encoded_items_total")
        kafka.produce(
            f"{topic_prefix}items", [item("green", "tea", image=green, attributes={"price": 2})]
        )
        worker.wait_for_metric("freshet_items_total", 7, change="upsert")
        time.sleep(2)
        assert worker.metric("freshet_images_total", outcome="taken") == 4
        assert worker.metric("freshet_encoded_items_total") == encoded
        repainted = item("red", "tea", image_url=f"file://{folder}/blue.png")
        kafka.produce(f"{topic_prefix}items", [repainted])
        worker.wait_for_metric("freshet_images_total", 5, outcome="taken")
        encoded = worker.wait_for_metric("freshet_linked_items_total", 7)
        while (more := worker.metric("freshet_encoded_items_total")) != encoded:
            encoded = more
            time.sleep(1)
        assert worker.terminate() == 0
        worker.start()
        worker.wait_until_ready()
        time.sleep(2)
        assert worker.metric("freshet_vectors") == 6
        assert worker.metric("freshet_encoded_items_total") == 0
        assert worker.metric("freshet_images_total") == 0
