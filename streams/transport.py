"""The chunk transport: one Faust event is all that one fetch brought of one topic.

Stock Faust pays about 200 µs of CPU for each record: four asyncio tasks, a lock, an event object.
Here that is paid once for a fetch, with a chunk of records of each partition, and what Faust is
good at stays Faust's: agents, the consumer group, the co-partitioning assignor, rebalances, pause
and resume, commits. Decision 0003 tells what is overridden and why.

    app = ChunkApp("freshet", broker="kafka://127.0.0.1:9092")
    events = app.chunk_topic("events")

    @app.agent(events)
    async def learn(stream):
        async for fetched in stream:
            for record in fetched.records:
                ...
            fetched.ack()

A chunk is committed once it *and every chunk before it* in its partition has been acknowledged, in
whatever order that happens. Nothing else acknowledges a chunk: not the end of the loop body, nor an
exception, which ends the process instead (see `ChunkApp`).
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias

import faust
from aiokafka import ConsumerRecord
from aiokafka.errors import IllegalStateError
from aiokafka.protocol.fetch import FetchRequest
from faust.exceptions import ImproperlyConfigured
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode.supervisors import CrashingSupervisor

__all__ = ["Chunk", "ChunkApp", "ChunkSchema", "ChunkTransport", "Fetched", "Record"]

Record: TypeAlias = "ConsumerRecord[bytes | None, bytes | None]"

# How long the broker may hold a fetch when nothing is new. A partition left out of the fetch in
# flight waits for its end, so this bounds a delay after back-pressure that is 1.5 s in stock Faust.
_FETCH_MAX_WAIT_MS: Final = 100
# The least time from one fetch to the next. A fetch costs about a millisecond of CPU however little
# it brings: without this, under medium load each brings one record, and fetching takes all there
# is. A record that comes alone is fetched at once, as the fetch waits at the broker.
_FETCH_EVERY_S: Final = 0.008
# So much longer for each record that is not answered yet, up to the most: while others wait to be
# answered, a record is no later for being fetched with more, and fetching takes the less of the
# time the more a worker has to do. In turns of 6 s within one run on two cores, p50, p99 and cores
# of the worker were, of 300 and 1,500 events/s: 14, 21 ms, .48 and 19, 49 ms, .82; with 5 ms and
# half as much for each record 12, 31 ms, .64 and 26, 96 ms, .95; with 5 ms, 1 ms for each chunk
# and at most 15 ms (and a turn that waits 5 ms for more) 17, 27 ms, .51 and 28, 56 ms, .85.
# Requests come with the same fetches, so one may be fetched so much later under overload.
_FETCH_LATER_S: Final = 0.0001
_FETCH_AT_LEAST_EVERY_S: Final = 0.05
# How often a commit that is under way looks whether it can still succeed.
_COMMIT_LOOK_S: Final = 0.5
# Each partition in a fetch costs, both here and at the broker, also where it brings nothing. Those
# of topics that are seldom written are in one fetch of many; all are in one that may wait.
_SELDOM_EVERY_S: Final = 0.05


@dataclass(slots=True, eq=False)
class Chunk:
    """Records of one partition in log order: at least one, at most `broker_max_poll_records`.

    records           aiokafka's records: key and value in bytes, offset, timestamp (ms), headers;
                      the last alone after `Fetched.let_go`
    topic, partition  where they came from
    high_watermark    offset the next record of the partition was to have when these were fetched
    received_at       `time.monotonic()` when this process got them
    acked             whether `ack` was called
    """

    records: Sequence[Record] = field(repr=False)
    topic: str
    partition: int
    high_watermark: int
    received_at: float
    acked: bool = False
    on_ack: Callable[[], None] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def first_offset(self) -> int:
        return int(self.records[0].offset)

    @property
    def last_offset(self) -> int:
        """Offsets between the first and this one may be missing, after compaction for instance."""
        return int(self.records[-1].offset)

    @property
    def lag(self) -> int:
        """How many offsets of the partition lay behind this chunk when it was fetched."""
        return self.high_watermark - self.last_offset - 1

    def ack(self) -> None:
        """Say that whatever these records led to is safe, so that the group may go on after them.

        May be called later than the next chunk is taken, in any order, more than once, and after
        the partition has moved elsewhere (it then does nothing). To be called on the event loop.
        """
        self.acked = True
        if self.on_ack is not None:
            self.on_ack()


@dataclass(frozen=True, slots=True, eq=False)
class Fetched:
    """What one fetch brought of one topic: a chunk of each partition that had something, and not
    more than `broker_max_poll_records` in all."""

    chunks: Sequence[Chunk]

    @property
    def records(self) -> list[Record]:
        """All of their records; those of a partition in the order of the log."""
        return [record for chunk in self.chunks for record in chunk.records]

    def let_go(self) -> None:
        """Free the records but the last of each chunk, whose offset is what is committed: that may
        have to wait, for what lies before it too."""
        for chunk in self.chunks:
            chunk.records = chunk.records[-1:]

    def ack(self) -> None:
        """Acknowledge each chunk."""
        for chunk in self.chunks:
            chunk.ack()


class ChunkSchema(faust.Schema):  # type: ignore[misc]
    """Hands what was fetched to the agent as it is; decoding it is the agent's business."""

    def compile(self, app: Any, **_options: Any) -> Any:
        create_event = app.create_event

        async def decode(message: ConsumerMessage, *, propagate: bool = False) -> Any:  # noqa: ARG001
            return create_event(None, message.value, None, message)

        return decode


class ChunkApp(faust.App):  # type: ignore[misc]
    """A Faust app whose topics are chunk topics.

    drain_timeout_s   how long a rebalance or a stop waits for the chunks agents are working on, and
                      then a stop for a commit, and to leave the group; a rebalance itself ends
                      without us after `broker_rebalance_timeout`, 60 s

    The settings below are what makes it fast and safe; arguments override them. An agent that
    raises ends the process: its chunk is not acknowledged, so nothing behind it could ever be
    committed, and only a new start gets it again. Catch inside the agent what can be handled.
    """

    DEFAULTS: ClassVar[dict[str, Any]] = {
        "agent_supervisor": CrashingSupervisor,
        "broker_commit_interval": 0.5,
        "broker_heartbeat_interval": 3.0,
        "broker_max_poll_records": 500,
        "broker_session_timeout": 10.0,
        "producer_acks": -1,
        "producer_max_batch_size": 256 << 10,
        "store": "memory://",
        "stream_buffer_maxsize": 16,  # fetches
        "stream_wait_empty": False,  # we drain, with a timeout
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "web_enabled": False,
    }

    def __init__(self, app_id: str, *, drain_timeout_s: float = 5.0, **options: Any) -> None:
        super().__init__(app_id, **{**self.DEFAULTS, **options})
        self.chunk_topics: set[str] = set()
        self.seldom_topics: set[str] = set()
        self.drain_timeout_s = drain_timeout_s
        #: Called before a rebalance or a stop waits for the chunks being worked on, with no chunk
        #: delivered any more. Here, work gathered over several chunks is to be finished at once, so
        #: that they are acknowledged now and not when its time would have come.
        self.before_drain: Callable[[], Awaitable[None]] = _nothing

    def chunk_topic(self, name: str, *, seldom: bool = False, **options: Any) -> Any:
        """A channel for `@app.agent(...)`, whose stream yields a `Fetched` at a time.

        seldom  whether its records may come a twentieth of a second later, so that the fetches of
                the other topics, where they are many, cost less
        """
        self.chunk_topics.add(name)
        if seldom:
            self.seldom_topics.add(name)
        return self.topic(name, schema=ChunkSchema(), **options)

    def _new_transport(self) -> "ChunkTransport":
        return ChunkTransport(self.conf.broker_consumer, self)

    async def _consumer_wait_empty(self, consumer: "ChunkConsumer", _logger: Any) -> None:
        # Faust comes here on a rebalance and on a stop, with the flow suspended and queues cleared.
        await self.before_drain()
        await consumer.drain(self.drain_timeout_s)

    def _create_directories(self) -> None:
        """Faust's tables would need some; there are none."""


async def _nothing() -> None:
    """There is nothing to finish."""


class ChunkTransport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with `ChunkConsumer` in it."""


class ChunkConsumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer, delivering chunks and committing the longest acknowledged prefix."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Delivered and not yet committed, in the order of the log.
        self._in_flight: defaultdict[TP, deque[_Delivered]] = defaultdict(deque)
        #: Records that were delivered and are not acknowledged. The consumer's thread reads it.
        self.unanswered = 0
        # Of these, how many are in the chunk of this partition that ends at this offset.
        self._unanswered: dict[tuple[TP, int], int] = {}
        self._some_acked = asyncio.Event()
        self._may_fetch = asyncio.Event()

    async def subscribe(self, topics: Iterable[str]) -> None:
        ordinary = sorted(set(topics) - self.app.chunk_topics)
        if ordinary:
            raise ImproperlyConfigured(
                f"a ChunkApp consumes chunk topics only: declare {', '.join(ordinary)} "
                "with app.chunk_topic(...)"
            )
        await super().subscribe(topics)

    # --- delivery

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        records, _active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        if not self.flow_active:
            # A rebalance began, or is about to end: what was fetched is to come again, where the
            # partitions are still ours. What agents work on is not to be forgotten for that.
            if records:
                with suppress(IllegalStateError, AssertionError):  # other partitions, or none
                    await super().perform_seek()
            return
        received_at = time.monotonic()
        by_topic: defaultdict[str, list[Chunk]] = defaultdict(list)
        for partition, chunk in records.items():
            tp = TP(partition.topic, partition.partition)
            by_topic[tp.topic].append(self._to_chunk(tp, chunk, received_at))
        for chunks in by_topic.values():
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return
            message = _to_message(chunks, generation)
            for chunk in chunks:
                tp = TP(chunk.topic, chunk.partition)
                self._in_flight[tp].append(_Delivered(chunk, message))
                self._unanswered[tp, chunk.last_offset] = len(chunk)
                self.unanswered += len(chunk)
                # Faust notes these for the message's partition alone.
                self._read_offset[tp] = chunk.last_offset
                self.app.monitor.stream_inbound_time[tp] = received_at
            yield message.tp, message

    async def _wait_next_records(self, timeout: float) -> Any:
        # Stock Faust sleeps for a second when every partition is paused or buffered to the brim.
        if self.flow_active and not self._get_active_partitions():
            self._may_fetch.clear()
            try:
                await asyncio.wait_for(self._may_fetch.wait(), timeout)
            except TimeoutError:
                pass
        return await super()._wait_next_records(timeout)

    def on_buffer_full(self, tp: TP) -> None:
        # The topic's other partitions would come in the same messages.
        for each in [each for each in self.assignment() if each.topic == tp.topic]:
            super().on_buffer_full(TP(*each))

    def on_buffer_drop(self, tp: TP) -> None:
        for each in [each for each in self._buffered_partitions if each.topic == tp.topic]:
            super().on_buffer_drop(each)
        self._fetch_again()

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        super().resume_partitions(tps)
        self._fetch_again()

    def _fetch_again(self) -> None:
        self._may_fetch.set()
        # A wait for the other partitions may be under way, and they may be idle.
        self._thread.look_again()

    def _to_chunk(self, tp: TP, records: Sequence[Record], received_at: float) -> Chunk:
        high_watermark = self.highwater(tp)
        self.app.monitor.track_tp_end_offset(tp, high_watermark)
        return Chunk(
            records,
            topic=tp.topic,
            partition=tp.partition,
            high_watermark=high_watermark,
            received_at=received_at,
            on_ack=partial(self._on_ack, tp, int(records[-1].offset)),
        )

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing to note: a chunk is followed by its last offset + 1, whatever lies between."""

    # --- committing

    def _on_ack(self, tp: TP, last_offset: int) -> None:
        self.unanswered -= self._unanswered.pop((tp, last_offset), 0)
        self._some_acked.set()

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterable[TP]:
        return [
            tp for tp in self._in_flight if topics is None or tp in topics or tp.topic in topics
        ]

    def _new_offset(self, tp: TP) -> int | None:
        delivered = self._in_flight[tp]
        offset = None
        while delivered and delivered[0].chunk.acked:
            offset = delivered.popleft().chunk.last_offset + 1
        return offset

    async def drain(self, timeout_s: float) -> None:
        """Wait until agents have acknowledged what they are working on, then commit it.

        Chunks that still wait in a queue count for nothing: whoever owns the partition next gets
        them. After a crash there is nobody to wait for.
        """
        give_up = time.monotonic() + timeout_s
        while (working := self._being_worked_on()) and not self.app.crashed:
            remaining = give_up - time.monotonic()
            if remaining <= 0:
                self.log.warning(
                    "gave up waiting for %d chunks of %s after %s s: they will be processed again",
                    len(working),
                    ", ".join(sorted({f"{chunk.topic}-{chunk.partition}" for chunk in working})),
                    timeout_s,
                )
                break
            self._some_acked.clear()
            try:
                await asyncio.wait_for(self._some_acked.wait(), remaining)
            except TimeoutError:
                pass
        await self.maybe_wait_for_commit_to_finish()
        await self.commit()

    def _being_worked_on(self) -> list[Chunk]:
        return [
            each.chunk
            for delivered in self._in_flight.values()
            for each in delivered
            if each.message.tracked and not each.chunk.acked
        ]

    async def perform_seek(self) -> None:
        self._in_flight.clear()
        self._unanswered.clear()
        self.unanswered = 0
        await super().perform_seek()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            self._in_flight.pop(TP(*tp), None)
        for tp, last in [*self._unanswered]:
            if tp in revoked:
                self._on_ack(tp, last)

    def _new_consumer_thread(self) -> "_ConsumerThread":
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)


ChunkTransport.Consumer = ChunkConsumer


class _Delivered(NamedTuple):
    """A chunk, and the message that it came in."""

    chunk: Chunk
    message: ConsumerMessage


def _to_message(chunks: Sequence[Chunk], generation: int) -> ConsumerMessage:
    """What Faust sees of a fetch: a message of the first chunk's partition, up to its end."""
    first, last = chunks[0], chunks[0].records[-1]
    message = ConsumerMessage(
        first.topic,
        first.partition,
        first.last_offset,
        last.timestamp / 1000.0,
        last.timestamp_type,
        None,
        None,
        Fetched(chunks),
        None,
        tp=TP(first.topic, first.partition),
        generation_id=generation,
    )
    # Faust drops its reference when the agent takes its next message, or raises. With one more,
    # that is never the last, and its own list of acknowledged offsets, which we do not use and
    # would have to empty, stays empty.
    message.incref()
    return message


class _ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    def look_again(self) -> None:
        """Have a wait for records look again at what has been fetched, and for which partitions."""
        self.thread_loop.call_soon_threadsafe(self._look_again)

    def _look_again(self) -> None:
        # aiokafka leaves no other way to end a wait early without losing what it would return.
        if self._consumer is not None and self._consumer._fetcher is not None:
            fetcher = self._consumer._fetcher
            for waiter in list(fetcher._fetch_waiters):
                fetcher._notify(waiter)

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no setting for it; aiokafka reads it when the consumer starts.
        consumer._fetch_max_wait_ms = _FETCH_MAX_WAIT_MS
        seldom = self.consumer.app.seldom_topics
        consumer._client.send = _paced(consumer._client.send, self._rest_s, seldom)
        return consumer

    async def _commit(self, offsets: Any) -> bool:
        # Of a topic that is gone, aiokafka tries for ever, and rebalance or end would wait for it;
        # while the broker is away too, and the end of a worker is not to wait for that.
        commit = asyncio.ensure_future(super()._commit(offsets))
        ending_s = 0.0
        try:
            while not (await asyncio.wait([commit], timeout=_COMMIT_LOOK_S))[0]:
                cluster, app = self._ensure_consumer()._client.cluster, self.consumer.app
                ending_s += _COMMIT_LOOK_S * app.should_stop
                if (
                    app.crashed
                    or ending_s > app.drain_timeout_s
                    or any(cluster.partitions_for_topic(tp.topic) is None for tp in offsets)
                ):
                    return False
            return bool(await commit)
        finally:
            commit.cancel()  # unless it is done; also when this is cancelled

    async def on_start(self) -> None:
        # A broker that is silent would be waited for longer than an end may take.
        await self.wait(super().on_start())

    async def on_thread_stop(self) -> None:
        # Leaving the group would wait 90 s for a broker that keeps the connection and is silent.
        # Unless it is told, the group waits until the session is over.
        with suppress(TimeoutError):
            async with asyncio.timeout(self.consumer.app.drain_timeout_s):
                await super().on_thread_stop()

    def _start_thread(self) -> None:
        try:
            super()._start_thread()
        except asyncio.CancelledError:
            self.set_shutdown()  # or the main thread waits for a minute
            raise

    def _rest_s(self) -> float:
        """From one fetch to the next."""
        rest = _FETCH_EVERY_S + _FETCH_LATER_S * self.consumer.unanswered
        return float(min(rest, _FETCH_AT_LEAST_EVERY_S))


def _paced(
    send: Callable[..., Awaitable[Any]], rest_s: Callable[[], float], seldom: Collection[str]
) -> Callable[..., Awaitable[Any]]:
    """An aiokafka client's `send` that lets each broker rest between two fetches, and asks it for
    the topics that are `seldom` written every now and then."""
    fetched_at: defaultdict[int, float] = defaultdict(float)
    all_fetched_at: defaultdict[int, float] = defaultdict(float)

    async def send_paced(node_id: int, request: Any, **options: Any) -> Any:
        if isinstance(request, FetchRequest):
            await asyncio.sleep(fetched_at[node_id] + rest_s() - time.monotonic())
            now = fetched_at[node_id] = time.monotonic()
            often = [(topic, places) for topic, places in request.topics if topic not in seldom]
            if often and now < all_fetched_at[node_id] + _SELDOM_EVERY_S:
                request._topics = often
            else:
                all_fetched_at[node_id] = now
        return await send(node_id, request, **options)

    return send_paced
