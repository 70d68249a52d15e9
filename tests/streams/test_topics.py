import asyncio
import time

import pytest
from kafka import Kafka

from schemas.limits import MAX_AHEAD_MS
from streams.settings import load
from streams.topics import TopicError, dated_ahead, ensure_topics

pytestmark = pytest.mark.broker


def test_missing_topics_are_created_once_with_the_partitions_asked_for(
    kafka: Kafka, topic_prefix: str
) -> None:
    settings = load(
        options={
            "bootstrap_servers": kafka.bootstrap_servers,
            "topic_prefix": topic_prefix,
            "partitions": 3,
        }
    )
    first = asyncio.run(ensure_topics(settings))
    second = asyncio.run(ensure_topics(settings))
    assert all(state.created for state in first)
    assert not any(state.created for state in second)
    kafka.produce(f"{topic_prefix}events", [("u", b"x")], partition=2)


def test_what_stood_of_a_forgotten_user_is_compacted_within_days(
    kafka: Kafka, topic_prefix: str
) -> None:
    topics = {"bootstrap_servers": kafka.bootstrap_servers, "topic_prefix": topic_prefix}
    states = asyncio.run(ensure_topics(load(options=topics)))
    lags = {
        state.topic.name.removeprefix(topic_prefix): state.topic.config["max.compaction.lag.ms"]
        for state in states
        if "max.compaction.lag.ms" in state.topic.config
    }
    assert lags == {"profiles": "86400000", "recommendations": "86400000"}


def test_what_is_dated_further_ahead_than_clocks_differ_is_refused_by_the_broker(
    kafka: Kafka, topic_prefix: str
) -> None:
    topics = {"bootstrap_servers": kafka.bootstrap_servers, "topic_prefix": topic_prefix}
    settings = load(options=topics)
    # One topic is older than this bound.
    kafka.create(f"{topic_prefix}items")
    states = asyncio.run(ensure_topics(settings))
    ahead = int(time.time() * 1000) + MAX_AHEAD_MS + 60_000
    for name in ("events", "erasures", "rules", "editorial", "profiles", "requests"):
        with pytest.raises(AssertionError, match="INVALID_TIMESTAMP"):
            kafka.produce(f"{topic_prefix}{name}", [("u", b"x")], timestamp_ms=ahead)
    kafka.produce(f"{topic_prefix}items", [("u", b"x")], timestamp_ms=ahead)
    said = dated_ahead(states)
    assert said is not None
    assert said.startswith(f"{topic_prefix}items: ")
    assert "message.timestamp.after.max.ms=300000" in said


def test_a_wrong_number_of_partitions_is_an_error_that_says_what_to_set(
    kafka: Kafka, topic_prefix: str
) -> None:
    kafka.create(f"{topic_prefix}events", partitions=2)
    settings = load(
        options={"bootstrap_servers": kafka.bootstrap_servers, "topic_prefix": topic_prefix}
    )
    with pytest.raises(TopicError, match=r"events has 2\. Set FRESHET_PARTITIONS"):
        asyncio.run(ensure_topics(settings))


def test_a_missing_topic_is_an_error_where_none_may_be_created(
    kafka: Kafka, topic_prefix: str
) -> None:
    settings = load(
        options={
            "bootstrap_servers": kafka.bootstrap_servers,
            "topic_prefix": topic_prefix,
            "create_topics": False,
        }
    )
    with pytest.raises(TopicError, match="freshet topics --create"):
        asyncio.run(ensure_topics(settings))
