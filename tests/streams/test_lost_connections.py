"""A broker that closed a connection a moment ago, before aiokafka could see it."""

import asyncio
from collections.abc import Callable
from typing import NoReturn

import pytest
import uvloop
from aiokafka import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest
from kafka import Kafka

from streams.kafka import client_options
from streams.settings import Settings


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
