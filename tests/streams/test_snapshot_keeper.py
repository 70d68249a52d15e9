"""What is dear to do again is saved; where nothing is new, nothing is written."""

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from aiokafka import ConsumerRecord

from schemas import decode_event
from streams.engine import Engine
from streams.erasures import Erasures
from streams.intake import readable
from streams.metrics import Metrics
from streams.replica import Place, Replica
from streams.settings import Settings
from streams.snapshot_keeper import SnapshotKeeper
from streams.snapshots import SnapshotStore


class Parts(NamedTuple):
    """A replica with its keeper, and what these are told by."""

    engine: Engine
    erasures: Erasures
    keeper: SnapshotKeeper
    metrics: Metrics


def run(settings: Settings, work: Callable[[Parts], Awaitable[object]]) -> tuple[Replica, Metrics]:
    """A replica with its keeper from start to end, and `work` done in between."""
    replica, metrics = Replica(settings), Metrics()
    engine = Engine(replica)

    async def start_and_end() -> None:
        erasures = Erasures(settings, engine, metrics)
        keeper = SnapshotKeeper(settings, SnapshotStore(settings), engine, erasures, metrics)
        await keeper.on_start()
        await work(Parts(engine, erasures, keeper, metrics))
        await keeper.on_stop()

    asyncio.run(start_and_end())
    engine.close()
    return replica, metrics


def in_engine(work: Callable[[Replica], object]) -> Callable[[Parts], Awaitable[object]]:
    """As `work` of `run`."""
    return lambda parts: parts.engine.run(work)


def record(key: str, offset: int, value: object) -> ConsumerRecord:
    now_ms = int(time.time() * 1000)
    encoded = json.dumps(value).encode()
    return ConsumerRecord("any", 0, offset, now_ms, 0, key.encode(), encoded, None, 0, 0, ())


def learn(replica: Replica, user: str) -> None:
    """One event of theirs, next on partition 0."""
    at = replica.applied.get(0, Place(0, 0)).offset
    event = record(user, at, {"user_id": user, "item_id": "i", "type": "click"})
    taken = readable([event], decode_event, event.timestamp)
    replica.learn(taken, {0: Place(at + 1, event.timestamp)}, practise=0.0)


def link(replica: Replica) -> None:
    replica.recommender.link_items(["a"], [[("b", 0.5)]], [b"contents"])


def is_linked(replica: Replica) -> bool:
    (linked,) = replica.recommender.linked(["a"], [b"contents"])
    return linked


def test_what_items_are_like_is_saved_where_no_event_was_learned(tmp_path: Path) -> None:
    settings = Settings(snapshots=str(tmp_path))
    run(settings, in_engine(link))
    assert len(list(tmp_path.glob("*.freshet"))) == 1
    again, _ = run(settings, in_engine(lambda _: None))
    assert is_linked(again)
    assert len(list(tmp_path.glob("*.freshet"))) == 1


def test_who_is_erased_is_in_no_snapshot_wherever_clocks_stand(tmp_path: Path) -> None:
    settings = Settings(snapshots=str(tmp_path))
    (tmp_path / "0-00000000-events.freshet").write_bytes(b"damaged, so whom it holds is unknown")
    run(settings, in_engine(lambda replica: learn(replica, "ann")))
    (held,) = tmp_path.glob("1*.freshet")
    ahead = held.rename(held.with_name("9" + held.name))
    assert b"ann" in ahead.read_bytes()

    wish = record("ann", 0, {"user_id": "ann"})

    async def work(parts: Parts) -> None:
        await parts.erasures._apply(0, [wish])
        await parts.engine.run(lambda replica: learn(replica, "bob"))
        await parts.keeper._save_if_new()
        (clean,) = tmp_path.iterdir()
        assert clean.name > ahead.name
        assert b"ann" not in clean.read_bytes()
        saved_at = parts.metrics.registry.get_sample_value("freshet_snapshot_timestamp_seconds")
        assert saved_at is not None
        assert saved_at <= time.time()

        # What knows of an erasure may stay when a start or another worker is told of it again.
        await parts.erasures._apply(0, [wish])
        await parts.keeper._save_if_new()
        assert len([*tmp_path.iterdir()]) == 2

    run(settings, work)


def test_erasures_in_a_row_are_covered_by_few_snapshots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(snapshots=str(tmp_path))
    monkeypatch.setattr("streams.snapshot_keeper._LOOK_SECONDS", 0.001)
    monkeypatch.setattr("streams.snapshot_keeper._REST_SECONDS", math.inf)
    users = [f"user-{n:02}" for n in range(30)]

    def held() -> list[str]:
        files = b"".join(path.read_bytes() for path in tmp_path.glob("*.freshet"))
        return [user for user in users if user.encode() in files]

    async def work(parts: Parts) -> None:
        def written() -> float | None:
            labels = {"outcome": "written"}
            return parts.metrics.registry.get_sample_value("freshet_snapshots_total", labels)

        await parts.engine.run(lambda replica: [learn(replica, user) for user in users])
        await parts.keeper._save_if_new()
        keeping = asyncio.create_task(SnapshotKeeper._keep_saving.fun(parts.keeper))
        for user in users[:-1]:
            await parts.erasures._apply(0, [record(user, 0, {"user_id": user})])
            await asyncio.sleep(0.002)
        assert written() == 1
        monkeypatch.setattr("streams.snapshot_keeper._REST_SECONDS", 0.0)
        async with asyncio.timeout(60):
            while written() == 1:
                await asyncio.sleep(0.01)
        assert held() == users[-1:]
        assert written() == 2
        # The end does not wait.
        monkeypatch.setattr("streams.snapshot_keeper._REST_SECONDS", math.inf)
        await parts.erasures._apply(0, [record(users[-1], 0, {"user_id": users[-1]})])
        keeping.cancel()

    run(settings, work)
    assert held() == []


def test_where_there_is_nothing_to_save_the_age_of_the_snapshot_is_none(tmp_path: Path) -> None:
    began = time.time()
    _, metrics = run(Settings(snapshots=str(tmp_path)), in_engine(lambda _: None))
    assert not list(tmp_path.glob("*.freshet"))
    saved_at = metrics.registry.get_sample_value("freshet_snapshot_timestamp_seconds")
    assert saved_at is not None
    assert saved_at >= began


def test_what_is_loaded_tells_at_once_how_many_events_it_learned(tmp_path: Path) -> None:
    settings = Settings(snapshots=str(tmp_path))
    run(settings, in_engine(lambda replica: learn(replica, "ann")))
    _, metrics = run(settings, in_engine(lambda _: None))
    assert metrics.registry.get_sample_value("freshet_model_events") == 1
