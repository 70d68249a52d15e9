"""A broker that closed a connection a moment ago, before aiokafka could see it."""

import asyncio

import pytest
import uvloop
from aiokafka import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest
from kafka import Kafka

from streams.kafka import client_options
from streams.settings import Settings


@pytest.mark.broker
def test_a_write_to_a_connection_that_was_just_closed_is_a_lost_connection(kafka: Kafka) -> None:
    async def refresh() -> bool:
        client = AIOKafkaClient(
            **client_options(Settings(bootstrap_servers=kafka.bootstrap_servers))
        )
        await client.bootstrap()
        try:
            await client.force_metadata_update()
            (connection,) = client._conns.values()
            connection._writer.transport.abort()
            await asyncio.sleep(0)  # gone; aiokafka hears of it in the next round
            with pytest.raises(KafkaConnectionError, match="closed the connection to 127"):
                connection.send(MetadataRequest([]))
            async with asyncio.timeout(10):
                while not await client.force_metadata_update():
                    await asyncio.sleep(0.1)
            return True
        finally:
            await client.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(refresh())
