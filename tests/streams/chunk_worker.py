"""A worker on the chunk transport for the tests beside it: `chunk_worker.py '{"behaviour": ...}'`.

Everything it does goes to its journal, a line of JSON each, so that a test can also read what a
killed worker did.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import faust
from faust.worker import Worker

from streams.transport import Chunk, ChunkApp, Fetched

told: dict[str, Any] = json.loads(sys.argv[1])
journal = Path(told["journal"]).open("a")  # noqa: SIM115, open for as long as we run
app = ChunkApp(told["group"], broker=f"kafka://{told['bootstrap_servers']}", **told["options"])
topic = app.chunk_topic(told["topic"])


def note(what: str, **more: Any) -> None:
    journal.write(json.dumps({"what": what, **more}) + "\n")
    journal.flush()


def note_chunk(chunk: Chunk, what: str = "chunk") -> None:
    note(
        what,
        topic=chunk.topic,
        partition=chunk.partition,
        first=chunk.first_offset,
        last=chunk.last_offset,
        lag=chunk.lag,
        offsets=[record.offset for record in chunk.records],
        values=[(record.value or b"")[:20].decode() for record in chunk.records],
        waiting=sum(map(len, app.consumer._in_flight.values())),
        kept_by_faust=sum(map(len, app.consumer._acked.values())),
    )


async def each_of(stream: AsyncIterator[Fetched]) -> AsyncIterator[Chunk]:
    async for fetched in stream:
        for chunk in fetched.chunks:
            yield chunk


async def note_and_ack(stream: Any) -> None:
    async for chunk in each_of(stream):
        note_chunk(chunk)
        chunk.ack()


async def work_a_while(stream: Any) -> None:
    """A chunk is done, and noted, only after some work."""
    async for chunk in each_of(stream):
        await asyncio.sleep(told["seconds"])
        note_chunk(chunk)
        chunk.ack()


async def block_the_loop(stream: Any) -> None:
    async for chunk in each_of(stream):
        time.sleep(told["seconds"])
        note_chunk(chunk)
        chunk.ack()


async def ack_the_first_chunk_last(stream: Any) -> None:
    first = None
    async for chunk in each_of(stream):
        note_chunk(chunk)
        if first is None:
            first = chunk
        else:
            chunk.ack()
        if chunk.lag == 0 and told["in_the_end"]:
            first.ack()


async def ack_in_batches(stream: Any) -> None:
    """Acknowledges only when asked to finish."""
    async for chunk in each_of(stream):
        note_chunk(chunk)
        batch.append(chunk)


async def raise_at_the_third_chunk(stream: Any) -> None:
    taken = 0
    async for chunk in each_of(stream):
        taken += 1
        if taken == 3:
            raise ValueError("this agent has a bug")
        note_chunk(chunk)
        chunk.ack()


batch: list[Chunk] = []


async def finish_the_batch() -> None:
    for chunk in batch:
        note_chunk(chunk, "finished")
        chunk.ack()
    batch.clear()


@app.on_partitions_assigned.connect
async def note_assignment(_app: faust.App, assigned: Any, **_: Any) -> None:
    note(
        "assigned", partitions=sorted(tp.partition for tp in assigned if tp.topic == told["topic"])
    )


app.before_drain = finish_the_batch
app.agent(app.topic(told["topic"]) if told["ordinary"] else topic)(globals()[told["behaviour"]])
if told["ordinary"]:
    app.chunk_topics.clear()

Worker(app, loglevel="WARNING").execute_from_commandline()
