"""A broker and a folder for a benchmark, both gone afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.broker import EmbeddedBroker
from streams.settings import load


@contextmanager
def scratch() -> Iterator[tuple[Path, EmbeddedBroker]]:
    """An empty folder, but for the broker's, and the broker, running."""
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedBroker(Path(folder) / "kafka", cache_dir=load().cache_dir) as broker,
    ):
        yield Path(folder), broker
