"""Made-up events that run every kernel once, with the types that real ones have."""

from __future__ import annotations

from collections.abc import Callable


from models.interactions import Interactions, Kind
from models.recommender import Recommender


def steps() -> list[tuple[str, Callable[[], object]]]:
    """What is to be built, in order: a name, and how to run it."""
    recommender = Recommender()
    return [
        ("learning and ranking", lambda: recommender.rank_and_learn(_events())),
        ("recommending", lambda: recommender.recommend(["u1"], 1e6, 3)),
        ("requests", lambda: recommender.answer("u1", 1e6, 3, context_items=["i2"])),
        ("catalogue", lambda: recommender.delete_items(["i3"])),
        ("forgetting", lambda: recommender.forget("u1")),
    ]


def _events() -> Interactions:
    rows = [
        (f"u{k % 3}", f"i{k % 7}", Kind.DISLIKE if k % 11 == 10 else Kind.VIEW, None, 60.0 * k)
        for k in range(60)
    ]
    return Interactions.of(rows)


