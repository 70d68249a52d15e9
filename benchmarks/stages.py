"""What each stage of an event's path can do, alone: events per second and microseconds per event.

    python -m benchmarks.stages [--events FILE] [--fill 50000] [--timed 10000] [--json FILE]

In one process, 64 events at a time as in the worker's turns; the engine has learned `--fill` events
before. `reasons` is what they add to ranking. Publishing waits for the broker's acknowledgement of
each turn, as the worker does, so it is time that passes rather than time that is worked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.machine import machine, print_machine
from benchmarks.scratch import scratch
from benchmarks.stream import records
from models import compiled
from models.interactions import Interactions, Kind
from models.ranking import Ranking
from models.recommender import Recommender
from schemas import Cause, Event, decode_event
from streams.publisher import Outgoing, Publisher
from streams.recommendations import outgoing
from streams.settings import load as settings_of
from streams.topics import ensure_topics

AT_ONCE = 64


def columns(events: Sequence[Event]) -> Interactions:
    """Events as the engine takes them."""
    return Interactions(
        users=[event.user_id for event in events],
        items=[event.item_id for event in events],
        kinds=np.full(len(events), Kind.CLICK, np.int8),
        values=np.full(len(events), np.nan, np.float32),
        times=np.array([event.ts / 1000 for event in events]),
    )


def measure(
    values: list[bytes], fill: int, publish: Callable[[list[list[Outgoing]]], float]
) -> dict[str, float]:
    """Seconds per event of each stage."""
    now_ms = int(time.time() * 1000)
    timed = len(values) - fill
    taken: dict[str, float] = {}

    def stage(name: str, begun: float) -> None:
        taken[name] = (time.perf_counter() - begun) / timed

    begun = time.perf_counter()
    decoded = [decode_event(value, now_ms, now_ms) for value in values[fill:]]
    stage("decode", begun)

    before = [decode_event(value, now_ms, now_ms) for value in values[:fill]]
    turns = [list(turn) for turn in _turns(decoded)]
    for name, practise in (("learn, the ranker practising", 1.0), ("learn, as a follower", 0.0)):
        recommender = Recommender()
        for part in _turns(before):
            recommender.learn(columns(part))
        begun = time.perf_counter()
        for turn in turns:
            recommender.learn(columns(turn), practise=practise)
        stage(name, begun)

    now, lists = time.time(), list[list[Ranking]]()
    for name, reasons in (("rank", False), ("rank with reasons", True)):
        begun = time.perf_counter()
        lists = [
            recommender.recommend([event.user_id for event in turn], now, 10, reasons=reasons)
            for turn in turns
        ]
        stage(name, begun)
    taken["reasons"] = taken.pop("rank with reasons") - taken["rank"]

    begun = time.perf_counter()
    outgoing = [
        [_outgoing(event, ranking) for event, ranking in zip(turn, made, strict=True)]
        for turn, made in zip(turns, lists, strict=True)
    ]
    stage("encode", begun)
    taken["publish"] = publish(outgoing) / timed
    return taken


def _turns(events: Sequence[Event]) -> list[Sequence[Event]]:
    return [events[at : at + AT_ONCE] for at in range(0, len(events), AT_ONCE)]


def _outgoing(event: Event, ranking: Ranking) -> Outgoing:
    cause = Cause(topic="events", partition=0, offset=0, event_id=event.event_id)
    return outgoing(ranking, cause=cause, model_version="1-1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=Path, help="a file of events; made up where not given")
    parser.add_argument("--fill", type=int, default=50_000)
    parser.add_argument("--timed", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    facts, cache_dir = machine(), settings_of().cache_dir
    compiled.use_cache(cache_dir / "engine")
    compiled.compile()
    values = [value for _, value in records(asked.fill + asked.timed, asked.events)]
    with scratch() as (_, broker):
        settings = settings_of(options={"bootstrap_servers": broker.bootstrap_servers})

        async def publish(turns: list[list[Outgoing]]) -> float:
            await ensure_topics(settings)
            publisher, topic = Publisher(settings), settings.topic("recommendations")
            async with publisher:
                await publisher.publish(topic, turns[0])
                begun = time.perf_counter()
                for turn in turns:
                    await publisher.publish(topic, turn)
                return time.perf_counter() - begun

        taken = measure(values, asked.fill, lambda turns: asyncio.run(publish(turns)))
    print_machine(facts)
    print(f"\n{'stage':>30}{'events/s':>12}{'us/event':>10}")
    for name, seconds in taken.items():
        print(f"{name:>30}{1 / seconds:>12,.0f}{seconds * 1e6:>10.1f}")
    if asked.json:
        asked.json.write_text(
            json.dumps({"machine": facts, "seconds_per_event": taken}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
