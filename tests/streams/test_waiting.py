"""Users wait in order of first come, each once, whatever they send meanwhile."""

import asyncio

from aiokafka import ConsumerRecord

from schemas import Event, decode_event
from streams.intake import Taken
from streams.waiting import Waiting


def click(user: str, item: str) -> Taken[Event]:
    value = f'{{"user_id": "{user}", "item_id": "{item}", "type": "click"}}'.encode()
    record = ConsumerRecord("events", 0, 0, 10**12, 0, b"", value, None, 0, 0, ())
    return Taken(record, decode_event(value, 10**12, 10**12))


def items(places) -> list[str]:  # type: ignore[no-untyped-def]
    return [place.because.message.item_id for place in places]


def test_a_user_who_comes_again_keeps_the_place_and_is_served_for_the_newest_event() -> None:
    async def scenario() -> None:
        waiting = Waiting()
        first, _ = waiting.add([click("ann", "a"), click("bob", "b")], now=1.0)
        second, replaced = waiting.add([click("cid", "c"), click("ann", "d")], now=2.0)
        assert replaced == 1
        assert len(waiting) == 3
        assert items(waiting.take(2, since=9.0)) == ["d", "b"]
        assert items(waiting.take(9, since=9.0)) == ["c"]
        assert not first.done()
        assert not second.done()

    asyncio.run(scenario())


def test_a_chunk_is_done_when_each_of_its_users_is_served_or_came_again() -> None:
    async def scenario() -> None:
        waiting = Waiting()
        first, _ = waiting.add([click("ann", "a"), click("bob", "b")], now=1.0)
        second, _ = waiting.add([click("ann", "c")], now=2.0)
        (ann, bob) = waiting.take(9, since=9.0)
        bob.of.one_less()
        assert first.done()
        assert not second.done()
        ann.of.one_less()
        assert second.done()

    asyncio.run(scenario())


def test_a_chunk_without_users_is_done_at_once() -> None:
    async def scenario() -> None:
        done, _ = Waiting().add([], now=1.0)
        assert done.done()

    asyncio.run(scenario())


def test_only_those_who_have_waited_long_enough_are_taken() -> None:
    async def scenario() -> None:
        waiting = Waiting()
        assert waiting.oldest() is None
        waiting.add([click("ann", "a")], now=1.0)
        waiting.add([click("bob", "b")], now=2.0)
        waiting.add([click("ann", "c")], now=3.0)
        assert waiting.oldest() == 1.0
        assert items(waiting.take(9, since=0.5)) == []
        assert items(waiting.take(9, since=1.5)) == ["c"]
        assert waiting.oldest() == 2.0

    asyncio.run(scenario())
