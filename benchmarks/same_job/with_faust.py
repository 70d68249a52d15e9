"""Stock Faust: an agent, and a Table with its changelog, as in Faust's user guide.

The table is in memory, which is faster than Faust's RocksDB store; its changelog is on the broker.
The web server is off, uvloop is on. Delivery: at least once.
"""

from __future__ import annotations

import faust
import uvloop
from faust.worker import Worker

from benchmarks.same_job import answering as job


def main() -> None:
    uvloop.install()
    app = faust.App(
        job.EVENTS.replace("events", "faust"),
        broker=f"kafka://{job.SERVERS}",
        datadir=job.FOLDER,
        topic_partitions=4,
        topic_disable_leader=True,
        web_enabled=False,
    )
    events = app.topic(job.EVENTS, key_type=str, value_type=bytes, value_serializer="raw")
    lists = app.topic(job.RECOMMENDATIONS, key_serializer="raw", value_serializer="raw")
    users = app.Table("users", default=list, partitions=4)
    answering = job.Answering()

    @app.agent(events)
    async def recommend(stream: faust.Stream[bytes]) -> None:
        async for value in stream:
            event = answering.event(value)
            users[event.user_id] = job.remembered(users[event.user_id], event)
            await lists.send(key=event.user_id.encode(), value=answering.answer(event))

    Worker(app, loglevel="ERROR", quiet=True).execute_from_commandline()


if __name__ == "__main__":
    main()
