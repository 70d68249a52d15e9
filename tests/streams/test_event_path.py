"""The path of events where learning raises: who is told, and of which."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, cast

from aiokafka import ConsumerRecord
from structlog.testing import capture_logs

from models.interactions import Interactions
from schemas import decode_event
from streams.agents.events import EventPath
from streams.event_log import EventLog
from streams.intake import Intake, readable
from streams.metrics import Metrics
from streams.publisher import Outgoing, Publisher
from streams.replica import Place, Replica
from streams.serving import Serving
from streams.settings import Settings
from streams.transport import Chunk, Fetched


class AtOnce:
    """Stands for the engine's turns and the brokers: learns at once, keeps what is published."""

    def __init__(self, replica: Replica) -> None:
        self.replica, self.published = replica, list[Outgoing]()

    async def hand_over(self, partition: int, first: int, end: int) -> None:
        pass

    async def has_come(self, places: dict[int, int]) -> None:
        pass

    def add(
        self,
        learn: Callable[[Replica], None],
        newest: Sequence[Any],  # noqa: ARG002
        *,
        behind: bool,  # noqa: ARG002
    ) -> tuple[asyncio.Future[None], asyncio.Future[None]]:
        loop = asyncio.get_running_loop()
        learned: asyncio.Future[None] = loop.create_future()
        served: asyncio.Future[None] = loop.create_future()
        try:
            learn(self.replica)
            learned.set_result(None)
        except RuntimeError as error:
            learned.set_exception(error)
        served.set_result(None)
        return learned, served

    async def publish(self, topic: str, records: Sequence[Outgoing]) -> None:  # noqa: ARG002
        self.published += records


def chunk(items: Sequence[str], first: int = 0, *, partition: int = 0) -> Chunk:
    records = [
        ConsumerRecord(
            topic="events",
            partition=partition,
            offset=first + n,
            timestamp=1_700_000_000_000 + n,
            timestamp_type=0,
            key=b"ann",
            value=json.dumps({"user_id": "ann", "item_id": item, "type": "click"}).encode(),
            checksum=None,
            serialized_key_size=0,
            serialized_value_size=0,
            headers=(),
        )
        for n, item in enumerate(items)
    ]
    return Chunk(records, "events", partition, first + len(items), 0.0)


def path_to(replica: Replica) -> tuple[EventPath, AtOnce]:
    stand_in, metrics = AtOnce(replica), Metrics()
    path = EventPath(
        Settings(),
        Intake(1 << 20, metrics),
        cast(EventLog, stand_in),
        cast(Serving, stand_in),
        cast(Publisher, stand_in),
        metrics,
    )
    return path, stand_in


def test_only_the_event_that_raises_becomes_a_dead_letter_and_once() -> None:
    replica = Replica(Settings())
    learn_all = replica.recommender.learn

    def learn(interactions: Interactions, *, practise: float) -> None:
        if "poison" in interactions.items:
            raise RuntimeError("poison")
        learn_all(interactions, practise=practise)

    replica.recommender.learn = learn  # type: ignore[method-assign]
    path, stand_in = path_to(replica)
    whole = chunk(["a", "poison", "b", "poison", "c"])
    # The first two were brought by the follower, before the partition came to this worker.
    before = readable(whole.records[:2], decode_event, int(whole.records[0].timestamp))
    replica.learn(before, {0: Place(2, 0)}, practise=0.0)
    asyncio.run(_take(path, whole))
    assert replica.recommender.events == 3
    letters = [dict(record.headers) for record in stand_in.published]
    assert [headers["freshet-offset"] for headers in letters] == [b"1", b"3"]
    assert {headers["freshet-reason"] for headers in letters} == {b"learner_failed"}
    assert b"poison" in letters[0]["freshet-detail"]
    asyncio.run(_take(path, whole))
    assert len(stand_in.published) == 2
    assert replica.recommender.events == 3


def test_where_all_that_was_fetched_raises_the_offsets_of_each_partition_are_told() -> None:
    path, stand_in = path_to(Replica(Settings()))

    def learn(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    stand_in.replica.learn = learn  # type: ignore[method-assign]
    with capture_logs() as told:
        asyncio.run(_take(path, chunk(["a", "b"], 7), chunk(["c"], 2, partition=3)))
    assert [each["offsets"] for each in told] == [{0: "7..8", 3: "2..2"}]


async def _take(path: EventPath, *chunks: Chunk) -> None:
    await (await path.process(Fetched(chunks)))
