"""What is popular among people with the same facts, for those of whom nothing else is known.

A segment is everybody who shares one fact, such as a country. With forward decay (Cormode et al.
2009: an event at second t adds exp(λ t), reading divides by exp(λ now)), item x was taken o_s(x)
times in segment s of C_s events, where e_s(x) = C_s · p(x) would be expected from everybody's
p(x). Observed over expected, held back towards 1 where little was observed (the Gamma-Poisson
shrinker, DuMouchel 1999), is how much more this segment takes it:

    lift_s(x) = (o_s(x) + PRIOR) / (e_s(x) + PRIOR)

and for a person with the facts of n segments

    q(x) ∝ p(x) · (Π_s lift_s(x)) ^ (n ^ −OVERLAP)

which with OVERLAP 0 is naive Bayes: right where facts say different things. Facts that say the same
(a country and its language) would count several times over, so their power grows more slowly than
their number. `docs/cold-users.md` compares it with clusters of people and others.

An item counts once for a person in WINDOW events, so that nobody alone makes it popular, and a fact
says nothing before LEAST_PEOPLE who share it have done something: what one person took is not shown
to a stranger who names the same facts.

The counts are those of what the engine remembers of the people described: the order in which events
and descriptions come does not matter, and nothing of it needs to be saved.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from models.interactions import Past
from models.pool import Said, fading
from models.ranking import cut

FIRST = 0.9
"""The segments' part in the list of somebody who has done nothing yet."""

SOURCE = "segments"

HALF_LIFE = 30 * 86_400.0
"""In seconds, as the longest of `models.sources.trends`."""

PRIOR, OVERLAP = 5.0, 0.25
WINDOW = 64
LEAST_PEOPLE = 10

LOOKED_AT, OPINION = 40, 50
"""Items of each segment that come into question, and of an opinion."""

KEPT, KEPT_OF_EVERYBODY = 1_000, 20_000
"""Items counted of a segment; up to twice as many before the least are forgotten."""

MOST_FACTS = 5_000
"""Different facts that are used. What nobody shares any more makes room."""

MOST_VALUES = 1_000
"""Values of one name that are used: what has more identifies people more than it groups them."""

STALE = 0.02
"""Share of what was counted that may come before an opinion is formed anew."""

_RATE = math.log(2) / HALF_LIFE
_LARGEST_EXPONENT = 500.0


class Fact(NamedTuple):
    """Such as country, DE."""

    name: str
    value: str


class Memory(Protocol):
    """What is asked of the engine."""

    def past(self, user: str) -> Past | None: ...
    def item_ids(self, numbers: Sequence[int]) -> list[str]: ...


@dataclass(slots=True, eq=False)
class _Segment:
    """described: people who share the fact; people: those of them of whom events are counted.
    counts: by item. total: of all that was counted."""

    fact: Fact
    kept: int = KEPT
    described: int = 0
    people: int = 0
    total: float = 0.0
    counts: dict[str, float] = field(default_factory=dict)
    _top: list[str] = field(default_factory=list)
    _top_at: float = math.nan

    def add(self, item: str, weight: float) -> None:
        counts = self.counts
        counts[item] = counts.get(item, 0.0) + weight
        self.total += weight
        if len(counts) > 2 * self.kept:
            most = heapq.nlargest(self.kept, counts.items(), key=lambda entry: entry[1])
            self.counts = dict(most)

    def take_away(self, item: str, weight: float) -> None:
        """What `add` added."""
        self.total -= weight
        left = self.counts.pop(item, 0.0) - weight
        if left > 1e-9 * weight:
            self.counts[item] = left

    def top(self) -> list[str]:
        """The items taken most, to within what came since they were looked at."""
        if _is_stale(self._top_at, self.total):
            self._top = heapq.nlargest(LOOKED_AT, self.counts, key=self.counts.__getitem__)
            self._top_at = self.total
        return self._top

    def of(self, items: Sequence[str]) -> NDArray[np.float64]:
        """The counts of these items."""
        counts = self.counts
        return np.array([counts.get(item, 0.0) for item in items], np.float64)


@dataclass(slots=True, eq=False)
class _Group:
    """People with the same facts. at: the segments' totals when the opinion was formed."""

    segments: tuple[_Segment, ...]
    members: int = 0
    opinion: Mapping[str, Said] = field(default_factory=dict)
    at: tuple[float, ...] = ()


class Segments:
    """Popularity by fact, and what it says to a person. Not thread-safe.

    most_people: of whom facts are held; beyond it those described longest ago are let go.
    """

    def __init__(self, most_people: int = 2_000_000) -> None:
        self._most_people = most_people
        self._groups: dict[str, _Group] = {}
        #: By the segments they share.
        self._alike: dict[tuple[_Segment, ...], _Group] = {}
        self._segments: dict[Fact, _Segment] = {}
        #: By name, how many values of it are in use; names not in use are not among them.
        self._values: Counter[str] = Counter()
        #: By person, events of theirs that are counted, forgotten ones included.
        self._counted: dict[str, int] = {}
        self._everybody = _Segment(Fact("", ""), KEPT_OF_EVERYBODY)
        self._latest = 0.0

    def __len__(self) -> int:
        """People described."""
        return len(self._groups)

    def __contains__(self, user: str) -> bool:
        return user in self._groups

    @property
    def facts(self) -> int:
        """Different facts in use."""
        return len(self._segments)

    def describe(self, user: str, facts: Iterable[Fact], memory: Memory) -> None:
        """Take or replace what is known of a person; what they did so far counts for it."""
        self.forget(user, memory)
        if len(self._groups) >= self._most_people:
            self.forget(next(iter(self._groups)), memory)
        segments = tuple(filter(None, map(self._segment, sorted(set(facts)))))
        group = self._alike.setdefault(segments, _Group(segments))
        group.members += 1
        for segment in segments:
            segment.described += 1
        self._groups[user] = group
        self.learn([user], memory)

    def forget(self, user: str, memory: Memory) -> None:
        """As if the person had never been described; to be called before the engine forgets."""
        self.uncount(user, memory)
        group = self._groups.pop(user, None)
        if group is None:
            return
        group.members -= 1
        if not group.members:
            del self._alike[group.segments]
        for segment in group.segments:
            segment.described -= 1
            if not segment.described:
                del self._segments[segment.fact]
                self._values[segment.fact.name] -= 1
                if not self._values[segment.fact.name]:
                    del self._values[segment.fact.name]

    def uncount(self, user: str, memory: Memory) -> None:
        """As if the person had done nothing yet; to be called before the engine forgets."""
        counted = self._counted.pop(user, 0)
        if counted:
            group = self._groups[user]
            self._count(group, memory, user, 0, counted, away=True)
            for segment in (self._everybody, *group.segments):
                segment.people -= 1

    def learn(self, users: Iterable[str], memory: Memory) -> None:
        """Count what these did since they were last counted; who is not described is left out."""
        for user in users:
            group = self._groups.get(user)
            if group is None:
                continue
            before = self._counted.get(user, 0)
            now = self._count(group, memory, user, before)
            if now and not before:
                for segment in (self._everybody, *group.segments):
                    segment.people += 1
            if now:
                self._counted[user] = now

    def opinion(self, user: str) -> Mapping[str, Said]:
        """What people with the same facts take: chances that sum to 1, by item; empty where there
        is nothing to go by."""
        group = self._groups.get(user)
        if group is None:
            return {}
        speaking = [s for s in group.segments if s.people >= LEAST_PEOPLE]
        if not speaking:
            return {}
        totals = (self._everybody.total, *(segment.total for segment in speaking))
        if len(totals) != len(group.at) or any(map(_is_stale, group.at, totals)):
            group.opinion, group.at = self._opinion(speaking), totals
        return group.opinion

    def _opinion(self, segments: Sequence[_Segment]) -> dict[str, Said]:
        everybody = self._everybody
        items = list(
            dict.fromkeys(
                itertools.chain(everybody.top(), *(segment.top() for segment in segments))
            )
        )
        now = 1 / _weight(self._latest)
        popularity = everybody.of(items) * now
        chance = popularity / max(everybody.total * now, 1e-9)
        lifts = np.zeros((len(segments), len(items)))
        for row, segment in zip(lifts, segments, strict=True):
            observed, expected = segment.of(items) * now, segment.total * now * chance
            row[:] = np.log((observed + PRIOR) / (expected + PRIOR))
        power = len(segments) ** -OVERLAP
        score = np.log(popularity + 1e-9) + power * lifts.sum(axis=0)
        best = np.argsort(-score, kind="stable")[:OPINION]
        odds = np.exp(score[best] - score[best[0]]) if len(best) else score
        strongest = lifts.argmax(axis=0)
        return {
            items[x]: Said(
                part, _in_words(segments[strongest[x]].fact) if lifts[strongest[x], x] > 0 else ""
            )
            for x, part in zip(best.tolist(), (odds / odds.sum()).tolist(), strict=True)
        }

    def _segment(self, fact: Fact) -> _Segment | None:
        """The segment of a fact; none where there are too many."""
        segment = self._segments.get(fact)
        if segment is None:
            if len(self._segments) >= MOST_FACTS or self._values[fact.name] >= MOST_VALUES:
                return None
            segment = self._segments[fact] = _Segment(fact)
            self._values[fact.name] += 1
        return segment

    def _count(
        self,
        group: _Group,
        memory: Memory,
        user: str,
        begin: int,
        end: int | None = None,
        *,
        away: bool = False,
    ) -> int:
        """Add (or take away) a person's events from number `begin` to `end`; how many there are."""
        past = memory.past(user)
        if past is None:
            return 0
        reach = past.before + len(past.items)
        if begin > reach:  # the engine has forgotten the person since, and met them again
            begin = 0
        first = max(0, begin - past.before)
        last = reach - past.before if end is None else min(end, reach) - past.before
        if first >= last:
            return reach
        window = max(0, first - WINDOW)
        numbers = past.items[window:last].tolist()
        seconds = past.seconds[window:last].tolist()
        new = [
            k
            for k in range(first - window, last - window)
            if numbers[k] >= 0 and numbers[k] not in numbers[max(0, k - WINDOW) : k]
        ]
        counted = (self._everybody, *group.segments)
        for k, item in zip(new, memory.item_ids([numbers[k] for k in new]), strict=True):
            second = seconds[k]
            self._latest = max(self._latest, second)
            weight = _weight(second)
            for segment in counted:
                if away:
                    segment.take_away(item, weight)
                else:
                    segment.add(item, weight)
        return reach


def share_of_segments(events: int, few: int) -> float:
    """The segments' part in the list of a user with so many events; 0 from `few` on."""
    return fading(FIRST, events, few)


def _weight(second: float) -> float:
    exponent = _RATE * second
    return math.exp(min(max(exponent, -_LARGEST_EXPONENT), _LARGEST_EXPONENT))


def _is_stale(then: float, now: float) -> bool:
    return not abs(now - then) <= STALE * now


def _in_words(fact: Fact) -> str:
    return "Popular among people like you: " + cut(f"{fact.name} {fact.value}")
