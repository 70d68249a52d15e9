"""What lies nearest to a query, of what may be shown."""

from __future__ import annotations

import asyncio
from collections.abc import Set
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from models.catalogue import Choice
from models.content.likeness import Likeness
from models.content.words import CONSIDERED
from models.index import Nearest
from streams.engine import Engine
from streams.replica import Replica

_FEW = 4096
"""So few items are compared one by one, wherever they lie."""
_WIDER = 8
"""Times as many are searched for where most of those found may not be shown."""
_JUDGED_AT_ONCE = 1024
"""Items: a fraction of a millisecond of the engine's time, between chunks of events."""


async def nearest_shown(
    engine: Engine,
    likeness: Likeness,
    query: NDArray[np.float32],
    user: str,
    *,
    only: Choice,
    exclude: Set[str],
) -> Nearest:
    """At most CONSIDERED items that this user may be shown, the nearest first; at least half as
    many, if there are.

    query: float32 [dimensions]. only: the items to choose from. exclude: items left out.

    Where few items fit, these are compared. Of many, the nearest are looked at, however far they
    lie, until enough of them may be shown.
    """
    few = await engine.run(lambda replica: replica.recommender.fitting(only, _FEW))
    if few is not None:
        (near,) = await asyncio.to_thread(
            likeness.nearest, query[None], CONSIDERED, exclude=exclude, only=few
        )
        return near
    most = CONSIDERED
    while True:
        (near,) = await asyncio.to_thread(likeness.nearest, query[None], most, exclude=exclude)
        shown = await _shown(engine, near, user, only)
        if len(shown) >= CONSIDERED // 2 or most >= len(likeness):
            return shown
        most *= _WIDER


async def _shown(engine: Engine, near: Nearest, user: str, only: Choice) -> Nearest:
    """The first CONSIDERED that may be shown."""
    shown: Nearest = []
    for at in range(0, len(near), _JUDGED_AT_ONCE):
        some = near[at : at + _JUDGED_AT_ONCE]
        names = [name for name, _ in some]

        def may_see(replica: Replica, names: list[str] = names) -> list[bool]:
            return replica.recommender.may_see(user, names, only)

        shown += compress(some, await engine.run(may_see))
        if len(shown) >= CONSIDERED:
            break
    return shown[:CONSIDERED]
