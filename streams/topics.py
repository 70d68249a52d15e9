"""Freshet's topics: what each is for, how it is created, and the check that they fit together."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from streams.kafka import client_options
from streams.settings import Settings

_DAY_MS = 24 * 3600 * 1000
_VISIBLE_SECONDS = 30
_MAX_BYTES = "max.message.bytes"
_KAFKA_DEFAULT_MAX_BYTES = 1_048_588
#: What topics carry by default. More than is accepted (`schemas.limits.MAX_MESSAGE_BYTES`), so that
#: a record too large becomes a dead letter that shows it, not a producer's riddle.
MAX_CARRIED_BYTES = 16 << 20
#: Room for the headers that a dead letter carries beside the original record.
DEAD_LETTER_HEADROOM_BYTES = 128 << 10


class TopicError(RuntimeError):
    """The topics on the brokers are not what Freshet needs; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as Freshet wants it."""

    name: str
    purpose: str
    partitions: int
    #: Partition *p* of every co-partitioned topic belongs to the users of `events` partition *p*.
    co_partitioned: bool = True
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicState:
    """What was found or done for one topic."""

    topic: Topic
    created: bool
    #: The largest record that the topic takes, in bytes.
    max_message_bytes: int


def topics(settings: Settings) -> list[Topic]:
    """Every topic of this installation, inputs first."""
    inputs = {_MAX_BYTES: str(settings.max_record_bytes)}
    latest_of_each_user = {
        "cleanup.policy": "compact,delete",
        "retention.ms": str(int(settings.recommendations_retention_days * _DAY_MS)),
    }
    dead = {
        "retention.ms": str(int(settings.dead_letters_retention_days * _DAY_MS)),
        _MAX_BYTES: str(settings.max_record_bytes + DEAD_LETTER_HEADROOM_BYTES),
    }
    wanted = [
        Topic("events", "what users do (input)", settings.partitions, config=inputs),
        Topic(
            "items",
            "the catalogue (input); a null value deletes an item",
            settings.partitions,
            co_partitioned=False,
            config=inputs | {"cleanup.policy": "compact"},
        ),
        Topic(
            "vectors",
            "the vectors of items' texts (Freshet's own)",
            settings.partitions,
            co_partitioned=False,
            config={"cleanup.policy": "compact"},
        ),
        Topic(
            "rules",
            "boosts, bans, caps, diversity (input); a null value ends a rule",
            settings.partitions,
            co_partitioned=False,
            config=inputs | {"cleanup.policy": "compact"},
        ),
        Topic(
            "editorial",
            "editors' lists for new users (input); a null value withdraws one",
            settings.partitions,
            co_partitioned=False,
            config=inputs | {"cleanup.policy": "compact"},
        ),
        Topic(
            "profiles",
            "what is known of users (input); a null value forgets it",
            settings.partitions,
            co_partitioned=False,
            config=inputs | {"cleanup.policy": "compact"},
        ),
        Topic("requests", "questions asked now (input)", settings.partitions, config=inputs),
        Topic(
            "erasures",
            "users to forget (input)",
            settings.partitions,
            config=inputs
            | {
                "cleanup.policy": "compact,delete",
                "retention.ms": str(int(settings.erasures_retention_days * _DAY_MS)),
            },
        ),
        Topic(
            "recommendations",
            "each user's newest list (output)",
            settings.partitions,
            config=latest_of_each_user,
        ),
        Topic(
            "dead-letters",
            "records that could not be taken, with the reason (output)",
            settings.partitions,
            co_partitioned=False,
            config=dead,
        ),
    ]
    return [
        Topic(settings.topic(t.name), t.purpose, t.partitions, t.co_partitioned, t.config)
        for t in wanted
    ]


def check_there(wanted: Sequence[str], there: Container[str]) -> None:
    """Whether all of these topics are there, for who will not create any.

    Raises:
        TopicError: some are not.
    """
    missing = [name for name in wanted if name not in there]
    if missing:
        several = len(missing) > 1
        raise TopicError(
            f"{'topics' if several else 'topic'} {' and '.join(missing)} "
            f"{'are' if several else 'is'} missing; start a worker, or create "
            f"{'them' if several else 'it'} with `freshet topics --create`"
        )


def dead_letter_room(states: Sequence[TopicState]) -> int:
    """How many bytes of a rejected record a dead letter can carry here, its headers aside.

    Raises:
        TopicError: too few to be of use.
    """
    (dead,) = (state for state in states if state.topic.name.endswith("dead-letters"))
    room = dead.max_message_bytes - DEAD_LETTER_HEADROOM_BYTES
    if room < DEAD_LETTER_HEADROOM_BYTES:
        raise TopicError(
            f"{dead.topic.name} takes records of {dead.max_message_bytes} bytes at most; set its "
            f"max.message.bytes to {2 * DEAD_LETTER_HEADROOM_BYTES} or more (it should be above "
            "that of the input topics, so that every rejected record is kept whole)."
        )
    return room


async def ensure_topics(settings: Settings) -> list[TopicState]:
    """Create what is missing (where allowed) and verify what is there.

    Raises:
        TopicError: a topic is missing and may not be created, could not be created, or has
            another number of partitions than the settings say.
    """
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        wanted = topics(settings)
        found = await _partition_counts(admin, [topic.name for topic in wanted])
        missing = [topic for topic in wanted if topic.name not in found]
        _check_counts(wanted, found)
        if missing and not settings.create_topics:
            raise TopicError(
                f"missing topics: {', '.join(topic.name for topic in missing)}. Create them "
                "(`freshet topics --create`) or allow it with FRESHET_CREATE_TOPICS=true."
            )
        if missing:
            await _create(admin, missing, settings.replication_factor)
            # Another worker may have been faster, with other settings.
            _check_counts(wanted, await _until_visible(admin, [t.name for t in missing]))
        carried = await _max_message_bytes(admin, [topic.name for topic in wanted])
        return [TopicState(t, t in missing, carried[t.name]) for t in wanted]
    finally:
        await admin.close()


async def _partition_counts(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, int]:
    described = await admin.describe_topics(list(names))
    return {t["topic"]: len(t["partitions"]) for t in described if t["error_code"] == 0}


async def _max_message_bytes(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, int]:
    """Each topic's limit; Kafka's default where the broker does not tell."""
    asked = [ConfigResource(ConfigResourceType.TOPIC, n, {_MAX_BYTES: None}) for n in names]
    found = dict.fromkeys(names, _KAFKA_DEFAULT_MAX_BYTES)
    for response in await admin.describe_configs(asked):
        for error, _message, _kind, name, entries in response.resources:
            if error == 0:
                limits = [int(value) for key, value, *_ in entries if key == _MAX_BYTES]
                found[name] = limits[0]
    return found


async def _until_visible(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, int]:
    """A topic just created reaches every broker's metadata a moment later."""
    async with asyncio.timeout(_VISIBLE_SECONDS):
        while len(found := await _partition_counts(admin, names)) < len(names):
            await asyncio.sleep(0.05)
    return found


def _check_counts(wanted: Sequence[Topic], found: Mapping[str, int]) -> None:
    wrong = [
        f"{topic.name} has {found[topic.name]}"
        for topic in wanted
        if topic.co_partitioned and found.get(topic.name, topic.partitions) != topic.partitions
    ]
    if wrong:
        raise TopicError(
            f"these topics must have {wanted[0].partitions} partitions each: {', '.join(wrong)}. "
            "Set FRESHET_PARTITIONS to the number that `events` has, and recreate the others with "
            "it (or use another FRESHET_TOPIC_PREFIX): a user's records must meet in one partition."
        )


async def _create(admin: AIOKafkaAdminClient, missing: Sequence[Topic], replicas: int) -> None:
    response = await admin.create_topics(
        [
            NewTopic(topic.name, topic.partitions, replicas, topic_configs=dict(topic.config))
            for topic in missing
        ]
    )
    already_there = 36
    for name, code, *message in response.topic_errors:
        if code not in (0, already_there):
            detail = next((text for text in message if text), for_code(code).__name__)
            raise TopicError(
                f"could not create topic {name}: {detail} "
                "Create it yourself, or check FRESHET_REPLICATION_FACTOR and your rights."
            )
