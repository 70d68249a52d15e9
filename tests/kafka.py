"""What a test asks of a real broker, through a client library Freshet itself does not use."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from confluent_kafka import (
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic


@dataclass(frozen=True, slots=True)
class Record:
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Kafka:
    """A broker that runs, and the small things tests do with it."""

    bootstrap_servers: str

    def create(
        self, *topics: str, partitions: int = 4, config: Mapping[str, str] | None = None
    ) -> None:
        new = [NewTopic(topic, partitions, 1, config=dict(config or {})) for topic in topics]
        # It ends its requests when it is collected, so it needs a name.
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        for done in admin.create_topics(new).values():
            done.result(10)

    def grow(self, *topics: str, partitions: int) -> None:
        """Give topics that are there more partitions: so many in all."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        more = [NewPartitions(topic, partitions) for topic in topics]
        for done in admin.create_partitions(more).values():
            done.result(10)

    def delete(self, *topics: str) -> None:
        """Delete topics, with all that stands on them."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        for done in admin.delete_topics(list(topics)).values():
            done.result(10)

    def empty(self, topic: str, partition: int = 0) -> None:
        """Delete all that stands on a partition, as retention does."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        everything = TopicPartition(topic, partition, OFFSET_END)
        for done in admin.delete_records([everything]).values():
            done.result(10)

    def produce(
        self,
        topic: str,
        records: Iterable[tuple[str | bytes | None, bytes | None]],
        *,
        partition: int | None = None,
        headers: Mapping[str, bytes] | None = None,
        timestamp_ms: int | None = None,
        compression: str = "none",
    ) -> None:
        """Write (key, value) pairs and wait until all are acknowledged.

        Without a partition, a key goes where Freshet itself would put it.
        """
        failures: list[KafkaError] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failures.append(error)

        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "partitioner": "murmur2_random",
                "message.max.bytes": 64 << 20,
                "linger.ms": 1,
                "compression.type": compression,
                "enable.idempotence": True,  # or a retry could overtake what follows it
            }
        )
        target = {} if partition is None else {"partition": partition}
        stamp = {} if timestamp_ms is None else {"timestamp": timestamp_ms}
        for key, value in records:
            while True:
                try:
                    producer.produce(
                        topic,
                        value=value,
                        key=key,
                        headers=list((headers or {}).items()),
                        on_delivery=delivered,
                        **target,
                        **stamp,
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
        unsent = producer.flush(30)
        assert not failures, failures[0]
        assert unsent == 0, f"{unsent} records were not written in 30 s"

    def consume(
        self, topic: str, at_least: int = 0, *, timeout_s: float = 15.0, committed: bool = True
    ) -> list[Record]:
        """Every record of the topic, by partition and offset.

        Reads to the end the topic has now, or goes on until there are `at_least` so many; after the
        deadline it returns what it has. `committed=False` also shows open transactions.
        """
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "group.id": "tests-that-only-look",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed" if committed else "read_uncommitted",
                "fetch.wait.max.ms": 50,
            }
        )
        partitions = list(consumer.list_topics(topic, 10).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        ended: set[int] = set()
        records: list[Record] = []
        give_up = time.monotonic() + timeout_s
        while time.monotonic() < give_up:
            if len(ended) == len(partitions) and len(records) >= at_least:
                break
            for message in consumer.consume(1000, 0.1):
                error = message.error()
                if error is None:
                    ended.discard(message.partition())
                    records.append(_record(message))
                elif error.code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
                else:
                    raise AssertionError(error)
        consumer.close()
        return sorted(records, key=lambda record: (record.partition, record.offset))

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Partition → the offset the group goes on from; partitions without one are left out."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap_servers, "group.id": group})
        give_up = time.monotonic() + 15
        while True:
            try:
                partitions = consumer.list_topics(topic, 5).topics[topic].partitions
                asked = [TopicPartition(topic, partition) for partition in partitions]
                offsets = consumer.committed(asked, timeout=5)
                break
            except KafkaException:  # a broker that has just started is still loading its groups
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.1)
        consumer.close()
        return {each.partition: each.offset for each in offsets if each.offset >= 0}


def _record(message: Message) -> Record:
    return Record(
        topic=message.topic(),
        partition=message.partition(),
        offset=message.offset(),
        key=message.key(),
        value=message.value(),
        headers=dict(message.headers() or []),
        timestamp_ms=message.timestamp()[1],
    )
