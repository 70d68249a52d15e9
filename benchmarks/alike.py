"""Who is alike, by each of the engine's vectors of users; and what finding them costs.

    python -m benchmarks.alike --streams DIR [NAME ...] [--users 200000]

DIR holds a folder for each stream with `events.csv.gz` in Freshet's columns. After half, 70 % and
90 % of a stream, each user with 5 events or more who takes something new later is asked for the 20
most alike: how often is the next new item among what these took (*all* of it, and the newest 20
*items* of each; in brackets, how many different items that is)? Beside them stand 20 users at
random, and the 20 whose sets of items have the highest cosine, which needs no vectors.

Then what it costs with so many `--users`: the engine's time to write their vectors, that to take
them up in an index, its memory, a search; and events learned a second, while nobody asks and while
somebody asks without a pause.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import faiss
import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.machine import machine, print_machine
from models.compiled import compile as compile_engine
from models.compiled import use_cache
from models.evaluation import EventLog
from models.interactions import Interactions, Kind
from models.numeric import widened
from models.recommender import Recommender
from models.sources.embeddings import user_vector
from models.user import ITEM
from streams.engine import Engine
from streams.files import read_columns
from streams.metrics import Metrics
from streams.replica import Replica
from streams.settings import load
from streams.similar import WRITTEN_AT_ONCE, Neighbourhoods, index_of_users, unread

ALIKE, LEAST, ASKED = 20, 5, 3000
TURNS, TURN = 6, 30_000
"""Events are learned in turns of so many."""
PARTS = (0.5, 0.7, 0.9)
Vectors = NDArray[np.float32]


def vectors_of(engine: Recommender, users: NDArray[np.int64]) -> dict[str, Vectors]:
    """By what they are, the vectors of the users with these numbers, float32 [users, d]."""
    state = engine._state
    history, slots = state.users.history, state.embeddings.slot
    into, out = widened(state.embeddings.into), widened(state.embeddings.out)
    queries = np.zeros((len(users), into.shape[1]), np.float32)
    recent = np.zeros((2, len(users), into.shape[1]), np.float32)
    for k, user in enumerate(users):
        user_vector(state.embeddings, history, user, queries[k])
        begin = history.start[user]
        items = history.words[begin : begin + history.size[user], ITEM]
        held = slots[items[items >= 0]]
        recent[0, k], recent[1, k] = into[held[-20:]].sum(axis=0), out[held[-20:]].sum(axis=0)
    names = [engine._users.name(int(user)) for user in users]
    tastes = dict(zip(*engine.user_vectors(range(engine.user_reach)), strict=True))
    nothing = np.zeros(into.shape[1], np.float32)
    return {
        "p, the user's own": state.embeddings.user[users],
        "q = p + Σ in(a)/(1+k)": queries,
        "t, the ranker's own": state.ranker.taste[users],
        "Σ in(a), last 20": recent[0],
        "Σ out(a), last 20": recent[1],
        "taste (models.tastes)": np.array([tastes.get(name, nothing) for name in names]),
    }


def nearest(vectors: Vectors, asked: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of the ALIKE nearest to these rows, by cosine, beside themselves."""
    directions = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    _, found = faiss.knn(directions[asked], directions, ALIKE + 1, faiss.METRIC_INNER_PRODUCT)
    return np.array([row[row != me][:ALIKE] for row, me in zip(found, asked, strict=True)])


def by_sets(items: list[set[int]], asked: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """The same by the cosine of the sets of items."""
    taken = np.zeros((len(items), most), np.float32)
    for row, some in zip(taken, items, strict=True):
        row[[*some]] = 1
    return nearest(taken, asked)


def quality(log: EventLog) -> dict[str, NDArray[np.float64]]:
    """By kind of vector: the share of next items among all and among the newest, how many items
    that is."""
    engine, random, at = Recommender(), np.random.default_rng(0), 0
    sums: dict[str, NDArray[np.float64]] = {}
    count = 0
    for part in PARTS:
        stop = int(len(log) * part)
        for some in log.chunks(5000, at, stop):
            engine.learn(log.rows(some))
        at = stop
        history = engine._state.users.history
        users = engine._users.numbers
        users = users[history.size[users] >= LEAST]
        row = {engine._users.name(int(user)): k for k, user in enumerate(users)}
        pasts = [engine.past(name) for name in row]
        taken = [past.items[past.items >= 0] for past in pasts if past is not None]
        every, newest = [{*some.tolist()} for some in taken], [{*s[-20:].tolist()} for s in taken]
        asked, wanted = next_items(log, stop, row, engine, random)
        found = {what: nearest(v, asked) for what, v in vectors_of(engine, users).items()}
        found["cosine of sets of items"] = by_sets(every, asked, engine.item_reach)
        drawn = [random.choice(len(users), ALIKE, replace=False) for _ in asked]
        found["20 at random"] = np.array(drawn)
        for what, rows in found.items():
            told = [(union(every, near), union(newest, near)) for near in rows]
            figures = [
                (item in a, item in b, len(a), len(b))
                for (a, b), item in zip(told, wanted, strict=True)
            ]
            sums[what] = sums.get(what, np.zeros(4)) + np.sum(figures, axis=0)
        count += len(asked)
    return {what: figures / count for what, figures in sums.items()}


def union(sets: list[set[int]], rows: Iterable[int]) -> set[int]:
    return set().union(*(sets[row] for row in rows))


def next_items(
    log: EventLog,
    start: int,
    row: dict[str, int],
    engine: Recommender,
    random: np.random.Generator,
) -> tuple[NDArray[np.int64], list[int]]:
    """Rows of users, and the number of the first item that each takes anew from `start` on, where
    that item has been taken before; ASKED of them at most."""
    first: dict[int, int] = {}
    new = log.pair_is_new
    for k in range(start, len(log)):
        if new[k]:
            first.setdefault(int(log.users[k]), k)
    found = [
        (row[log.user_names[user]], number)
        for user, k in first.items()
        if log.user_names[user] in row
        and (number := engine._items.get(log.item_names[log.items[k]])) is not None
    ]
    some = [found[k] for k in random.permutation(len(found))[:ASKED]]
    return np.array([k for k, _ in some]), [number for _, number in some]


def made_up(first: int, users: int, events: int, start: float) -> Interactions:
    """So many events of each of these users, on 20,000 items."""
    random = np.random.default_rng(first)
    taken = (random.zipf(1.2, (users, events)) + 7 * (first // 1000)) % 20_000
    rows = [
        (f"user-{first + user}", f"item-{item}", Kind.VIEW, None, start + 60.0 * user + k)
        for user, items in enumerate(taken)
        for k, item in enumerate(items)
    ]
    return Interactions.of(rows)


@dataclass
class Worker:
    """The part of a replica that is asked."""

    recommender: Recommender


def cost(users: int) -> dict[str, float]:
    """Of so many users with 20 events each."""
    recommender = Recommender()
    for first in range(0, users, 1000):
        recommender.learn(made_up(first, 1000, 20, 60.0 * first), practise=0)
    seconds, longest, pieces = 0.0, 0.0, []
    for at in range(0, recommender.user_reach, WRITTEN_AT_ONCE):
        began = time.perf_counter()
        pieces.append(recommender.user_vectors(range(at, at + WRITTEN_AT_ONCE)))
        seconds += time.perf_counter() - began
        longest = max(longest, time.perf_counter() - began)
    before, began = psutil.Process().memory_info().rss, time.perf_counter()
    index = index_of_users()
    held: set[str] = set()
    for names, vectors in pieces:
        index.upsert(names, vectors)
        held.update(names)
    index._index.settle()
    taken_up = time.perf_counter() - began
    memory = psutil.Process().memory_info().rss - before
    searched = []
    for names, _ in pieces[:100]:
        began = time.perf_counter()
        index.near(names[0], 10)
        searched.append(time.perf_counter() - began)
    alone, beside, answers = asyncio.run(paces(recommender, users))
    return {
        "users": users,
        "engine's time to write all vectors, s": seconds,
        "engine's time for one piece at most, ms": 1000 * longest,
        "taken up and built, s": taken_up,
        "bytes a user": memory / users,
        "a search, p50, ms": 1000 * float(np.median(searched)),
        "events/s, nobody asks": alone,
        "events/s, somebody asks all the time": beside,
        "answers/s meanwhile": answers,
    }


async def paces(recommender: Recommender, users: int) -> tuple[float, float, float]:
    """Events learned a second, without and with somebody who asks without a pause: in turns, the
    median of which counts; and answers a second."""
    engine = Engine(cast(Replica, Worker(recommender)))
    neighbourhoods = Neighbourhoods(engine, unread, Metrics())
    answered = 0

    async def ask() -> None:
        nonlocal answered
        while True:
            await neighbourhoods.of_user(f"user-{answered % users}", 10)
            answered += 1

    seconds: tuple[list[float], list[float]] = ([], [])
    now = 60.0 * users
    for turn in range(TURNS):
        asker = asyncio.ensure_future(ask()) if turn % 2 else None
        began = time.perf_counter()
        for k in range(TURN // 100):
            chunk = made_up(1000 * (k % (users // 1000)), 100, 1, now)
            now += 6000
            await engine.run(lambda replica, chunk=chunk: replica.recommender.learn(chunk))
        seconds[turn % 2].append(time.perf_counter() - began)
        if asker is not None:
            asker.cancel()
            await asyncio.gather(asker, return_exceptions=True)
    engine.close()
    alone, beside = (TURN / float(np.median(some)) for some in seconds)
    return alone, beside, answered / sum(seconds[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=Path, required=True)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--users", type=int, default=200_000)
    asked = parser.parse_args()
    use_cache(load().cache_dir / "engine")
    compile_engine()
    print_machine(machine())
    for folder in sorted(asked.streams.iterdir()):
        if asked.names and folder.name not in asked.names:
            continue
        print(f"\n{folder.name}\n{'':>26}  all (items)   newest (items)")
        log = EventLog.of(read_columns(folder / "events.csv.gz").rows)
        for what, (every, newest, many, few) in quality(log).items():
            line = f"{what:>26}  {every:.3f} ({many:.0f})  {newest:.3f} ({few:.0f})"
            print(line, flush=True)
    print()
    for name, value in cost(asked.users).items():
        print(f"{name:>40}  {value:,.1f}", flush=True)


if __name__ == "__main__":
    main()
