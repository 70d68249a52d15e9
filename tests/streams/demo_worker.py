"""Stands in for `freshet worker` in tests of the demo: ready at once, everyone gets items 1 to 10.

    python demo_worker.py [SECONDS]

With SECONDS it dies so long after it became ready, and says why on stderr.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from aiohttp import web
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from schemas import Cause, Reason, Recommendation, RecommendedItem, decode_event, encode

SERVERS = os.environ["FRESHET_BOOTSTRAP_SERVERS"]


async def main(dies_after: float | None) -> None:
    consumer = AIOKafkaConsumer("events", bootstrap_servers=SERVERS, auto_offset_reset="earliest")
    producer = AIOKafkaProducer(bootstrap_servers=SERVERS)
    await consumer.start()
    await producer.start()

    async def ready(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    site = web.Application()
    site.router.add_get("/readyz", ready)
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(os.environ["FRESHET_HTTP_PORT"])).start()
    end = time.monotonic() + (dies_after or 1e9)
    while time.monotonic() < end:
        for records in (await consumer.getmany(timeout_ms=50)).values():
            for record in records:
                event = decode_event(record.value, record.timestamp, int(time.time() * 1000))
                answer = Recommendation(
                    recommendation_id=f"r{record.partition}-{record.offset}",
                    user_id=event.user_id,
                    ts=event.ts,
                    items=[
                        RecommendedItem(f"i{n:05d}", 1 / n, Reason("stub", 1.0, [], "For all."))
                        for n in range(1, 11)
                    ],
                    cause=Cause("events", record.partition, record.offset, event.event_id),
                )
                await producer.send("recommendations", encode(answer), key=record.key)
    sys.exit("a fault injected by a test")


asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else None))
