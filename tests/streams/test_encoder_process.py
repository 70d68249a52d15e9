"""The encoder's process is there while it is needed, and ended when it hangs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from models.content.encoder import why_unavailable
from streams import encoder_process
from streams.encoder_process import EncoderProcess
from streams.settings import load


class InThread(ThreadPoolExecutor):
    """What the encoder sees of a pool of processes."""

    _processes = None


def test_an_encoder_at_its_first_texts_is_not_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = threading.Event()
    pools: list[InThread] = []

    def begun(*_: object, **__: object) -> InThread:
        pools.append(InThread(1))
        return pools[-1]

    monkeypatch.setattr(encoder_process, "ProcessPoolExecutor", begun)

    def encoded(*_: object) -> tuple[NDArray[np.float32], list[int]]:
        loaded.wait(10)
        return np.zeros((1, 4), np.float32), []

    monkeypatch.setattr(encoder_process, "_encode", encoded)

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


QUIET = """
import asyncio
from streams.encoder_process import EncoderProcess
from streams.settings import load

async def work():
    encoder = EncoderProcess(load())
    await encoder.encode(["tea"], [b""])
    encoder.rest()

if __name__ == "__main__":
    asyncio.run(work())
"""


@pytest.mark.skipif(why_unavailable() is not None, reason=str(why_unavailable()))
def test_an_encoder_neither_draws_bars_nor_leaves_a_warning_behind(tmp_path: Path) -> None:
    # A file, as a process that is spawned imports what started it.
    (tmp_path / "quiet.py").write_text(QUIET)
    done = subprocess.run(
        [sys.executable, tmp_path / "quiet.py"], capture_output=True, text=True, check=True
    )
    assert done.stdout + done.stderr == ""


def encoders() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [each for each in children if "spawn_main" in " ".join(each.cmdline())]


@pytest.mark.skipif(why_unavailable() is not None, reason=str(why_unavailable()))
def test_an_encoder_that_hangs_is_ended_and_the_next_batch_gets_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work() -> None:
        encoder = EncoderProcess(load())
        before, _ = await encoder.encode(["tea"], [b""])
        (hung,) = encoders()
        hung.suspend()
        with monkeypatch.context() as impatient:
            impatient.setattr(encoder, "_settings", load(options={"encoder_seconds": 0.5}))
            with pytest.raises(BrokenProcessPool):
                await encoder.encode(["tea"], [b""])
        assert not psutil.wait_procs([hung], 30)[1]
        again, _ = await encoder.encode(["tea"], [b""])
        assert np.array_equal(before, again)

        # One that hangs without anything to do goes with the worker all the same.
        (hung,) = encoders()
        hung.suspend()
        encoder.rest()
        assert not psutil.wait_procs([hung], 30)[1]

    asyncio.run(work())


def test_an_encoder_ends_with_a_worker_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(
        """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from streams.encoder_process import _begin

if __name__ == "__main__":
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(1, mp_context=spawn, initializer=_begin)
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(60)
"""
    )
    worker = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    encoder = psutil.Process(int(worker.stdout.readline()))
    worker.kill()
    worker.wait()
    encoder.wait(timeout=10)
    worker.stdout.close()
