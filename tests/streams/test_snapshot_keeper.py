"""What is dear to do again is saved; where nothing is new, nothing is written."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from streams.engine import Engine
from streams.erasures import Erasures
from streams.metrics import Metrics
from streams.replica import Replica
from streams.settings import Settings
from streams.snapshot_keeper import SnapshotKeeper
from streams.snapshots import SnapshotStore


def run(settings: Settings, work: Callable[[Replica], object]) -> tuple[Replica, Metrics]:
    """A replica with its keeper from start to end, and `work` done in between."""
    replica, metrics = Replica(settings), Metrics()
    engine = Engine(replica)

    async def start_and_end() -> None:
        erasures = Erasures(settings, engine, metrics)
        keeper = SnapshotKeeper(settings, SnapshotStore(settings), engine, erasures, metrics)
        await keeper.on_start()
        await engine.run(work)
        await keeper.on_stop()

    asyncio.run(start_and_end())
    engine.close()
    return replica, metrics


def link(replica: Replica) -> None:
    replica.recommender.link_items(["a"], [[("b", 0.5)]], [b"contents"])


def is_linked(replica: Replica) -> bool:
    (linked,) = replica.recommender.linked(["a"], [b"contents"])
    return linked


def test_what_items_are_like_is_saved_where_no_event_was_learned(tmp_path: Path) -> None:
    settings = Settings(snapshots=str(tmp_path))
    run(settings, link)
    assert len(list(tmp_path.glob("*.freshet"))) == 1
    again, _ = run(settings, lambda _: None)
    assert is_linked(again)
    assert len(list(tmp_path.glob("*.freshet"))) == 1


def test_where_there_is_nothing_to_save_the_age_of_the_snapshot_is_none(tmp_path: Path) -> None:
    began = time.time()
    _, metrics = run(Settings(snapshots=str(tmp_path)), lambda _: None)
    assert not list(tmp_path.glob("*.freshet"))
    saved_at = metrics.registry.get_sample_value("freshet_snapshot_timestamp_seconds")
    assert saved_at is not None
    assert saved_at >= began
