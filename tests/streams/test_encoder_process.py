"""The encoder's process is there while it is needed."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from streams import encoder_process
from streams.encoder_process import EncoderProcess
from streams.settings import load


def test_an_encoder_at_its_first_texts_is_not_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = threading.Event()
    pools: list[ThreadPoolExecutor] = []

    def begun(*_: object, **__: object) -> ThreadPoolExecutor:
        pools.append(ThreadPoolExecutor(1))
        return pools[-1]

    monkeypatch.setattr(encoder_process, "ProcessPoolExecutor", begun)
    monkeypatch.setattr(encoder_process, "_encode", lambda *_: loaded.wait(10))

    async def work() -> None:
        encoder = EncoderProcess(load())
        first = asyncio.ensure_future(encoder.encode(["tea"], [b""]))
        await asyncio.sleep(0)
        encoder.rest_if_idle()
        second = asyncio.ensure_future(encoder.encode(["cup"], [b""]))
        await asyncio.sleep(0)
        loaded.set()
        await asyncio.gather(first, second)
        encoder.rest()

    asyncio.run(work())
    assert len(pools) == 1
