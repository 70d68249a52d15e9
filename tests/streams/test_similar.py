"""The neighbourhoods of an item: what the engine has to say, and the index of what it learned."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import pytest
from kafka import Kafka
from numpy.typing import NDArray
from rich.console import Console
from workers import Worker

from models.interactions import Interactions, Kind
from models.recommender import Recommender
from models.sources.embeddings import WIDTH
from streams import similar
from streams.broker import free_port
from streams.engine import Engine
from streams.metrics import Metrics
from streams.replica import Replica
from streams.similar import (
    AlikeUser,
    AlikeUsers,
    Busy,
    LearnedIndex,
    Neighbour,
    Neighbourhoods,
    NotSeen,
    Similar,
    look,
    show,
    show_users,
    unread,
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


def index_of_items(at_once: int = 2) -> LearnedIndex:
    return LearnedIndex(similar._item_vectors, at_once)


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
    learned = index_of_items()
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
    worker = Learned({"a": axis(0, 2), "b": axis(0, 3), "c": axis(1)})
    engine = Engine(cast(Replica, worker))

    async def work() -> None:
        learned = index_of_items()
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


@pytest.mark.parametrize("url", ["nonsense", "http://[::1", "127.0.0.1:9464", "http://x:99999"])
def test_what_is_no_address_is_told_as_that(url: str) -> None:
    with pytest.raises(NotSeen, match=r"is no address; write it as http://HOST:PORT"):
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

        neighbourhoods = Neighbourhoods(engine, by_content, Metrics())
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


class Shop:
    """The part of a worker that has an engine: users of even and of odd numbers take items of
    theirs."""

    def __init__(self) -> None:
        self.recommender, random = Recommender(), np.random.default_rng(0)
        rows = [
            (f"u{k % 40}", f"i{2 * random.integers(15) + k % 2}", Kind.VIEW, None, 60.0 * k)
            for k in range(4000)
        ]
        self.recommender.learn(Interactions.of(rows))


def looking(shop: Shop, work: Callable[[Engine, Neighbourhoods, Metrics], Awaitable[None]]) -> None:
    """Do `work` with the neighbourhoods of a worker."""
    engine, metrics = Engine(cast(Replica, shop)), Metrics()

    async def run() -> None:
        await work(engine, Neighbourhoods(engine, unread, metrics), metrics)

    asyncio.run(run())
    engine.close()


def names(found: AlikeUsers | None) -> set[str]:
    assert found is not None
    return {other.user_id for other in found.users}


def test_users_are_alike_who_take_the_same() -> None:
    shop = Shop()
    shop.recommender.learn(Interactions.of([("eve", "only-hers", Kind.VIEW, None, 1e6)]))

    async def work(_engine: Engine, neighbourhoods: Neighbourhoods, metrics: Metrics) -> None:
        found = await neighbourhoods.of_user("u0", 19)
        assert names(found) == {f"u{k}" for k in range(2, 40, 2)}
        assert found is not None
        past = shop.recommender.past("u0")
        assert past is not None
        newest = shop.recommender.item_ids(past.items[::-1])
        for other in found.users:
            assert other.score > 0.5
            assert other.in_common > len(other.items) == 5
            places = [newest.index(item) for item in other.items]
            assert places == sorted(places)
        scores = [other.score for other in found.users]
        assert scores == sorted(scores, reverse=True)
        assert metrics.registry.get_sample_value("freshet_user_vectors") == 40
        assert await neighbourhoods.of_user("nobody", 5) is None
        assert await neighbourhoods.of_user("eve", 5) is None

    looking(shop, work)


def test_who_is_forgotten_is_named_no_more_and_held_nowhere() -> None:
    shop = Shop()

    async def work(engine: Engine, neighbourhoods: Neighbourhoods, metrics: Metrics) -> None:
        first, second, *_ = sorted(names(await neighbourhoods.of_user("u0", 3)))
        await engine.run(lambda replica: replica.recommender.forget(first))
        # As when they were away for too long: nobody tells of it.
        assert first not in names(await neighbourhoods.of_user("u0", 3))
        await engine.run(lambda replica: replica.recommender.forget(second))
        neighbourhoods.forget([first, second])
        assert metrics.registry.get_sample_value("freshet_user_vectors") == 38
        found = await neighbourhoods.of_user("u0", 5)
        assert {first, second}.isdisjoint(names(found))
        assert len(names(found)) == 5
        assert await neighbourhoods.of_user(first, 5) is None

    looking(shop, work)


def test_who_is_forgotten_while_vectors_are_copied_does_not_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(similar, "WRITTEN_AT_ONCE", 8)
    shop = Shop()

    async def work(engine: Engine, neighbourhoods: Neighbourhoods, metrics: Metrics) -> None:
        upsert = LearnedIndex.upsert

        def slowly(self: LearnedIndex, users: list[str], vectors: NDArray[np.float32]) -> None:
            if "u2" in users:  # copied before they are forgotten, taken up after
                asyncio.run_coroutine_threadsafe(erase(), loop).result()
            upsert(self, users, vectors)

        async def erase() -> None:
            await engine.run(lambda replica: replica.recommender.forget("u2"))
            neighbourhoods.forget(["u2"])

        loop = asyncio.get_running_loop()
        monkeypatch.setattr(LearnedIndex, "upsert", slowly)
        assert "u2" not in names(await neighbourhoods.of_user("u0", 30))
        assert metrics.registry.get_sample_value("freshet_user_vectors") == 39
        assert neighbourhoods._users.near("u2", 5) == []

    looking(shop, work)


def test_vectors_of_users_are_let_go_when_nobody_has_asked_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(similar, "_KEPT_SECONDS", 1)  # more than asking takes

    async def work(_engine: Engine, neighbourhoods: Neighbourhoods, metrics: Metrics) -> None:
        assert await neighbourhoods.of_user("u0", 5)
        assert metrics.registry.get_sample_value("freshet_user_vectors") == 40
        async with asyncio.timeout(5):
            while metrics.registry.get_sample_value("freshet_user_vectors"):
                await asyncio.sleep(0.05)
        assert await neighbourhoods.of_user("u0", 5)

    looking(Shop(), work)


def test_what_users_have_in_common_is_shown() -> None:
    out = Console(file=io.StringIO(), width=100)
    bob, cid = AlikeUser("bob", 0.9, 7, ["tea", "cup"]), AlikeUser("cid", 0.8, 0, [])
    show_users(AlikeUsers("ann", [bob, cid]), out)
    assert isinstance(out.file, io.StringIO)
    assert "tea, cup and 5 more" in out.file.getvalue()
    assert "cid" in out.file.getvalue()


@pytest.mark.broker
@pytest.mark.timeout(120)
def test_a_worker_tells_who_is_alike_and_names_nobody_who_was_erased(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path
) -> None:
    def event(user: str, item: str) -> tuple[str, bytes]:
        return user, msgspec.json.encode({"user_id": user, "item_id": item, "type": "view"})

    def alike(user: str) -> list[AlikeUser]:
        found = msgspec.json.decode(
            freshet("similar", "--user", user, "--json", "--url", worker.url).stdout,
            type=AlikeUsers,
        )
        return found.users

    events = [
        event(f"u{k % 10}", f"i{(k * 7 + k // 10) % 20 // 2 * 2 + k % 2}") for k in range(400)
    ]
    with Worker(
        kafka.bootstrap_servers, topic_prefix, cache_dir, tmp_path, {"FRESHET_CONTENT": "off"}
    ) as worker:
        kafka.produce(f"{topic_prefix}events", events)
        worker.wait_for_metric("freshet_model_events", len(events))
        assert {other.user_id for other in alike("u0")[:4]} == {"u2", "u4", "u6", "u8"}
        assert "and 5 more" in freshet("similar", "--user", "u0", "--url", worker.url).stdout
        assert worker.metric("freshet_user_vectors") == 10

        kafka.produce(f"{topic_prefix}erasures", [("u2", b'{"user_id": "u2"}')])
        worker.wait_for_metric("freshet_erasures_total", 1)
        assert worker.metric("freshet_user_vectors") == 9
        assert {other.user_id for other in alike("u0")[:3]} == {"u4", "u6", "u8"}
        unknown = freshet("similar", "--user", "u2", "--url", worker.url)
        assert unknown.returncode == 2
        assert "nothing is known of what the user 'u2' likes" in unknown.stderr
        assert worker.terminate() == 0


def freshet(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streams", *arguments], check=False, capture_output=True, text=True
    )
