"""A broker that is away is waited for, whatever was asked of it."""

import asyncio
from pathlib import Path

import pytest
from kafka import Kafka

from streams import publisher
from streams.broker import EmbeddedBroker, free_port
from streams.kafka import client_options
from streams.publisher import Outgoing, Publisher, PublishError
from streams.settings import Settings

pytestmark = [pytest.mark.broker, pytest.mark.slow]


def test_how_many_partitions_a_topic_has_is_answered_once_the_broker_is_back(
    cache_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a topic that the client does not know yet, as it was made after it had connected."""
    broker = EmbeddedBroker(tmp_path / "kafka", cache_dir=cache_dir, port=free_port())
    impatient = {"request_timeout_ms": 1000}  # so that one try is over before the broker is back
    monkeypatch.setattr(publisher, "client_options", lambda of: client_options(of) | impatient)

    async def ask(settings: Settings) -> int:
        asked = Publisher(settings)
        await asked.on_start()
        try:
            kafka = Kafka(broker.bootstrap_servers)
            await asyncio.to_thread(kafka.create, "profiles", partitions=3)
            await asyncio.to_thread(broker.kill)
            answer = asyncio.create_task(asked.partitions("profiles"))
            done, _ = await asyncio.wait([answer], timeout=4)
            assert not done
            await asyncio.to_thread(broker.start)
            return await answer
        finally:
            await asked.on_stop()

    with broker:
        settings = Settings(bootstrap_servers=broker.bootstrap_servers)
        assert asyncio.run(ask(settings)) == 3


def test_a_broker_that_does_not_come_back_is_waited_for_as_long_as_the_settings_say(
    cache_dir: Path, tmp_path: Path
) -> None:
    async def publish(settings: Settings) -> None:
        publisher = Publisher(settings)
        await publisher.on_start()
        try:
            await publisher.publish("t", [Outgoing(b"key", b"before")])
            await asyncio.to_thread(broker.kill)
            with pytest.raises(PublishError, match="no broker took it in 5 s"):
                await publisher.publish("t", [Outgoing(b"key", b"after")])
        finally:
            await publisher.on_stop()

    with EmbeddedBroker(tmp_path / "kafka", cache_dir=cache_dir) as broker:
        Kafka(broker.bootstrap_servers).create("t")
        settings = Settings(bootstrap_servers=broker.bootstrap_servers, stall_seconds=5)
        asyncio.run(publish(settings))
