"""How fast the engine is, what it holds in memory, and where the time goes.

    python -m benchmarks.engine --items 10000,100000 [--events 100000] [--light] [--content]
        [--memory] [--json FILE]
    python -m benchmarks.engine --stream EVENTS.csv.gz [--at-most 50000] [--content]

Synthetic events: users at random; half of the events follow one of 20 successors of the user's last
item, the others are drawn by Zipf's law over the catalogue, every item of which has occurred once
before anything is timed. Heavy histories: 20 events per user on average, light: 3.
Processor time of this one process; the machine may be busy with other things.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine, print_machine
from models import compiled
from models.catalogue import ItemFacts
from models.interactions import Interactions, Kind
from models.recommender import Recommender
from models.settings import EngineSettings

CHUNK = 500
TIMED = 20_000
START = 1.6e9
CATEGORIES, ALIKE = 100, 16

#: Settings that are timed by learning alone, from the least work to all of it.
LEARNING = {
    "counting alone": EngineSettings(practice=0.0, embeddings=False),
    "learning, ranker not asked": EngineSettings(practice=0.0),
    "learning, as a worker does": EngineSettings(),
}


def synthetic(items: int, events: int, per_user: int, seed: int = 0) -> Iterator[Interactions]:
    """Chunks of events: first every item once, then `events` more."""
    rng = np.random.default_rng(seed)
    users = max(1000, events // per_user)
    odds = np.cumsum(1.0 / np.arange(1, items + 1))
    drawn = np.searchsorted(odds, rng.random(events) * odds[-1])
    user = rng.integers(users, size=events)
    follows = rng.random(events) < 0.5
    successor = rng.integers(20, size=events)
    last: dict[int, int] = {}
    item = np.empty(events, np.int64)
    for k in range(events):
        before = last.get(int(user[k]))
        if before is not None and follows[k]:
            item[k] = (before * 20 + successor[k]) * 2654435761 % items
        else:
            item[k] = drawn[k]
        last[int(user[k])] = int(item[k])
    names = [f"u{n}" for n in user], [f"i{n}" for n in item]
    first = [f"first{k // 20}" for k in range(items)], [f"i{n}" for n in rng.permutation(items)]
    columns = [one + two for one, two in zip(first, names, strict=True)]
    yield from chunks(columns[0], columns[1], START + 0.864 * np.arange(items + events))


def recorded(path: Path, at_most: int | None) -> Iterator[Interactions]:
    """Chunks of a file with the columns user_id, item_id, event, value, ts (seconds)."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        rows = [row for _, row in zip(range(at_most or 10**9), csv.DictReader(file), strict=False)]
    times = np.array([float(row["ts"]) for row in rows])
    yield from chunks([r["user_id"] for r in rows], [r["item_id"] for r in rows], times)


def chunks(users: list[str], items: list[str], times: np.ndarray) -> Iterator[Interactions]:
    """The columns, CHUNK rows at a time."""
    for at in range(0, len(users), CHUNK):
        part = slice(at, at + CHUNK)
        n = len(users[part])
        kinds, values = np.full(n, Kind.VIEW, np.int8), np.full(n, np.nan, np.float32)
        yield Interactions(users[part], items[part], kinds, values, times[part])


def describe(recommender: Recommender, items: list[str], seed: int = 0) -> None:
    """Give the items categories, and others that they are like."""
    rng = np.random.default_rng(seed)
    of = rng.integers(CATEGORIES, size=(len(items), 2))
    members = [np.flatnonzero(of[:, 0] == category) for category in range(CATEGORIES)]
    likeness = np.sort(rng.random(ALIKE))[::-1].tolist()
    parts = [range(at, min(at + 10_000, len(items))) for at in range(0, len(items), 10_000)]
    for part in parts:
        recommender.upsert_items(
            [ItemFacts(items[k], categories=tuple(f"c{c}" for c in of[k])) for k in part]
        )
    for part in parts:
        others = [rng.choice(members[of[k, 0]], ALIKE) for k in part]
        alike = [[*zip([items[o] for o in row], likeness, strict=True)] for row in others]
        recommender.link_items([items[k] for k in part], alike)


def measure(events: list[Interactions], warm: int, content: bool) -> dict[str, float]:
    """Events per second of processor time: each way of learning from all but the first `warm`
    chunks, then ranking as in an evaluation, then answering."""
    found: dict[str, float] = {}
    recommender = Recommender()
    for name, settings in LEARNING.items():
        recommender = Recommender(settings)
        if content and settings == EngineSettings():
            describe(recommender, [*dict.fromkeys(item for c in events for item in c.items)])
        for chunk in events[:warm]:
            recommender.learn(chunk)
        timed = events[warm : -TIMED // CHUNK]
        found[name] = rate(timed, recommender.learn)
    last = events[-TIMED // CHUNK :]
    found["learning and ranking on every event"] = rate(last, recommender.rank_and_learn)

    def answer(reasons: bool) -> Callable[[Interactions], object]:
        return lambda c: recommender.recommend(c.users, float(c.times[-1]), 10, reasons=reasons)

    found["recommending, without reasons"] = rate(last, answer(False))
    found["recommending"] = rate(last, answer(True))
    found.update(memory(recommender))
    return found


def held(events: list[Interactions]) -> dict[str, float]:
    """What the engine holds in memory once it has learned all events. The ranker is not asked: it
    would take five times as long and hold the same."""
    recommender = Recommender(EngineSettings(practice=0.0))
    found = {"learning, ranker not asked": rate(events, recommender.learn)}
    return found | memory(recommender)


def rate(events: list[Interactions], work: Callable[[Interactions], object]) -> float:
    """Events per second of processor time."""
    began = time.process_time()
    for chunk in events:
        work(chunk)
    return round(sum(map(len, events)) / (time.process_time() - began), 1)


def memory(recommender: Recommender) -> dict[str, float]:
    """Bytes of the arrays, by what they belong to, and all of the process."""
    sizes = recommender.memory()
    found = {f"{name} (bytes each)": round(size, 1) for name, size in sizes.items()}
    found["process (MB)"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--items", default="10000", help="catalogue sizes, separated by commas")
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--light", action="store_true", help="3 events per user, not 20")
    parser.add_argument("--stream", type=Path, help="a file of events instead")
    parser.add_argument("--at-most", type=int)
    parser.add_argument("--content", action="store_true", help="items that say what they are")
    parser.add_argument("--memory", action="store_true", help="only what is held in memory")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    facts = machine()
    print_machine(facts)
    compiled.compile()
    results: dict[str, Any] = {}
    if given.stream:
        results[str(given.stream)] = measure(
            list(recorded(given.stream, given.at_most)), 0, given.content
        )
    else:
        for items in map(int, given.items.split(",")):
            events = list(synthetic(items, given.events, 3 if given.light else 20))
            warm = (items + given.events // 2) // CHUNK
            found = held(events) if given.memory else measure(events, warm, given.content)
            results[f"{items} items"] = found
    for stream, found in results.items():
        print(f"\n{stream}")
        for name, value in found.items():
            print(f"  {name:<40} {value:>12,.0f}")
    if given.json:
        given.json.write_text(json.dumps({"machine": facts, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
