"""Reading all of a topic, outside of any consumer group: from a place on, and on as it grows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from mode import Service

from streams.kafka import client_options
from streams.settings import Settings

log = structlog.get_logger(__name__)

_POLL_MS = 200
_FETCH_MAX_WAIT_MS = 100
_RETRY_SECONDS = 1.0
#: Between two readings that took all there was: what others serve may be known a little later, and
#: a reading costs about as much with one record as with a hundred.
_REST_SECONDS = 0.1

#: Takes the records of one partition, in order.
Apply = Callable[[int, Sequence[ConsumerRecord]], Awaitable[None]]
#: Told how far each partition reaches (first offset, end), says where to begin in it.
Begin = Callable[[Mapping[int, tuple[int, int]]], Awaitable[Mapping[int, int]]]


async def from_the_first(reach: Mapping[int, tuple[int, int]]) -> Mapping[int, int]:
    """Begin with the oldest record there is."""
    return {partition: first for partition, (first, _) in reach.items()}


async def nothing(*_: object) -> None:
    """There is nothing to be done."""


class Follower(Service):  # type: ignore[misc]  # mode is untyped
    """Hands every record of a topic to `apply`. What starts after it finds it caught up.

    caught_up  set when everything that stood on the topic at the start has been applied, and then
               `when_caught_up` done

    when_set_back: told the partition and the offset where records come from before those that came
    last, as of a topic that was made anew
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        apply: Apply,
        *,
        begin: Begin = from_the_first,
        when_caught_up: Callable[[], Awaitable[None]] = nothing,
        when_set_back: Callable[[int, int], Awaitable[None]] = nothing,
    ) -> None:
        super().__init__()
        self._settings, self._topic = settings, topic
        self._apply, self._begin = apply, begin
        self._when_caught_up, self._when_set_back = when_caught_up, when_set_back
        self._consumer: AIOKafkaConsumer | None = None
        self._again = False
        self._paused: set[TopicPartition] = set()
        #: By partition, from where to go on; and those that these places are known to hold for.
        self._next: dict[TopicPartition, int] = {}
        self._assigned: set[TopicPartition] = set()
        #: By partition, how far the topic reached at the start, where that is not reached yet.
        self._reached_to: dict[TopicPartition, int] = {}
        #: Records that stood on the topic at the start and are still to be applied.
        self.behind = 0
        self.caught_up = asyncio.Event()

    async def on_started(self) -> None:
        """Others start after this one; they may rely on what the topic says."""
        await self.wait(self.caught_up.wait())

    def pause(self, partition: int) -> None:
        """Leave a partition out until `resume`."""
        self._paused.add(tp := TopicPartition(self._topic, partition))
        if (consumer := self._consumer) is not None and tp in consumer.assignment():
            consumer.pause(tp)

    def resume(self, partition: int, offset: int) -> None:
        """Go on with a partition that was paused, from this offset."""
        tp = TopicPartition(self._topic, partition)
        if tp not in self._paused:
            return
        self._paused.discard(tp)
        self._next[tp] = offset
        # One that is new may not be known here yet, and one that is gone is no more.
        if (consumer := self._consumer) is not None and tp in consumer.assignment():
            consumer.seek(tp, offset)
            consumer.resume(tp)

    def again(self) -> None:
        """Read the topic once more from where `begin` says; until that is done, it is not caught
        up."""
        self._again = True
        self.caught_up.clear()

    async def end(self, partition: int) -> int | None:
        """Up to which offset a partition reaches now; None where that cannot be known."""
        tp = TopicPartition(self._topic, partition)
        if self._consumer is None:
            return None
        try:
            return int((await self._consumer.end_offsets([tp]))[tp])
        except KafkaError as error:
            log.warning("cannot see its end", topic=self._topic, error=repr(error))
            return None

    @Service.task
    async def _follow(self) -> None:
        # Without a group, a consumer is assigned all partitions of its topic.
        consumer = AIOKafkaConsumer(
            self._topic,
            **client_options(self._settings),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=_FETCH_MAX_WAIT_MS,
        )
        await self._patiently(consumer.start)
        try:
            await self._patiently(lambda: self._find_the_beginning(consumer))
            self._consumer = consumer
            while not self.should_stop:
                await self._look_whether_caught_up(consumer)
                if not consumer.assignment():  # the topic is gone, and there is nothing to wait for
                    self._assigned = set()
                    await self.sleep(_RETRY_SECONDS)
                    await consumer._client.force_metadata_update()
                    continue
                # It is back, perhaps another one; or it is to be read once more.
                if self._again or not self._assigned:
                    self._again = False
                    await self._patiently(lambda: self._find_the_beginning(consumer))
                try:
                    fetched = await consumer.getmany(
                        timeout_ms=_POLL_MS, max_records=self._settings.chunk_records
                    )
                except KafkaError as error:
                    log.warning("cannot read, trying again", topic=self._topic, error=repr(error))
                    await self.sleep(_RETRY_SECONDS)
                    continue
                kept = self._keep_places(consumer)  # what was fetched of these may be from anywhere
                # Before the first is applied: meanwhile others may be handed over and come back.
                set_back = {
                    tp for tp, rs in fetched.items() if rs[0].offset < self._next.get(tp, 0)
                }
                for tp, records in fetched.items():
                    if tp not in self._paused | kept:
                        if tp in set_back:
                            await self._when_set_back(tp.partition, records[0].offset)
                        await self._apply(tp.partition, records)
                        self._next[tp] = records[-1].offset + 1
                took = sum(map(len, fetched.values()))
                if self.caught_up.is_set() and 0 < took < self._settings.chunk_records:
                    await self.sleep(_REST_SECONDS)
        finally:
            self._consumer = None
            await consumer.stop()

    async def _find_the_beginning(self, consumer: AIOKafkaConsumer) -> None:
        tps = sorted(consumer.assignment())
        first, end = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
        begin = await self._begin({tp.partition: (first[tp], end[tp]) for tp in tps})
        for tp in tps:
            self._next[tp] = begin[tp.partition]
            consumer.seek(tp, begin[tp.partition])
        consumer.pause(*(self._paused & set(tps)))
        self._assigned = set(tps)
        self._reached_to = end

    def _keep_places(self, consumer: AIOKafkaConsumer) -> set[TopicPartition]:
        """Where the topic has got more partitions, aiokafka assigns all of them anew, with nothing
        left of where it was in the others and which of them are paused. Put those back to their
        places, and return them."""
        assigned = set(consumer.assignment())
        if assigned == self._assigned:
            return set()
        kept = assigned & self._next.keys()
        for tp in kept:
            consumer.seek(tp, self._next[tp])
        consumer.pause(*(assigned & self._paused))
        self._assigned = assigned
        return kept

    async def _look_whether_caught_up(self, consumer: AIOKafkaConsumer) -> None:
        if self.caught_up.is_set():
            return
        missing = [end - await consumer.position(tp) for tp, end in self._reached_to.items()]
        self.behind = sum(records for records in missing if records > 0)
        if not self.behind:
            await self._when_caught_up()
            if not self._again:
                self.caught_up.set()

    async def _patiently(self, step: Callable[[], Awaitable[None]]) -> None:
        while not self.should_stop:
            try:
                await step()
                break
            except KafkaError as error:
                log.warning("cannot read yet, trying again", topic=self._topic, error=repr(error))
                await self.sleep(_RETRY_SECONDS)
