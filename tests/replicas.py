"""What a worker knows, read from its newest snapshot."""

from collections import Counter
from pathlib import Path

import numpy as np
from workers import Worker

from streams.replica import Replica
from streams.settings import Settings
from streams.snapshots import SnapshotStore


def saved(folder: Path, worker: Worker) -> Replica:
    """What the newest snapshot of a worker holds."""
    settings = Settings(
        snapshots=str(folder), topic_prefix=worker.topic_prefix, app_id=f"{worker.topic_prefix}app"
    )
    _, arrays = next(SnapshotStore(settings).readable())
    replica = Replica(settings)
    replica.load(arrays)
    return replica


def counts(replica: Replica) -> Counter[str]:
    """How often each item was taken."""
    recommender = replica.recommender
    numbers = recommender.arrays()["state.covisitation.taken"]
    known = np.flatnonzero(numbers).astype(np.int32)
    return Counter(
        dict(zip(recommender.item_ids(known), numbers[known].astype(int).tolist(), strict=True))
    )


def histories(replica: Replica) -> dict[str, list[str]]:
    """The items each user took, in order."""
    arrays = replica.arrays()
    start, size, words = (arrays[f"state.users.history.{of}"] for of in ("start", "size", "words"))
    book = replica.recommender._users
    found = {}
    for number, user in enumerate(book.names):
        if user:
            items = words[start[number] : start[number] + size[number], 0]
            found[user] = replica.recommender.item_ids(items)
    return found
