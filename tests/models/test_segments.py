"""People with the same facts: what they take is told to those who share them, and nothing else."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterable

import pytest

from models.interactions import Interactions, Kind
from models.recommender import Recommender
from models.segments import LEAST_PEOPLE, Fact, Segments, share_of_segments

NOW, DAY = 1.6e9, 86_400.0
COUNTRIES = ("DE", "FR")
Event = tuple[str, str, float]


def facts(user: str) -> list[Fact]:
    """People of two countries; the rest says nothing of their taste."""
    number = int(user[1:])
    return [Fact("country", COUNTRIES[number % 2]), Fact("plan", f"p{number // 2 % 3}")]


def events(seed: int = 0, users: int = 60) -> list[Event]:
    """Both countries take what is popular, and each its own; the French are fewer in events."""
    draw = random.Random(seed)
    found = []
    for step in range(users * 12):
        user = draw.randrange(users)
        own = f"{COUNTRIES[user % 2]}{draw.randrange(5)}"
        item = f"all{draw.randrange(3)}" if draw.random() < 0.4 else own
        if user % 2 == 0 or draw.random() < 0.5:
            found.append((f"u{user}", item, NOW + 60.0 * step))
    return found


def learn(recommender: Recommender, segments: Segments, some: Iterable[Event]) -> None:
    some = list(some)
    rows = [(user, item, Kind.CLICK, None, when) for user, item, when in some]
    recommender.learn(Interactions.of(rows))
    segments.learn({user for user, _, _ in some}, recommender)


def of(described: Iterable[str], some: list[Event], at: int = 0) -> tuple[Recommender, Segments]:
    """Everything learned; the profiles come after so many events."""
    recommender, segments = Recommender(), Segments()
    learn(recommender, segments, some[:at])
    for user in described:
        segments.describe(user, facts(user), recommender)
    for begin in range(at, len(some), 7):
        learn(recommender, segments, some[begin : begin + 7])
    return recommender, segments


USERS = [f"u{n}" for n in range(60)]


@pytest.mark.parametrize(("newcomer", "own", "other"), [("u100", "DE", "FR"), ("u101", "FR", "DE")])
def test_a_newcomer_gets_what_people_with_the_same_facts_take(
    newcomer: str, own: str, other: str
) -> None:
    _, segments = of([*USERS, newcomer], events())
    said = segments.opinion(newcomer)
    first = list(said)[:8]
    kin = {f"{own}{n}" for n in range(5)}
    assert {item for item in first if not item.startswith("all")} == kin
    assert {said[item].text for item in kin} == {f"Popular among people like you: country {own}"}
    assert sum(each.chance for each in said.values()) == pytest.approx(1)
    others = [said[item].chance for item in said if item.startswith(other)]
    assert max(others) < min(said[item].chance for item in kin) / 2
    assert segments.opinion("never described") == {}


def test_it_does_not_matter_when_a_profile_comes() -> None:
    some = events()
    _, before = of([*USERS, "u100"], some)
    _, amid = of([*USERS, "u100"], some, at=len(some) // 2)
    _, after = of([*reversed(USERS), "u100"], some, at=len(some))
    expected = {item: said.chance for item, said in before.opinion("u100").items()}
    for segments in (amid, after):
        chances = {item: said.chance for item, said in segments.opinion("u100").items()}
        assert chances == pytest.approx(expected, rel=0.05, abs=1e-3)


def test_who_is_forgotten_leaves_nothing_behind() -> None:
    some = events()
    recommender, segments = of([*USERS, "u100"], some, at=len(some))
    for user in USERS[1::2]:
        segments.forget(user, recommender)
    _, without = of([*USERS[::2], "u100"], some, at=len(some))
    left = {item: said.chance for item, said in segments.opinion("u100").items()}
    assert left == pytest.approx(
        {item: said.chance for item, said in without.opinion("u100").items()}
    )
    assert (len(segments), segments.facts) == (31, 4)
    for user in [*USERS, "u100"]:
        segments.forget(user, recommender)
    assert (len(segments), segments.facts) == (0, 0)


def test_a_new_profile_replaces_the_old_one() -> None:
    recommender, segments = of([*USERS, "u100"], events())
    segments.describe("u100", facts("u101"), recommender)
    assert next(iter(segments.opinion("u100").values())).text.endswith(("country FR", ""))
    assert len(segments) == 61


def test_what_few_people_took_is_not_told_to_a_stranger() -> None:
    recommender, segments = Recommender(), Segments()
    secret = [Fact("employer", "the only shop in town")]
    for n in range(LEAST_PEOPLE - 1):
        segments.describe(f"u{n}", secret, recommender)
    segments.describe("stranger", secret, recommender)
    learn(recommender, segments, [(f"u{n}", "private", NOW) for n in range(LEAST_PEOPLE - 1)])
    assert segments.opinion("stranger") == {}
    segments.describe("one more", secret, recommender)
    learn(recommender, segments, [("one more", "private", NOW)])
    assert list(segments.opinion("stranger")) == ["private"]


def test_one_person_alone_makes_nothing_popular() -> None:
    recommender, segments = of([*USERS, "u100"], events())
    learn(recommender, segments, [("u0", "spam", NOW + DAY + n) for n in range(2000)])
    said = segments.opinion("u100")
    assert "spam" not in said or said["spam"].chance < said["DE0"].chance / 2


def test_what_was_taken_long_ago_counts_little() -> None:
    recommender, segments = of([*USERS, "u100"], events())
    learn(
        recommender,
        segments,
        [(user, f"new{n % 3}", NOW + 365 * DAY + n) for n, user in enumerate(USERS)],
    )
    assert {item[:3] for item in list(segments.opinion("u100"))[:3]} == {"new"}


def test_facts_are_bounded_and_so_are_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.segments.MOST_FACTS", 30)
    monkeypatch.setattr("models.segments.MOST_VALUES", 10)
    recommender, segments = Recommender(), Segments(most_people=40)
    for n in range(100):
        segments.describe(f"u{n}", [Fact("id", str(n)), Fact(f"name{n}", "x")], recommender)
    assert len(segments) == 40
    assert "u0" not in segments
    assert segments.facts <= 30


def test_an_endless_stream_of_names_leaves_memory_as_it_was() -> None:
    recommender, segments = Recommender(), Segments(most_people=10)

    def held_after(first: int, last: int) -> int:
        """Bytes held once each of these people was described by a name of their own."""
        for n in range(first, last):
            segments.describe(f"u{n}", [Fact(f"name{n}", "x")], recommender)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = held_after(0, 3_000)
        assert held_after(3_000, 9_000) < before + 50_000
    finally:
        tracemalloc.stop()


def test_the_segments_part_falls_with_every_event() -> None:
    shares = [share_of_segments(events, 3) for events in range(5)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.5
    assert shares[3:] == [0, 0]
    assert share_of_segments(0, 0) == 0


def test_a_reason_repeats_no_more_than_the_beginning_of_a_long_fact() -> None:
    recommender, segments = Recommender(), Segments()
    users = range(2 * LEAST_PEOPLE)
    for n in users:
        segments.describe(f"u{n}", [Fact("plan" * 30, "\x01" * 4_000)], recommender)
        segments.describe(f"v{n}", [Fact("plan", "none")], recommender)
    taken = {"u": "tea", "v": "cup"}
    learn(recommender, segments, [(f"{v}{n}", taken[v], NOW + n) for n in users for v in taken])
    text = segments.opinion("u0")["tea"].text
    assert text.startswith("Popular among people like you: planplan")
    assert len(text) < 120
