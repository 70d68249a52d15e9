"""One real broker for the whole run; each test takes topics of its own on it."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import platformdirs
import pytest
from kafka import Kafka

from models import compiled
from streams.broker import EmbeddedBroker

_given = os.environ.get("FRESHET_CACHE_DIR")
_CACHE_DIR = Path(_given) if _given else platformdirs.user_cache_path("freshet")

#: The engine's machine code is built once, by `freshet setup`.
compiled.use_cache(_CACHE_DIR / "engine")


@pytest.fixture(scope="session")
def cache_dir() -> Path:
    """Where `freshet setup` put the jars; without them, tests on the broker fail and say so."""
    return _CACHE_DIR


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Iterator[Kafka]:
    """An embedded Apache Kafka, started by the first test that asks for it."""
    with EmbeddedBroker(tmp_path_factory.mktemp("kafka"), cache_dir=cache_dir) as broker:
        yield Kafka(broker.bootstrap_servers)


@pytest.fixture
def topic_prefix() -> str:
    """A prefix nothing else on the broker has; `FRESHET_TOPIC_PREFIX` for a worker under test."""
    return f"t{uuid4().hex[:8]}-"
