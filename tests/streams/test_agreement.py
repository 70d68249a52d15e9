"""Workers of one group that do not learn alike are noticed."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import GroupCoordinatorNotAvailableError
from kafka import Kafka
from pydantic import Field
from workers import Worker

from models.settings import EngineSettings
from streams import agreement
from streams.agreement import Agreement, client_id, disagreeing
from streams.metrics import Metrics
from streams.settings import Settings


def test_only_settings_of_learning_make_workers_disagree() -> None:
    ours = Settings()
    same = [Settings(http_port=1), Settings(list_size=3), Settings(snapshots="off")]
    others = [
        Settings(seed=1),
        Settings(duplicate_window=1),
        Settings(engine=EngineSettings(practice=0.5)),
    ]
    members = [*map(client_id, [ours, *same, *others]), "a-version-before"]
    assert disagreeing(ours, members) == len(others)


def test_a_setting_that_a_newer_version_adds_counts_once_it_is_set() -> None:
    """As in a rolling upgrade, in which the others do not know it."""

    @dataclass(frozen=True)
    class Newer(EngineSettings):
        patience: float = 1.0

    class NewerSettings(Settings):
        engine: Newer = Field(default_factory=Newer)

    assert client_id(NewerSettings()) == client_id(Settings())
    both = [client_id(kind(seed=1, engine={"practice": 0.5})) for kind in (Settings, NewerSettings)]
    assert disagreeing(Settings(seed=1, engine=EngineSettings(practice=0.5)), both) == 0
    newer = NewerSettings(engine=Newer(patience=2.0))
    assert disagreeing(newer, [client_id(Settings())]) == 1


def test_where_the_group_cannot_be_seen_it_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when its coordinator moves; nobody may join for weeks."""
    monkeypatch.setattr(agreement, "_RETRY_SECONDS", 0.01)
    metrics, answers = Metrics(), [None, [client_id(Settings(seed=1))]]

    class Once(Agreement):
        async def _members(self) -> list[str]:
            if (found := answers.pop(0)) is None:
                raise GroupCoordinatorNotAvailableError
            return found

    app: Any = SimpleNamespace(on_partitions_assigned=SimpleNamespace(connect=lambda _: None))

    async def look() -> None:
        once = Once(Settings(), app, metrics)
        async with once, asyncio.timeout(5):
            await once._on_assigned(app, ())
            while metrics.registry.get_sample_value("freshet_disagreeing_workers") != 1:
                await asyncio.sleep(0.01)

    asyncio.run(look())


@pytest.mark.broker
@pytest.mark.slow
def test_workers_with_different_settings_say_so_until_they_agree(
    kafka: Kafka, topic_prefix: str, cache_dir: Path, tmp_path: Path
) -> None:
    def worker(name: str, **environment: str) -> Worker:
        folder = tmp_path / name
        folder.mkdir()
        return Worker(kafka.bootstrap_servers, topic_prefix, cache_dir, folder, environment)

    with worker("one") as one:
        assert one.metric("freshet_disagreeing_workers") == 0
        with worker("other", FRESHET_SEED="5") as other:
            for each in (one, other):
                each.wait_for_metric("freshet_disagreeing_workers", 1)
                assert "other settings of learning" in each.log
            assert other.terminate() == 0
        with worker("alike"):
            one.wait_until_ready()
            assert one.metric("freshet_disagreeing_workers") == 0
