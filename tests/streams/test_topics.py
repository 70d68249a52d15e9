import asyncio

import pytest
from kafka import Kafka

from streams.settings import load
from streams.topics import TopicError, ensure_topics

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
