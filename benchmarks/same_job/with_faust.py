"""Stock Faust: an agent, and a Table with its changelog, as in Faust's user guide.

The table is in memory, which is faster than Faust's RocksDB store; its changelog is on the broker.
The web server is off, uvloop is on. Delivery: at least once.
"""

from __future__ import annotations

import faust
import uvloop
from faust.worker import Worker

from benchmarks.same_job.answering import (
    EVENTS,
    FOLDER,
    RECOMMENDATIONS,
    SERVERS,
    Answering,
    remembered,
)


def main() -> None:
    uvloop.install()
    app = faust.App(
        EVENTS.replace("events", "faust"),
        broker=f"kafka://{SERVERS}",
        datadir=FOLDER,
        topic_partitions=4,
        topic_disable_leader=True,
        web_enabled=False,
    )
    events = app.topic(EVENTS, key_type=str, value_type=bytes, value_serializer="raw")
    lists = app.topic(RECOMMENDATIONS, key_serializer="raw", value_serializer="raw")
    users = app.Table("users", default=list, partitions=4)
    answering = Answering()

    @app.agent(events)
    async def recommend(stream: faust.Stream[bytes]) -> None:
        async for value in stream:
            event = answering.event(value)
            users[event.user_id] = remembered(users[event.user_id], event)
            await lists.send(key=event.user_id.encode(), value=answering.answer(event))

    Worker(app, loglevel="ERROR", quiet=True).execute_from_commandline()


if __name__ == "__main__":
    main()
