"""Formats of the engine's arrays: which is written, and how those written before are taken up."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from models.lists import repacked
from models.numeric import narrowed
from models.saved import Arrays, LayoutError

FORMAT = 5
"""Rises when the arrays of an older version would mean something else.

What is to be done then: `python tests/models/stored_engines.py` stores an engine of the new format
for tests, and a step below turns one of the format before into it, where that can be done.
"""


def of_present_format(arrays: Arrays) -> Arrays:
    """The same engine in the present format.

    Raises:
        LayoutError: it is of a newer format, or of one that nothing is made of any more.
    """
    (written,) = arrays.get("format", np.zeros(1, np.int64)).tolist()
    oldest = min([*_STEPS, FORMAT])
    if not oldest <= written <= FORMAT:
        raise LayoutError(
            f"it is of format {written}; the oldest that this version reads is {oldest}, the "
            f"newest {FORMAT}"
        )
    for older in range(written, FORMAT):
        arrays = _STEPS[older](arrays)
    return arrays


def _halved(arrays: Arrays) -> Arrays:
    """Format 4: weights of rows and vectors of items were float32, the weights words beside the
    neighbour's number; lists doubled when they grew; trends knew each item's place."""
    made = dict(arrays)
    for vectors in ("embeddings.into", "embeddings.out", "ranker.into", "ranker.out"):
        made[f"state.{vectors}"] = narrowed(arrays[f"state.{vectors}"])
    rows = "state.covisitation.rows"
    entries = arrays[f"{rows}.words"]
    made[f"{rows}.words"] = entries[:, :1]
    made[f"{rows}.halves"] = narrowed(entries[:, 1:].view(np.float32))
    for lists in (rows, "state.users.history", "state.users.refused", "state.neighbours.visits"):
        words = made[f"{lists}.words"]
        halves = made.get(f"{lists}.halves", np.zeros((len(words), 0), np.uint16))
        start, room = arrays[f"{lists}.start"], arrays[f"{lists}.room"]
        packed = repacked(words, halves, start, arrays[f"{lists}.size"], room)
        made |= {f"{lists}.{name}": array for name, array in packed._asdict().items()}
    del made["state.trends.place"]
    decayed, listed = arrays["state.trends.decayed"], arrays["state.trends.listed"]
    made["state.trends.level"] = np.take_along_axis(decayed.T, listed, axis=1)
    return made


#: By format, what makes the next one of it. Without a step, nothing older is read.
_STEPS: Mapping[int, Callable[[Arrays], Arrays]] = {4: _halved}
