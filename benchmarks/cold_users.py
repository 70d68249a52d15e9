"""What to show people of whom nothing but some facts is known.

    python -m benchmarks.cold_users [--users 2000] [--seeds 2]

Made-up streams on which new people keep coming, with facts (a country, an age, interests, and some
that say nothing) of which their taste depends in a known way; 500 items, ten events a person. The
first table counts how often the very first item taken stands among ten, by what is said without
the engine: facts (`models.segments`), or clusters of people by River, which learn from the same
facts hashed to 32 numbers, with the popularity of each cluster computed alike. The second table has
the engine's list, alone and blended as a worker does it, by the events a person has.
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river.cluster import CluStream, KMeans, STREAMKMeans

from models.interactions import Interactions, Kind, Past
from models.pool import pooled
from models.recommender import Recommender
from models.segments import SOURCE, Fact, Segments, share_of_segments

ITEMS, EVENTS_EACH, SPAN = 500, 10, 30 * 86_400.0
FEW = 5
WARM = 0.2


class Event(NamedTuple):
    """One event, and the facts of its user."""

    when: float
    user: str
    facts: list[Fact]
    item: str


TASTES = ("country", "country and interests", "pairs", "hidden kinds", "four facts say one", "none")


def made_up(taste: str, seed: int, users: int) -> list[Event]:
    """A stream. taste: what it depends on. `pairs`: on each pair of country and age anew. `hidden
    kinds`: on one of ten kinds of people that their facts hint at."""
    rng = np.random.default_rng(seed)
    common = -np.log(rng.permutation(ITEMS) + 1.0)
    by_country, by_interest, by_pair, by_kind = (
        rng.normal(0, 1.5, (n, ITEMS)) for n in (8, 20, 48, 10)
    )
    hints = [
        rng.dirichlet(np.full(n, spread), 10) for n, spread in ((30, 0.15), (10, 0.3), (20, 0.2))
    ]
    countries, interests = _falling(8, 0.4), _falling(20, 0.15)
    events = []
    for number in range(users):
        country, age = int(rng.choice(8, p=countries)), int(rng.integers(6))
        liked = rng.choice(20, int(rng.integers(1, 4)), replace=False, p=interests)
        liking = common.copy()
        if taste in ("country", "country and interests", "four facts say one"):
            liking += by_country[country]
        if taste == "country and interests":
            liking += by_interest[liked].mean(axis=0)
        if taste == "pairs":
            liking += by_pair[6 * country + age]
        if taste == "hidden kinds":
            kind = int(rng.integers(10))
            liking += by_kind[kind]
            country = int(rng.choice(30, p=hints[0][kind]))
            age = int(rng.choice(10, p=hints[1][kind]))
            liked = np.unique(rng.choice(20, 3, p=hints[2][kind]))
        facts = [Fact("country", str(country)), Fact("age", str(age))]
        facts += [Fact("interest", str(interest)) for interest in liked]
        facts += [Fact("plan", str(rng.integers(4))), Fact("device", str(rng.integers(3)))]
        if taste == "four facts say one":
            facts += [Fact(name, str(country)) for name in ("language", "currency", "zone")]
        begin = rng.uniform(0, SPAN)
        chances = np.exp(liking - liking.max())
        taken = rng.choice(
            ITEMS, 1 + rng.poisson(EVENTS_EACH - 1), p=chances / chances.sum(), replace=True
        )
        events += [
            Event(1.6e9 + begin + 600.0 * k, f"u{number}", facts, f"i{item}")
            for k, item in enumerate(taken)
        ]
    return sorted(events, key=lambda event: event.when)


def _falling(n: int, rate: float) -> NDArray[np.float64]:
    chances = np.exp(-rate * np.arange(n))
    return np.asarray(chances / chances.sum())


class Remembered:
    """What the segments ask of an engine, without one."""

    def __init__(self) -> None:
        self._items: dict[str, list[int]] = defaultdict(list)
        self._seconds: dict[str, list[int]] = defaultdict(list)

    def add(self, event: Event) -> None:
        self._items[event.user].append(int(event.item[1:]))
        self._seconds[event.user].append(int(event.when - 1.6e9))

    def past(self, user: str) -> Past | None:
        items, seconds = self._items.get(user), self._seconds.get(user)
        return Past(np.array(items, np.int32), np.array(seconds, np.int32), 0) if items else None

    def item_ids(self, numbers: Any) -> list[str]:
        return [f"i{number}" for number in numbers]


class Facts:
    """Popularity by fact. Others are the same with other facts, which `seen` makes of them."""

    def __init__(self) -> None:
        self.segments, self.memory = Segments(), Remembered()
        self.seconds = 0.0

    def seen(self, facts: list[Fact]) -> list[Fact]:
        return facts


class Popular(Facts):
    def seen(self, facts: list[Fact]) -> list[Fact]:
        del facts
        return [Fact("everybody", "yes")]


class Clusters(Facts):
    """A cluster in place of the facts."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model, self._learned = model, 0

    def seen(self, facts: list[Fact]) -> list[Fact]:
        numbers = dict.fromkeys(range(32), 0.0)
        for fact in facts:
            numbers[zlib.crc32("=".join(fact).encode()) % 32] += 1.0
        self._model.learn_one(numbers)
        self._learned += 1
        if self._learned <= 500:  # some have no centres before their first macro-clusters
            return [Fact("cluster", "none yet")]
        return [Fact("cluster", str(self._model.predict_one(numbers)))]


class FactsAndClusters(Clusters):
    def seen(self, facts: list[Fact]) -> list[Fact]:
        return [*facts, *super().seen(facts)]


def k_means() -> KMeans:
    return KMeans(n_clusters=16, halflife=0.05, sigma=0.3, seed=1)


WAYS: dict[str, Callable[[], Facts]] = {
    "popular": Popular,
    "facts": Facts,
    "River KMeans": lambda: Clusters(k_means()),
    "River CluStream": lambda: Clusters(
        CluStream(n_macro_clusters=16, max_micro_clusters=64, time_gap=250, seed=1)
    ),
    "River STREAMKMeans": lambda: Clusters(
        STREAMKMeans(chunk_size=100, n_clusters=16, halflife=0.1, sigma=0.3, seed=1)
    ),
    "facts and KMeans": lambda: FactsAndClusters(k_means()),
}


def first_hits(events: list[Event], way: Facts) -> list[bool]:
    """Of each new person after the warm-up: whether their first item stands among ten."""
    met: set[str] = set()
    hits = []
    for at, event in enumerate(events):
        if event.user not in met:
            met.add(event.user)
            began = time.perf_counter()
            facts = way.seen(event.facts)
            way.seconds += time.perf_counter() - began
            way.segments.describe(event.user, facts, way.memory)
            if at > WARM * len(events):
                hits.append(event.item in list(way.segments.opinion(event.user))[:10])
        way.memory.add(event)
        way.segments.learn([event.user], way.memory)
    way.seconds /= len(met)
    return hits


def hits_of_engine(events: list[Event]) -> dict[int, list[tuple[bool, bool]]]:
    """By events a person has: whether the next item stands among the engine's ten, and among those
    of the blended list; of every second person after the warm-up."""
    engine, segments = Recommender(), Segments()
    known: dict[str, int] = {}
    hits: dict[int, list[tuple[bool, bool]]] = defaultdict(list)
    for at, event in enumerate(events):
        user, has = event.user, known.setdefault(event.user, 0)
        if not has:
            segments.describe(user, event.facts, engine)
        if at > WARM * len(events) and has < FEW and int(user[1:]) % 2:
            (ranking,) = engine.recommend([user], event.when, 10)
            past = engine.past(user)
            own = engine.item_ids(past.items) if past else []
            said = {i: s for i, s in segments.opinion(user).items() if i not in own}
            total = sum(each.chance for each in said.values()) or 1.0
            said = {i: s._replace(chance=s.chance / total) for i, s in said.items()}
            both = pooled(ranking, SOURCE, said, share_of_segments(has, FEW))
            alone, blended = (
                event.item in [item.item_id for item in each.items[:10]] for each in (ranking, both)
            )
            hits[has].append((alone, blended))
        engine.learn(Interactions.of([(user, event.item, Kind.CLICK, None, event.when)]))
        segments.learn([user], engine)
        known[user] += 1
    return hits


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=2, help="made-up streams of each kind")
    options = parser.parse_args()
    streams = {
        taste: [made_up(taste, seed, options.users) for seed in range(options.seeds)]
        for taste in TASTES
    }
    print(f"| taste depends on | {' | '.join(TASTES)} | µs a profile |")
    print("|" + "---|" * (len(TASTES) + 2))
    for name, new in WAYS.items():
        cells, seconds = [], []
        for made in streams.values():
            ways = [new() for _ in made]
            hits = [first_hits(events, way) for events, way in zip(made, ways, strict=True)]
            cells.append(f"{np.mean(np.concatenate(hits)):.3f}")
            seconds += [way.seconds for way in ways]
        print(f"| {name} | {' | '.join(cells)} | {1e6 * np.mean(seconds):.0f} |", flush=True)
    print(f"\n| the engine, and blended, after | {' | '.join(TASTES)} |")
    print("|" + "---|" * (len(TASTES) + 1))
    found = {taste: [hits_of_engine(events) for events in made] for taste, made in streams.items()}
    for has in range(FEW):
        cells = []
        for of_streams in found.values():
            alone, blended = np.mean(
                np.concatenate([np.array(each[has]) for each in of_streams]), 0
            )
            cells.append(f"{alone:.3f} → {blended:.3f}")
        print(f"| {has} events | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
