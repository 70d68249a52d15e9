"""Freshet's topics: what each is for, how it is created, and the check that they fit together."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from schemas.limits import MAX_AHEAD_MS
from streams.kafka import admin_client
from streams.settings import Settings

_DAY_MS = 24 * 3600 * 1000
_VISIBLE_SECONDS = 30
_MAX_BYTES = "max.message.bytes"
#: How far ahead of the broker's clock a record may be dated; Kafka knows it from 3.6 on.
_MAX_AHEAD = "message.timestamp.after.max.ms"
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
    #: How far ahead of the broker's clock, in ms, a record may be dated; None where nothing says.
    max_ahead_ms: int | None


def topics(settings: Settings) -> list[Topic]:
    """Every topic of this installation, inputs first."""
    inputs = {_MAX_BYTES: str(settings.max_record_bytes), _MAX_AHEAD: str(MAX_AHEAD_MS)}
    # Of a user who is forgotten, what stood before the null value is gone within days: by itself,
    # Kafka may put compaction off for as long as little is written.
    soon_gone = {"max.compaction.lag.ms": str(_DAY_MS)}
    latest_of_each_user = soon_gone | {
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
            config=inputs | soon_gone | {"cleanup.policy": "compact"},
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


def dated_ahead(states: Sequence[TopicState]) -> str | None:
    """What to do where input topics take records from further ahead than clocks differ."""
    open_topics = [
        state.topic.name
        for state in states
        if _MAX_AHEAD in state.topic.config
        and (state.max_ahead_ms is None or state.max_ahead_ms > MAX_AHEAD_MS)
    ]
    if not open_topics:
        return None
    return (
        f"{', '.join(open_topics)}: a record whose producer's clock is wrong is taken from far "
        f"ahead; set {_MAX_AHEAD}={MAX_AHEAD_MS} on them (kafka-configs.sh --alter, Kafka 3.6 or "
        "newer), so that the broker refuses it"
    )


async def ensure_topics(settings: Settings) -> list[TopicState]:
    """Create what is missing (where allowed) and verify what is there.

    Raises:
        TopicError: a topic is missing and may not be created, could not be created, or has
            another number of partitions than the settings say.
    """
    async with admin_client(settings) as admin:
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
        bounds = await _bounds(admin, [topic.name for topic in wanted])
        return [TopicState(t, t in missing, *bounds[t.name]) for t in wanted]


async def _partition_counts(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, int]:
    described = await admin.describe_topics(list(names))
    return {t["topic"]: len(t["partitions"]) for t in described if t["error_code"] == 0}


async def _bounds(
    admin: AIOKafkaAdminClient, names: Sequence[str]
) -> dict[str, tuple[int, int | None]]:
    """Each topic's bounds on bytes and on time ahead; Kafka's default, and None, where the broker
    does not tell."""
    keys = {_MAX_BYTES: None, _MAX_AHEAD: None}
    asked = [ConfigResource(ConfigResourceType.TOPIC, name, keys) for name in names]
    found: dict[str, tuple[int, int | None]] = {}
    for response in await admin.describe_configs(asked):
        for error, _message, _kind, name, entries in response.resources:
            told = {key: int(value) for key, value, *_ in entries} if error == 0 else {}
            found[name] = told.get(_MAX_BYTES, _KAFKA_DEFAULT_MAX_BYTES), told.get(_MAX_AHEAD)
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
    already_there, invalid_config = 36, 40
    errors = await _try_to_create(admin, missing, replicas)
    # A broker before Kafka 3.6; `dated_ahead` tells.
    older = [
        replace(topic, config={k: v for k, v in topic.config.items() if k != _MAX_AHEAD})
        for topic in missing
        if errors[topic.name][0] == invalid_config and _MAX_AHEAD in topic.config
    ]
    if older:
        errors |= await _try_to_create(admin, older, replicas)
    for name, (code, message) in errors.items():
        if code not in (0, already_there):
            detail = message or for_code(code).__name__
            raise TopicError(
                f"could not create topic {name}: {detail} "
                "Create it yourself, or check FRESHET_REPLICATION_FACTOR and your rights."
            )


async def _try_to_create(
    admin: AIOKafkaAdminClient, missing: Sequence[Topic], replicas: int
) -> dict[str, tuple[int, str | None]]:
    """Each topic's error code, 0 if there is none, and what the broker says of it."""
    response = await admin.create_topics(
        [
            NewTopic(topic.name, topic.partitions, replicas, topic_configs=dict(topic.config))
            for topic in missing
        ]
    )
    return {
        name: (code, next((text for text in message if text), None))
        for name, code, *message in response.topic_errors
    }
