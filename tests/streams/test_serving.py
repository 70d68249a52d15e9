"""The turns of the engine: when one begins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from streams.metrics import Metrics
from streams.serving import Serving
from streams.settings import Settings


class Begun(Exception):
    """Ends the turns."""


@pytest.mark.parametrize("the_rest_comes", [True, False])
def test_a_turn_begins_when_a_fetch_is_whole_or_its_rest_does_not_come(
    the_rest_comes: bool,
) -> None:
    turns: list[int] = []

    class Engine:
        """Notes how many chunks there are to learn, and ends."""

        def run(self, work: Any) -> asyncio.Future[Any]:
            turns.append(len(work.keywords["lessons"]))
            raise Begun

    async def work() -> None:
        unused: Any = None
        engine: Any = Engine()
        serving = Serving(Settings(), engine, unused, unused, unused, Metrics())
        nothing: Callable[[Any], None] = lambda _: None  # noqa: E731
        taking = asyncio.ensure_future(serving._take_turns(serving))
        await asyncio.sleep(0)
        serving.add(nothing, [], behind=False, more_follow=True)
        await asyncio.sleep(0)
        assert not turns
        if the_rest_comes:
            serving.add(nothing, [], behind=False, more_follow=False)
        with pytest.raises(Begun):
            await asyncio.wait_for(taking, 5)

    asyncio.run(work())
    assert turns == [2 if the_rest_comes else 1]
