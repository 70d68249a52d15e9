"""The turns of the engine: what is in one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from streams.metrics import Metrics
from streams.serving import Serving, _Turn
from streams.settings import Settings


class Ended(Exception):
    """Ends the turns."""


def test_what_comes_while_a_turn_is_computed_is_learned_in_the_next() -> None:
    lessons: list[int] = []

    class Engine:
        """Fails after its second turn; in each it is told how much there is to learn."""

        async def run(self, work: Any) -> Any:
            lessons.append(len(work.keywords["lessons"]))
            if len(lessons) == 2:
                raise Ended
            await asyncio.sleep(0.05)
            return _Turn([None], [], "1-1")

    async def work() -> None:
        unused: Any = None
        engine: Any = Engine()
        publisher: Any = SimpleNamespace(one_at_a_time=asyncio.Lock())
        serving = Serving(Settings(), engine, unused, unused, publisher, Metrics())
        nothing: Callable[[Any], None] = lambda _: None  # noqa: E731
        taking = asyncio.ensure_future(serving._take_turns(serving))
        first, _ = serving.add(nothing, [], behind=False)
        await asyncio.sleep(0.01)
        for _ in range(3):
            serving.add(nothing, [], behind=False)
        assert lessons == [1]
        await first
        with pytest.raises(Ended):
            await asyncio.wait_for(taking, 5)

    asyncio.run(work())
    assert lessons == [1, 3]
