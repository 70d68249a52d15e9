"""What stands on `vectors`: Freshet's own comes back, and nothing else disturbs it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from faust.types import TP
from kafka import Kafka
from numpy.typing import NDArray

from models.catalogue import ItemFacts
from streams.content import Content
from streams.metrics import Metrics
from streams.publisher import Outgoing
from streams.settings import Settings
from streams.transport import ChunkApp
from streams.vectors import pack, unpack

OF_LENGTH_1 = np.array([0.6, 0.8, 0.0, 0.0], np.float32)
GARBAGE = {
    "no message": b"\xff",
    "an odd number of bytes": msgspec.msgpack.encode(["minilm", b"xx", b"abc"]),
    "an empty vector": msgspec.msgpack.encode(["minilm", b"xx", b""]),
    "no number": pack("minilm", b"xx", np.array([np.nan, 0, 0, 0], np.float32)),
    "infinity": pack("minilm", b"xx", np.array([np.inf, 0, 0, -np.inf], np.float32)),
    "a vector too long": pack("minilm", b"xx", np.full(4, 6e4, np.float32)),
}


def record(item: str, value: bytes | None) -> Any:
    return SimpleNamespace(key=item.encode(), value=value)


class Encoder:
    """Says the same of every text."""

    dimensions = 0

    async def encode(
        self, texts: Sequence[str], _images: Sequence[bytes]
    ) -> tuple[NDArray[np.float32], list[int]]:
        self.dimensions = len(OF_LENGTH_1)
        return np.tile(OF_LENGTH_1, (len(texts), 1)), []


class Topic:
    """`vectors`: what is published is read when `read` says so."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    async def publish(self, _topic: str, outgoing: Sequence[Outgoing]) -> None:
        self.records += [SimpleNamespace(key=each.key, value=each.value) for each in outgoing]

    async def read(self, *readers: Content) -> list[str]:
        """Which items these were of, "-" before tombstones."""
        records, self.records = self.records, []
        for reader in readers:
            await reader._apply(0, records)
        return ["-" * (each.value is None) + each.key.decode() for each in records]


def following(topic: Any = None, settings: Settings | None = None) -> Content:
    app: Any = ChunkApp("content", broker="kafka://nowhere")
    unused: Any = None
    content = Content(settings or Settings(), app, unused, topic, Metrics())
    encoder: Any = Encoder()
    content.encoder = encoder
    content.follower.caught_up.set()
    return content


@pytest.mark.parametrize("dimensions", [1, 384, 4096])
def test_what_is_packed_comes_back(dimensions: int) -> None:
    vector = np.random.default_rng(dimensions).normal(size=dimensions).astype(np.float32)
    vector /= np.linalg.norm(vector)
    encoder, content, found = unpack(pack("minilm", b"key", vector))
    assert (encoder, content) == ("minilm", b"key")
    np.testing.assert_allclose(found, vector, atol=1e-3)
    assert not unpack(pack("minilm", b"key", np.zeros(4, np.float32)))[2].any()


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_is_passed_over_as_if_it_were_not_there(what: str) -> None:
    """Also behind a good record of the same item, and behind one that takes it away."""

    async def follow() -> None:
        content, good = following(), pack("minilm", b"key", OF_LENGTH_1)
        await content._apply(0, [record("cup", GARBAGE[what]), record("gone", good)])
        mixed = [
            record("cup", good), record("cup", GARBAGE[what]),
            record("gone", None), record("gone", GARBAGE[what]),
            record("other", GARBAGE[what]),
        ]  # fmt: skip
        await content._apply(0, mixed)
        assert content._known == {"cup": b"key"}
        assert content.likeness is not None
        assert [name in content.likeness for name in ("cup", "gone", "other")] == [
            True, False, False,
        ]  # fmt: skip
        np.testing.assert_allclose(content.likeness.mean, OF_LENGTH_1, atol=1e-3)

    asyncio.run(follow())


OWN = np.eye(384, dtype=np.float32)
STRANGER_S = np.eye(8, dtype=np.float32)


def keyed(name: str, vectors: NDArray[np.float32], count: int) -> list[tuple[str, bytes]]:
    return [(f"{name}{n}", pack("minilm", b"key", vectors[n])) for n in range(count)]


def written(kafka: Kafka, topic_prefix: str, *, strangers: int, own: int) -> Settings:
    """So many vectors of a stranger's stand on the topic before so many of the encoder's own."""
    settings = Settings(bootstrap_servers=kafka.bootstrap_servers, topic_prefix=topic_prefix)
    kafka.create(settings.topic("vectors"), partitions=1)
    records = [*keyed("stranger", STRANGER_S, strangers), *keyed("own", OWN, own)]
    kafka.produce(settings.topic("vectors"), records, partition=0)
    return settings


@pytest.mark.broker
def test_the_size_that_most_vectors_have_is_taken_whichever_comes_first(
    kafka: Kafka, topic_prefix: str
) -> None:
    settings = written(kafka, topic_prefix, strangers=2, own=3)

    async def follow() -> None:
        content = following(settings=settings)
        content.follower.caught_up.clear()
        async with content.follower:
            assert set(content._known) == {"own0", "own1", "own2"}
            assert content.likeness is not None
            assert len(content.likeness) == 3

    asyncio.run(follow())


@pytest.mark.broker
def test_the_size_of_the_encoder_s_own_vectors_is_taken_however_many_there_are_of_another(
    kafka: Kafka, topic_prefix: str
) -> None:
    settings = written(kafka, topic_prefix, strangers=5, own=1)

    async def follow() -> None:
        content = following(settings=settings)
        content.told(0, [ItemFacts("stranger0", title="Tea")], [])
        content.follower.caught_up.clear()
        async with content.follower:
            assert len(content._known) == 5
            assert content.likeness is not None
            content.encoder.dimensions = 384  # it has encoded something
            assert content.likeness is None
            assert not await content._encode_some()
            async with asyncio.timeout(20):
                await content.follower.caught_up.wait()
            assert content.likeness is not None
            assert set(content._known) == {"own0"}
            assert "own0" in content.likeness
            # What a stranger said of an item does not keep it from being encoded.
            assert set(content._wanted) == {"stranger0"}

    asyncio.run(follow())


def test_a_start_does_not_go_through_the_catalogue_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = following()
    content.told(0, [ItemFacts("tea", title="Tea")], [])
    monkeypatch.setattr(content, "told", None)
    assert asyncio.run(content._begin({0: (2, 5)})) == {0: 2}
    assert set(content._wanted) == {"tea"}


TEA = ItemFacts("tea", title="Tea")


def tell(contents: Sequence[Content], upserts: Sequence[ItemFacts], deletes: Sequence[str]) -> None:
    for content in contents:
        content.told(3, upserts, deletes)


@pytest.mark.parametrize("again", [TEA, ItemFacts("tea", title="Green tea")])
@pytest.mark.parametrize("takes_over", [False, True])
def test_an_item_described_again_while_its_tombstone_is_on_its_way_gets_its_vector(
    again: ItemFacts, takes_over: bool
) -> None:
    """Also where another worker is assigned it meanwhile."""

    async def race() -> None:
        topic = Topic()
        both = first, second = following(topic), following(topic)
        partition = {TP("items", 3)}
        await first._on_assigned(ChunkApp("any"), partition)
        tell(both, [TEA], [])
        await first._encode_some()
        assert await topic.read(*both) == ["tea"]

        tell(both, [], ["tea"])
        await first._encode_some()
        tell(both, [again], [])
        if takes_over:
            await first._on_revoked(ChunkApp("any"), partition)
            await second._on_assigned(ChunkApp("any"), partition)
        assert await topic.read(*both) == ["-tea"]
        for content in both:
            await content._encode_some()
        assert await topic.read(*both) == ["tea"]
        for content in both:
            assert not await content._encode_some()
            assert content.likeness is not None
            assert "tea" in content.likeness

    asyncio.run(race())


@pytest.mark.parametrize("while_it_is_encoded", [False, True])
def test_an_item_deleted_while_its_vector_is_on_its_way_keeps_none(
    while_it_is_encoded: bool,
) -> None:
    async def race() -> None:
        topic = Topic()
        content = following(topic)
        await content._on_assigned(ChunkApp("any"), {TP("items", 3)})
        tell([content], [TEA], [])
        encode = content.encoder.encode

        async def encode_and_delete(*told: Any) -> Any:
            tell([content], [], ["tea"])
            return await encode(*told)

        if while_it_is_encoded:
            content.encoder.encode = encode_and_delete  # type: ignore[method-assign]
        await content._encode_some()
        if not while_it_is_encoded:
            tell([content], [], ["tea"])
        assert await topic.read(content) == ["tea"]
        await content._encode_some()
        assert await topic.read(content) == ["-tea"]
        assert not content._known
        assert not content._on_its_way
        assert content.likeness is not None
        assert "tea" not in content.likeness

    asyncio.run(race())


def test_an_item_that_is_gone_is_not_encoded_again() -> None:
    async def end() -> None:
        topic = Topic()
        content = following(topic)
        await content._on_assigned(ChunkApp("any"), {TP("items", 3)})
        tell([content], [TEA, ItemFacts("cup", title="Cup")], [])
        await content._encode_some()
        await topic.read(content)
        tell([content], [ItemFacts("cup")], ["tea"])  # nothing is said of the cup any more
        await content._encode_some()
        assert await topic.read(content) == ["-tea", "-cup"]
        assert not await content._encode_some()
        assert topic.records == []

    asyncio.run(end())
