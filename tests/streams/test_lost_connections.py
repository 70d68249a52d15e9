"""A broker that closed a connection a moment ago, before aiokafka could see it."""

import asyncio
from collections.abc import Callable
from typing import NoReturn

import pytest
import uvloop
from aiokafka import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError, NodeNotReadyError, RequestTimedOutError
from aiokafka.protocol.metadata import MetadataRequest
from kafka import Kafka

from streams import cli, worker
from streams.kafka import client_options
from streams.settings import Settings
from streams.topics import TopicState


class Unsound(MetadataRequest):  # type: ignore[misc]  # aiokafka is untyped
    def prepare(self, _versions: object) -> NoReturn:
        raise NotImplementedError


@pytest.mark.broker
@pytest.mark.parametrize(
    "send",
    [
        lambda connection: connection.send(MetadataRequest([])),
        lambda connection: connection._send_sasl_token(b"token"),
    ],
)
def test_a_write_to_a_connection_that_was_just_closed_is_a_lost_connection(
    kafka: Kafka, send: Callable[[AIOKafkaConnection], object]
) -> None:
    async def refresh() -> bool:
        client = AIOKafkaClient(
            **client_options(Settings(bootstrap_servers=kafka.bootstrap_servers))
        )
        await client.bootstrap()
        try:
            await client.force_metadata_update()
            (connection,) = client._conns.values()
            with pytest.raises(NotImplementedError):
                connection.send(Unsound([]))
            assert connection.connected()  # what else raises is no lost connection
            connection._writer.transport.abort()
            await asyncio.sleep(0)  # gone; aiokafka hears of it in the next round
            with pytest.raises(KafkaConnectionError, match="closed the connection to 127"):
                send(connection)
            async with asyncio.timeout(10):
                while not await client.force_metadata_update():
                    await asyncio.sleep(0.1)
            return True
        finally:
            await client.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(refresh())


def test_a_start_waits_for_a_broker_that_ends_while_it_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: list[Exception | list[TopicState]] = [NodeNotReadyError(), RequestTimedOutError(), []]

    async def ask(_settings: Settings) -> list[TopicState]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(worker, "ensure_topics", ask)
    assert asyncio.run(worker._wait_for_topics(Settings())) == []
    assert not answers


def test_a_broker_that_goes_away_during_a_command_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lose() -> None:
        raise NodeNotReadyError("not ready (node id 1)")

    monkeypatch.setattr(cli, "app", lose)
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert "went away (NodeNotReadyError: not ready (node id 1)); try again" in " ".join(
        capsys.readouterr().err.split()
    )
