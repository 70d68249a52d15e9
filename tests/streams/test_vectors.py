"""What stands on `vectors`: Freshet's own comes back, and nothing else disturbs it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from streams.content import Content
from streams.metrics import Metrics
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


def following() -> Content:
    app: Any = ChunkApp("content", broker="kafka://nowhere")
    unused: Any = None
    return Content(Settings(), app, unused, unused, Metrics())


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
