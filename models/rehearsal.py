"""Made-up events that run every kernel once, with the types that real ones have."""

from __future__ import annotations

from collections.abc import Callable

from models.catalogue import ItemFacts
from models.interactions import Interactions, Kind
from models.lists import compact, new_lists
from models.recommender import Recommender
from models.settings import EngineSettings


def steps() -> list[tuple[str, Callable[[], object]]]:
    """What is to be built, in order: a name, and how to run it."""
    recommender = Recommender(EngineSettings(max_users=16, max_items=16))
    return [
        ("learning and ranking", lambda: recommender.rank_and_learn(_events(0))),
        ("requests", lambda: recommender.answer("u1", 1e6, 3, context_items=["i2"])),
        ("catalogue", lambda: recommender.upsert_items([ItemFacts("i3", available=False)])),
        ("content", lambda: recommender.link_items(["i3"], [[("i4", 0.5)]])),
        ("tastes", lambda: recommender.user_vector("u1")),
        ("making room", lambda: recommender.learn(_events(50))),
        ("moving lists together", lambda: compact(new_lists(1, 1))),
        ("forgetting", lambda: recommender.forget("u51")),
    ]


def _events(first: int) -> Interactions:
    rows = [
        (
            f"u{first + k % 9}",
            f"i{first + k % 13}",
            Kind.DISLIKE if k % 11 == 10 else Kind.VIEW,
            None,
            60.0 * k,
        )
        for k in range(60)
    ]
    return Interactions.of(rows)
