"""The neighbourhoods of an item: what the engine has to say, and the index of what it learned."""

from __future__ import annotations

import asyncio
import io
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from models.interactions import Interactions, Kind
from models.recommender import Recommender
from models.sources.embeddings import WIDTH
from streams import similar
from streams.broker import free_port
from streams.engine import Engine
from streams.replica import Replica
from streams.similar import (
    Busy,
    LearnedIndex,
    Neighbour,
    Neighbourhoods,
    NotSeen,
    Similar,
    look,
    show,
)


def test_what_is_taken_together_comes_with_the_engines_own_score() -> None:
    recommender = Recommender()
    takes = [("ann", "tea"), ("ann", "cup"), ("bob", "tea"), ("bob", "cup"), ("cid", "tea")]
    takes += [("cid", "pot"), ("dee", "hat"), ("dee", "pot"), ("dee", "tea")]
    takes += [("eve", "tea"), ("eve", "cup")]
    recommender.learn(
        Interactions.of(
            [(user, item, Kind.VIEW, None, float(k)) for k, (user, item) in enumerate(takes)]
        )
    )
    together = recommender.taken_with("tea", 5)
    assert together[0][0] == "cup"
    assert {item for item, _ in together} == {"cup", "pot", "hat"}
    assert recommender.taken_with("tea", 1) == together[:1]
    assert recommender.taken_with("never seen", 5) == []


def test_items_that_the_same_people_take_have_vectors_that_are_near() -> None:
    recommender, random = Recommender(), np.random.default_rng(0)
    rows = [
        (f"u{k % 40}", f"i{2 * random.integers(15) + k % 2}", Kind.VIEW, None, 60.0 * k)
        for k in range(4000)
    ]
    recommender.learn(Interactions.of(rows))
    reach = recommender.item_reach
    pieces = [recommender.item_vectors(range(at, at + 7)) for at in range(0, reach, 7)]
    assert {item for items, _ in pieces for item in items} == {f"i{k}" for k in range(30)}
    assert sum(len(items) for items, _ in pieces) == 30
    learned = LearnedIndex()
    for items, vectors in pieces:
        learned.upsert(items, vectors)
    near = learned.near("i0", 5)
    assert all(int(item[1:]) % 2 == 0 for item, _ in near), near


class Learned:
    """The part of a worker that knows items by vectors."""

    def __init__(self, vectors: dict[str, list[float]]) -> None:
        self.recommender = self
        self.vectors, self.copies = vectors, 0

    @property
    def item_reach(self) -> int:
        return len(self.vectors)

    def item_vectors(self, numbers: range) -> tuple[list[str], NDArray[np.float32]]:
        self.copies += 1
        some = {item: self.vectors[item] for item in [*self.vectors][numbers.start : numbers.stop]}
        return [*some], np.array([*some.values()], np.float32).reshape(len(some), WIDTH)

    def facts(self, _items: list[str]) -> list[None]:
        return [None]

    def taken_with(self, _item: str, _n: int) -> list[tuple[str, float]]:
        return []


def axis(n: int, length: float = 1) -> list[float]:
    return [length * (k == n) for k in range(WIDTH)]


def test_what_was_learned_is_looked_at_anew_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similar, "_COPIED_AT_ONCE", 2)
    worker = Learned({"a": axis(0, 2), "b": axis(0, 3), "c": axis(1)})
    engine = Engine(cast(Replica, worker))

    async def work() -> None:
        learned = LearnedIndex()
        await learned.refresh(engine)
        assert learned.near("a", 5) == [("b", 1), ("c", 0)]
        worker.vectors = {"a": axis(0), "b": axis(1)}
        copies = worker.copies
        await learned.refresh(engine)
        assert worker.copies == copies
        assert learned.near("a", 5) == [("b", 1), ("c", 0)]
        monkeypatch.setattr(learned, "_old_at", 0.0)
        await learned.refresh(engine)
        assert learned.near("a", 5) == [("b", 0)]
        assert learned.near("c", 5) == []

    asyncio.run(work())
    engine.close()


def test_where_no_worker_listens_it_is_said_how_to_find_one() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(NotSeen, match=r"nothing listens there\. .*--set http_port=PORT.*--url"):
        asyncio.run(look(url, "tea", 5))


def test_the_columns_say_in_which_way_items_are_similar() -> None:
    out = Console(file=io.StringIO(), width=100)
    near = [[Neighbour(f"{kind}-{n}", 0.5) for n in range(2)] for kind in "abc"]
    show(Similar("tea", *near), out)
    assert isinstance(out.file, io.StringIO)
    rows = [line.split("┃") for line in out.file.getvalue().splitlines() if "┃" in line]
    assert [cell.strip() for cell in rows[0][2:8:2]] == [
        "similar text",
        "same people take it",
        "taken together",
    ]


def test_one_at_a_time_may_look() -> None:
    engine = Engine(cast(Replica, Learned({"a": axis(0), "b": axis(0)})))

    async def work() -> None:
        answer = asyncio.Event()

        async def by_content(_item: str, _n: int) -> list[tuple[str, float]]:
            await answer.wait()
            return []

        neighbourhoods = Neighbourhoods(engine, by_content)
        first = asyncio.ensure_future(neighbourhoods.of("a", 5))
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="ask again"):
            await neighbourhoods.of("b", 5)
        answer.set()
        found = await first
        assert found is not None
        assert [near.item_id for near in found.learned] == ["b"]
        assert await neighbourhoods.of("b", 5) is not None

    asyncio.run(work())
    engine.close()
