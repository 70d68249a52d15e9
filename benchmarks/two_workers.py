"""One worker and two on this machine: CPU per event, learning from each other, and a kill.

    python -m benchmarks.two_workers [--events FILE] [--fill 100000] [--seconds 30] [--rate 500]
                                     [--users 100000] [--trials 50] [--json FILE]

CPU: the same events at the same rate, and as fast as lists come, to one worker and to two; what
their processes used, once each knows `--fill` events: while a model grows fast each event gets
dearer, and two workers meet more events in the same time. And to two that share nothing but the
machine, each with topics of its own: what is dearer with these is the machine's, what is dearer
still with two that share is ours. Propagation: a user whose partition one worker serves takes an
item that nobody knew, after one that others know; from then on new users of the other worker take
the latter, one every 20 ms, until a list of theirs holds the new item: from the click handed to the
producer to that list in a consumer's hands.
Kill: with so many users known, one of two workers gets SIGKILL
under load; the longest that any event waited for its list, beside the session's timeout.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.load import Order, Seen, load, started
from benchmarks.machine import machine, print_machine
from benchmarks.scratch import scratch
from benchmarks.stream import Record, records
from benchmarks.worker import Worker
from schemas import Event, EventType, decode_recommendation, encode
from streams.broker import EmbeddedBroker
from streams.publisher import partition_of
from streams.settings import Settings
from streams.settings import load as settings_of

WAITING = 1024
FASTEST = "as fast as lists come"
MOST_PER_SECOND = 10_000
SETTLE_SECONDS = 5.0
PROBE_EVERY_S = 0.02
GIVE_UP_S = 10.0

Figures = dict[str, float]


class Bench:
    """Workers on topics of their own."""

    def __init__(self, broker: EmbeddedBroker, folder: Path) -> None:
        self._servers, self._folder = broker.bootstrap_servers, folder

    @contextmanager
    def workers(self, prefix: str, number: int) -> Iterator[tuple[Settings, list[Worker]]]:
        """So many workers that share the partitions."""
        options = {"bootstrap_servers": self._servers, "topic_prefix": prefix}
        settings, running = settings_of(options=options), []
        try:
            for n in range(number):
                place = {"FRESHET_SNAPSHOTS": str(self._folder / f"{prefix}{n}")}
                running.append(Worker(settings, self._folder, name=f"worker{n}", more=place))
            time.sleep(SETTLE_SECONDS)  # the group divides the partitions anew
            yield settings, running
        finally:
            for worker in running:
                worker.kill()

    def cpu(self, number: int, stream: list[Record], fill: int, **order: float) -> Figures:
        """What so many workers use for each event under this load."""
        kind = "-".join(order)
        with self.workers(f"cpu-{number}-{kind}-", number) as (settings, running):
            servers, prefix = settings.bootstrap_servers, settings.topic_prefix
            load(Order(servers, prefix, 3600, window=WAITING), stream[:fill])
            before = sum(worker.cpu_seconds() for worker in running)
            seen = load(Order(servers, prefix, **order), stream[fill:])  # type: ignore[arg-type]
            used = sum(worker.cpu_seconds() for worker in running) - before
        return {
            "workers": number,
            "events per second": round(seen.answered_per_second),
            "cpu us an event": round(used / seen.sent * 1e6),
            "p50 ms": seen.percentile_ms(50),
            "p99 ms": seen.percentile_ms(99),
        }

    def apart(self, stream: list[Record], fill: int, seconds: float) -> Figures:
        """Two workers on topics of their own, each with half of the load, as fast as lists come."""
        with self.workers("apart-a-", 1) as one, self.workers("apart-b-", 1) as other:
            both = [(settings, running[0]) for settings, running in (one, other)]

            def under(records: list[Record], seconds: float) -> list[Seen]:
                loads = [
                    started(
                        Order(s.bootstrap_servers, s.topic_prefix, seconds, window=WAITING // 2),
                        records,
                    )
                    for s, _ in both
                ]
                return [load.result() for load in loads]

            under(stream[:fill], 3600)
            before = sum(worker.cpu_seconds() for _, worker in both)
            seen = under(stream[fill:], seconds)
            used = sum(worker.cpu_seconds() for _, worker in both) - before
        return {
            "workers": 2,
            "events per second": round(sum(s.answered_per_second for s in seen)),
            "cpu us an event": round(used / sum(s.sent for s in seen) * 1e6),
        }

    def propagation(self, stream: list[Record], trials: int) -> Figures:
        """How long until what one worker was told moves the other's lists, in seconds."""
        with self.workers("told-", 2) as (settings, running):
            servers, prefix = settings.bootstrap_servers, settings.topic_prefix
            load(Order(servers, prefix, 3600, window=WAITING), stream)
            one, other = (worker.served() for worker in running)
            teller = Teller(settings, one, other)
            took = [seconds for n in range(trials) if (seconds := teller.trial(n)) is not None]
        return {
            "trials": trials,
            "moved": len(took),
            "p50 s": round(float(np.percentile(took, 50)), 3),
            "p99 s": round(float(np.percentile(took, 99)), 3),
            "worst s": round(max(took), 3),
        }

    def kill(self, users: int, rate: float) -> Figures:
        """One of two is killed; how long events waited."""
        stream = [_first_click(n) for n in range(users)]
        with self.workers("kill-", 2) as (settings, running):
            servers, prefix = settings.bootstrap_servers, settings.topic_prefix
            load(Order(servers, prefix, 3600, window=WAITING), stream)
            seconds = settings.session_timeout_seconds + 25
            under = started(Order(servers, prefix, seconds, per_second=rate, warm=0), stream)
            time.sleep(8)
            running[0].kill()
            seen = under.result()
        waited = np.array(seen.freshness)
        return {
            "users": users,
            "session timeout s": settings.session_timeout_seconds,
            "longest wait s": round(float(waited.max()), 2),
            "events that waited over 1 s": int((waited > 1).sum()),
            "unanswered": seen.sent - seen.answered,
        }


class Teller:
    """Clicks of users whom one worker serves, and probes by users whom the other serves."""

    def __init__(self, settings: Settings, one: set[int], other: set[int]) -> None:
        servers = {"bootstrap.servers": settings.bootstrap_servers, "log_level": 0}
        self._producer = Producer(servers | {"partitioner": "murmur2_random", "linger.ms": 0})
        self._consumer = Consumer(servers | {"group.id": "told", "enable.auto.commit": False})
        self._events = settings.topic("events")
        topic = settings.topic("recommendations")
        places = [TopicPartition(topic, p) for p in range(settings.partitions)]
        for place in places:
            place.offset = self._consumer.get_watermark_offsets(place)[1]
        self._consumer.assign(places)
        self._partitions = settings.partitions
        self._of_one, self._of_other = self._users("a", one), self._users("b", other)

    def _users(self, name: str, partitions: set[int]) -> Iterator[str]:
        for n in count():
            if partition_of(f"{name}{n}".encode(), self._partitions) in partitions:
                yield f"{name}{n}"

    def trial(self, n: int) -> float | None:
        """Seconds from the click to a list that knows it, None if none did."""
        known, new = f"known-{n}", f"new-{n}"
        for _ in range(5):  # five people of each worker take what comes before
            self._click(next(self._of_one), known)
            self._click(next(self._of_other), known)
        user = next(self._of_one)
        self._click(user, known)
        self._seen_until(time.perf_counter() + 0.5, new)
        began = time.perf_counter()
        self._click(user, new)
        while time.perf_counter() - began < GIVE_UP_S:
            self._click(next(self._of_other), known)
            seen = self._seen_until(time.perf_counter() + PROBE_EVERY_S, new)
            if seen is not None:
                return seen - began
        return None

    def _click(self, user: str, item: str) -> None:
        self._producer.produce(self._events, encode(Event(user, item, EventType.CLICK)), user)
        self._producer.poll(0)

    def _seen_until(self, until: float, item: str) -> float | None:
        """When a list for one of the other's users held the item."""
        while (left := until - time.perf_counter()) > 0:
            message = self._consumer.poll(left)
            if message is None or message.error() is not None or not message.value():
                continue
            told = decode_recommendation(message.value())
            if told.user_id.startswith("b") and any(i.item_id == item for i in told.items):
                return time.perf_counter()
        return None


def _workers(number: int) -> str:
    return "one worker" if number == 1 else f"{number} workers"


def _first_click(n: int) -> Record:
    user, item = f"u{n}", f"i{n * 7919 % 9973}"
    return user.encode(), encode(Event(user, item, EventType.CLICK, event_id=str(n)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=Path, help="a file of events; made up where not given")
    parser.add_argument("--fill", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rate", type=float, default=500, help="events/s, for CPU and the kill")
    parser.add_argument("--users", type=int, default=100_000, help="known when one is killed")
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    facts = machine()
    stream = records(asked.fill + int(asked.seconds * MOST_PER_SECOND), asked.events)
    found: dict[str, Figures] = {}

    def note(what: str, figures: Figures) -> None:
        found[what] = figures
        told = ", ".join(f"{name} {value:,}" for name, value in figures.items())
        print(f"{what}\n  {told}", flush=True)

    print_machine(facts)
    orders: dict[str, dict[str, float]] = {
        f"at {asked.rate:g} a second": {"per_second": asked.rate},
        FASTEST: {"window": WAITING},
    }
    with scratch() as (folder, broker):
        bench = Bench(broker, folder)
        for how, order in orders.items():
            for n in (1, 2):
                figures = bench.cpu(n, stream, asked.fill, seconds=asked.seconds, **order)
                note(f"{_workers(n)}, {how}", figures)
        apart = bench.apart(stream, asked.fill, asked.seconds)
        note(f"two workers apart, {FASTEST}", apart)
        told = bench.propagation(stream[: asked.fill], asked.trials)
        note("one learns what the other was told", told)
        note("one of two is killed", bench.kill(asked.users, asked.rate))
    for how in orders:
        one, two = (found[f"{_workers(n)}, {how}"]["cpu us an event"] for n in (1, 2))
        print(f"\nCPU per event of two workers, {how}: {two / one:.2f} × one worker's")
        if how == FASTEST:
            print(f"of two that share nothing: {apart['cpu us an event'] / one:.2f} ×")
    if asked.json:
        asked.json.write_text(json.dumps({"machine": facts, "two_workers": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
