"""What the encoder dies of keeps nothing else from being encoded."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np
import pytest
from faust.types import TP
from numpy.typing import NDArray

from models.catalogue import ItemFacts
from models.content.text import content_key
from streams.content import Content
from streams.images import Pictured
from streams.metrics import Metrics
from streams.publisher import Outgoing
from streams.settings import Settings
from streams.transport import ChunkApp


class Encoder:
    """Dies of a text with poison in it, or of any. batches: how many texts each had. pictures: how
    many pictures."""

    dimensions = 0

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.pictures: list[int] = []
        self.dies_of_any = False

    async def encode(
        self, texts: Sequence[str], images: Sequence[bytes]
    ) -> tuple[NDArray[np.float32], list[int]]:
        self.batches.append(len(texts))
        self.pictures.append(sum(map(bool, images)))
        if self.dies_of_any or any("poison" in text for text in texts):
            raise BrokenProcessPool("it was killed")
        return np.ones((len(texts), 2), np.float32), []


class Vectors:
    """What is published, by item."""

    def __init__(self) -> None:
        self.items: list[str] = []

    async def publish(self, _topic: str, outgoing: Sequence[Outgoing]) -> None:
        self.items += [each.key.decode() for each in outgoing if each.key]


class Shop:
    """A catalogue that is encoded, without a broker."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.metrics, self.encoder, self.vectors = Metrics(), Encoder(), Vectors()
        app: Any = ChunkApp("content", broker="kafka://nowhere")
        unused: Any = None
        publisher: Any = self.vectors
        self.content = Content(Settings(), app, unused, publisher, self.metrics)
        monkeypatch.setattr(self.content, "encoder", self.encoder)
        monkeypatch.setattr(self.content, "sleep", lambda _: asyncio.sleep(0))
        self.content.follower.caught_up.set()

    def tell(self, *items: tuple[str, str]) -> None:
        self.content.told(0, [ItemFacts(item, title=title) for item, title in items], [])

    def show(self, *items: tuple[str, str]) -> None:
        """The pictures of these items have come."""
        for item, title in items:
            pictured = Pictured(0, content_key(title, "any", item), title)
            self.content._seen(item, pictured, b"picture")

    def encode(self, tries: int = 40) -> list[str]:
        """The items that so many tries encode."""

        async def work() -> None:
            await self.content._on_assigned(ChunkApp("any"), {TP("items", 0)})
            for _ in range(tries):
                await self.content._encode_some()

        self.vectors.items.clear()
        self.encoder.batches.clear()
        self.encoder.pictures.clear()
        asyncio.run(work())
        return self.vectors.items

    def set_aside(self) -> float | None:
        return self.metrics.registry.get_sample_value("freshet_set_aside_items_total")


@pytest.mark.parametrize("poisoned", [[0], [31], [3, 17, 60]])
def test_all_but_what_the_encoder_dies_of_is_encoded(
    monkeypatch: pytest.MonkeyPatch, poisoned: list[int]
) -> None:
    shop = Shop(monkeypatch)
    shop.tell(*((f"i{n}", "poison" if n in poisoned else f"tea {n}") for n in range(100)))
    encoded = shop.encode(60)
    assert sorted(encoded) == sorted(f"i{n}" for n in range(100) if n not in poisoned)
    assert shop.set_aside() == len(poisoned)
    assert max(shop.encoder.batches[-2:]) > 1


def test_what_was_set_aside_is_tried_again_when_its_record_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop(monkeypatch)
    shop.tell(("i", "poison"))
    assert shop.encode() == []
    shop.tell(("i", "poison"))
    assert shop.encode() == []
    assert shop.encoder.batches == []
    shop.tell(("i", "tea"))
    assert shop.encode() == ["i"]
    shop.tell(("i", "poison"))
    shop.encode()
    assert shop.set_aside() == 2


def test_nothing_is_set_aside_by_an_encoder_that_dies_of_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop(monkeypatch)
    shop.tell(("i", "tea"), ("j", "cup"))
    shop.encoder.dies_of_any = True
    assert shop.encode() == []
    assert shop.set_aside() == 0
    shop.encoder.dies_of_any = False
    assert sorted(shop.encode()) == ["i", "j"]


def test_texts_go_before_pictures_and_few_pictures_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the text of an item whose picture is here: to unpack one may take a second."""
    shop = Shop(monkeypatch)
    shop.show(*((f"i{n}", f"tea {n}") for n in range(5)))
    shop.tell(*((f"j{n}", f"cup {n}") for n in range(40)), ("k", "pot"))
    shop.show(("k", "pot"))
    assert shop.encode() == [f"j{n}" for n in range(40)] + ["k", *(f"i{n}" for n in range(5)), "k"]
    assert shop.encoder.pictures == [0, 0, 4, 2]


def test_a_picture_that_the_encoder_dies_of_is_set_aside_while_texts_keep_coming(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop(monkeypatch)
    shop.show(("h", "pot"), ("i", "poison"), ("j", "tea"))
    encoded: list[str] = []
    for n in range(10):
        shop.tell((f"k{n}", "cup"))
        encoded += shop.encode(2)
    assert sorted(encoded) == sorted(["h", "j", *(f"k{n}" for n in range(10))])
    assert shop.set_aside() == 1
