"""Learning late: the same as in time, only later, while users' own histories are up to date."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation import EventLog
from models.evaluation.late import Late
from models.interactions import Interactions, Kind
from models.recommender import Recommender


def shop(events: int = 600) -> EventLog:
    rng = np.random.default_rng(5)
    return EventLog.of(
        Interactions.of(
            (
                f"u{rng.integers(40)}",
                f"i{min(rng.zipf(1.3), 60)}",
                Kind(int(rng.choice([0, 0, 0, 1, 6]))),
                None,
                600.0 * t,
            )
            for t in range(events)
        )
    )


@pytest.mark.parametrize("delay", [1, 7, 100, 300])
def test_in_the_end_it_has_learned_what_an_engine_in_time_had_learned_then(delay: int) -> None:
    log = shop()
    late, in_time = Recommender(seed=3), Recommender(seed=3)
    evaluated = Late(late, delay)
    for part in log.chunks(50):
        evaluated.rank_and_learn(log.rows(part))
    assert len(log) - 1.1 * delay - 1 <= late.events <= len(log) - delay
    in_time.learn(log.rows(slice(0, late.events)))
    late.exchange_histories(in_time.exchange_histories())
    users = log.user_names
    assert late.recommend(users, 1e6) == in_time_lists(log, late.events, users)


def in_time_lists(log: EventLog, events: int, users: list[str]) -> list[object]:
    engine = Recommender(seed=3)
    engine.learn(log.rows(slice(0, events)))
    return list(engine.recommend(users, 1e6))


def test_a_user_is_not_offered_again_what_they_took_a_moment_ago() -> None:
    rows = [(f"u{n}", item, Kind.VIEW, None, float(n)) for n in range(40) for item in ("a", "b")]
    log = EventLog.of(Interactions.of([*rows, ("x", "a", Kind.VIEW, None, 99.0)]))
    engine = Late(Recommender(), 20)
    engine.rank_and_learn(log.rows(slice(0, 81)))
    asked = Interactions.of([("x", "b", Kind.VIEW, None, 100.0)])
    shown = engine.item_ids(engine.rank_and_learn(asked).top_items[0][:1])
    assert shown == ["b"]


def test_what_had_not_been_learned_is_missed() -> None:
    rows = [(f"u{n}", "a", Kind.VIEW, None, float(n)) for n in range(10)]
    ranks = Late(Recommender(), 100).rank_and_learn(Interactions.of(rows)).ranks
    assert (ranks > 1e6).all()


def test_a_delay_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="delay"):
        Late(Recommender(), 0)
