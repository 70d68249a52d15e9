"""Pictures are fetched from where they may be, and nowhere else."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from faust.types import TP
from kafka import Kafka

from models.catalogue import ItemFacts, OwnImage
from models.content.images import pictured_name
from models.content.text import content_key, text_of
from streams.broker import free_port
from streams.content import Content
from streams.images import Fetcher, ImageAway, ImageRefused, Pictured, Records, is_public
from streams.metrics import Metrics
from streams.settings import Settings, load
from streams.transport import ChunkApp
from streams.vectors import pack

PNG = b"\x89PNG not looked into here"


async def serve(request: web.Request) -> web.StreamResponse:
    """What servers of pictures do, and what they must not."""
    match request.path:
        case "/ok.png":
            return web.Response(body=PNG, content_type="image/png")
        case "/page":
            return web.Response(text="<html>", content_type="text/html")
        case "/large.png":
            return web.Response(body=b"x" * 5000, content_type="image/png")
        case "/slow.png":
            await asyncio.sleep(5)
        case "/busy.png":
            return web.Response(status=503)
        case "/moved.png":
            raise web.HTTPFound("/ok.png")
        case "/round.png":
            raise web.HTTPFound("/round.png")
        case "/to-a-file.png":
            raise web.HTTPFound("file:///etc/passwd")
        case "/inside.png":
            raise web.HTTPFound("http://169.254.169.254/latest/meta-data")
        case "/packed.png":
            headers = {"Content-Encoding": "gzip"}
            return web.Response(body=PNG, content_type="image/png", headers=headers)
    return web.Response(status=404)


def fetching(work: Callable[[Fetcher, str], Awaitable[Any]], **options: object) -> Any:
    """Run `work` with a fetcher of these settings, and the address of a server on this machine."""

    async def run() -> Any:
        runner = web.ServerRunner(web.Server(serve))  # type: ignore[arg-type]
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        fetcher = Fetcher(settings(**options))
        try:
            return await work(fetcher, f"127.0.0.1:{port}")
        finally:
            await fetcher.close()
            await runner.cleanup()

    return asyncio.run(run())


def settings(**options: object) -> Settings:
    return load(options={"image_seconds": 0.5, "image_max_bytes": 1000, **options})


async def outcome(fetcher: Fetcher, url: str) -> bytes | type[Exception]:
    return await of(fetcher.fetch(url))


async def of(fetched: Awaitable[bytes]) -> bytes | type[Exception]:
    try:
        return await fetched
    except (ImageRefused, ImageAway) as fault:
        return type(fault)


def test_what_a_server_answers_is_taken_refused_or_tried_later() -> None:
    async def work(fetcher: Fetcher, at: str) -> dict[str, bytes | type[Exception]]:
        paths = ["ok", "moved", "large", "slow", "busy", "round", "to-a-file", "packed", "none"]
        found = {name: await outcome(fetcher, f"http://{at}/{name}.png") for name in paths}
        found["page"] = await outcome(fetcher, f"http://{at}/page")
        found["nobody"] = await outcome(fetcher, "http://127.0.0.1:9/x.png")
        return found

    found = fetching(work, image_private_addresses=True)
    assert found == {
        "ok": PNG, "moved": PNG, "large": ImageRefused, "slow": ImageAway, "busy": ImageAway,
        "round": ImageRefused, "to-a-file": ImageRefused, "packed": ImageRefused,
        "none": ImageRefused, "page": ImageRefused, "nobody": ImageAway,
    }  # fmt: skip


def test_no_spelling_of_a_private_address_is_connected_to() -> None:
    async def work(fetcher: Fetcher, at: str) -> list[bytes | type[Exception]]:
        port = at.partition(":")[2]
        hosts = [
            "127.0.0.1", "localhost", "2130706433", "0x7f000001", "127.1", "0.0.0.0", "[::1]",
            "[::ffff:127.0.0.1]", "[::]", "user:word@127.0.0.1",
        ]  # fmt: skip
        urls = [f"http://{host}:{port}/ok.png" for host in hosts]
        return [await outcome(fetcher, url) for url in urls]

    assert fetching(work) == [ImageRefused] * 10


def test_a_redirect_inside_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server itself stands for one in public; where it sends to does not."""
    monkeypatch.setattr(
        "streams.images.is_public", lambda address: address == "127.0.0.1" or is_public(address)
    )

    async def work(fetcher: Fetcher, at: str) -> bytes | type[Exception]:
        assert await outcome(fetcher, f"http://{at}/ok.png") == PNG
        return await outcome(fetcher, f"http://{at}/inside.png")

    assert fetching(work) is ImageRefused


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True), ("64:ff9b::5db8:d822", True),
        ("127.0.0.1", False), ("10.1.2.3", False), ("172.16.0.1", False), ("192.168.1.1", False),
        ("169.254.169.254", False), ("100.64.0.1", False), ("0.0.0.0", False), ("224.0.0.1", False),
        ("255.255.255.255", False), ("240.0.0.1", False), ("::1", False), ("::", False),
        ("fe80::1", False), ("fc00::1", False), ("ff02::1", False), ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False), ("2002:7f00:1::", False), ("fe80::1%eth0", False),
    ],
)  # fmt: skip
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_files_come_from_one_folder_alone(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a cup.png").write_bytes(PNG)
    (folder / "large.png").write_bytes(b"x" * 5000)
    (tmp_path / "secret.png").write_bytes(b"secret")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "odd").mkdir()

    async def ask(**options: object) -> list[bytes | type[Exception]]:
        fetcher = Fetcher(settings(**options))
        names = ["a%20cup.png", "large.png", "link.png", "../secret.png", "%2e%2e/secret.png",
                 "odd", "none.png", "a%00.png"]  # fmt: skip
        urls = [f"file://{folder}/{name}" for name in names]
        urls += ["file:///dev/zero", f"file://elsewhere{folder}/a%20cup.png", "ftp://a/b", "x", ""]
        return [await outcome(fetcher, url) for url in urls]

    assert asyncio.run(ask(image_folder=folder)) == [PNG, *[ImageRefused] * 12]
    assert set(asyncio.run(ask())) == {ImageRefused}


def test_whatever_is_written_in_a_url_is_answered() -> None:
    async def ask() -> set[bytes | type[Exception]]:
        fetcher = Fetcher(settings())
        urls = [
            "http://", "http://[", "http://[::1%25lo]:9/x", "http://a b/", "https://\x00", "//a",
            "http://a:99999999/", "http://xn--/", f"http://{'a' * 300}/", "http://\ud800/",
            "http://☃\u202e/", "data:image/png;base64,AAAA", "file://[", "file:\x00",
        ]  # fmt: skip
        found = {await outcome(fetcher, url) for url in urls}
        await fetcher.close()
        return found

    assert asyncio.run(ask()) <= {ImageRefused, ImageAway}


def following() -> Content:
    """One that wants pictures, without a broker; its encoder never starts."""
    app: Any = ChunkApp("content", broker="kafka://nowhere")
    unused: Any = None
    options = {"images": "on", "image_encoder": "clip"}
    return Content(settings(**options), app, unused, unused, Metrics())


def standing(facts: ItemFacts, dimensions: int = 4) -> Any:
    """The record on `vectors` of an item with its picture."""
    name = pictured_name("minilm", "clip")
    key = content_key(text_of(facts), name, facts.image_url)
    value = pack(name, key, np.full(dimensions, dimensions**-0.5, np.float32))
    return SimpleNamespace(key=facts.item_id.encode(), value=value)


CUP = ItemFacts("cup", title="Cup", image_url="http://shop.example/cup.png")


def test_a_vector_with_its_picture_stands_at_a_start_from_the_compacted_topic() -> None:
    """Of the vector of the text and that with the picture, `vectors` keeps only the last."""

    async def start() -> None:
        content = following()
        await content._on_assigned(ChunkApp("any"), {TP("items", 0)})
        content.told(0, [CUP], [])
        await content._apply(0, [standing(CUP)])
        content.follower.caught_up.set()
        assert not await content._encode_some()

    asyncio.run(start())


@pytest.mark.parametrize("known", [False, True])
def test_a_picture_in_a_record_is_wanted_from_there_once(known: bool) -> None:
    """A picture of its own stands before a URL; the same in a later record is not encoded again."""
    mug = replace(CUP, image=OwnImage("of-a-mug", 7))

    async def follow() -> list[tuple[int, int | None, str]]:
        content = following()
        assert content._images is not None
        if known:
            name = pictured_name("minilm", "clip")
            key = content_key(text_of(mug), name, "of-a-mug")
            value = pack(name, key, np.full(4, 0.5, np.float32))
            await content._apply(0, [SimpleNamespace(key=b"cup", value=value)])
        content.told(3, [mug], [])
        content.told(3, [replace(mug, image=OwnImage("of-a-mug", 9))], [])
        wanted = content._images._wanted.values()
        return [(each.partition, each.offset, each.text) for each in wanted]

    assert asyncio.run(follow()) == ([] if known else [(3, 9, "Cup")])


def test_pictures_of_partitions_that_went_away_leave_room_for_others() -> None:
    async def move() -> None:
        content = following()
        content.follower.caught_up.set()
        await content._on_assigned(ChunkApp("any"), {TP("items", 0), TP("items", 1)})
        for n in range(32):
            assert content._has_room_for_pictures()
            content._seen(f"cup{n}", Pictured(0, b"key", "Cup", ""), PNG)
        assert not content._has_room_for_pictures()
        await content._on_revoked(ChunkApp("any"), {TP("items", 0)})
        assert content._has_room_for_pictures()
        await content._on_assigned(ChunkApp("any"), {TP("items", 0)})
        assert not content._has_room_for_pictures()

    asyncio.run(move())


def item_records(kafka: Kafka, topic_prefix: str, values: list[dict[str, object]]) -> Settings:
    """Produce these, and how to reach them."""
    topic = f"{topic_prefix}items"
    kafka.create(topic, partitions=1)
    kafka.produce(topic, [("i", json.dumps({"item_id": "i"} | value).encode()) for value in values])
    return settings(
        bootstrap_servers=kafka.bootstrap_servers, topic_prefix=topic_prefix, image_seconds=20
    )


@pytest.mark.broker
def test_pictures_are_read_from_their_records(kafka: Kafka, topic_prefix: str) -> None:
    pictures = [b"GIF89a" + bytes([n]) * n * 100 for n in range(12)]
    values: list[dict[str, object]] = [
        {"image": base64.b64encode(data).decode()} for data in pictures
    ]
    known = item_records(kafka, topic_prefix, [*values, {"title": "no picture"}, {"image": "?"}])

    async def ask() -> list[bytes | type[Exception]]:
        records = Records(known)
        places = [5, 0, 9, 1, *range(10, 14)]
        try:
            return [*await asyncio.gather(*(of(records.fetch(0, at)) for at in places))]
        finally:
            await records.close()

    assert asyncio.run(ask()) == [*(pictures[n] for n in (5, 0, 9, 1)), *[ImageRefused] * 4]


@pytest.mark.broker
def test_where_a_record_is_not_to_be_had_now_or_ever_it_is_said_so(
    kafka: Kafka, topic_prefix: str
) -> None:
    known = item_records(kafka, topic_prefix, [{"title": "one"}])

    async def ask(options: Settings, offset: int) -> bytes | type[Exception]:
        records = Records(options)
        try:
            return await of(records.fetch(0, offset))
        finally:
            await records.close()

    quick = known.model_copy(update={"image_seconds": 0.5})
    assert asyncio.run(ask(known, 99)) is ImageRefused  # such a topic was put in this one's place
    kafka.empty(known.topic("items"))
    assert asyncio.run(ask(known, 0)) is ImageRefused  # and nothing that would come instead
    nowhere = quick.model_copy(update={"bootstrap_servers": f"127.0.0.1:{free_port()}"})
    assert asyncio.run(ask(nowhere, 0)) is ImageAway


def test_a_vector_of_another_length_is_passed_over() -> None:
    async def follow() -> None:
        content = following()
        await content._apply(0, [standing(CUP), standing(replace(CUP, item_id="pot"), 5)])
        await content._apply(0, [standing(replace(CUP, item_id="pan"), 5)])
        assert content.likeness is not None
        assert [name in content.likeness for name in ("cup", "pot", "pan")] == [True, False, False]

    asyncio.run(follow())
