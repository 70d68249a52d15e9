"""Formats of the engine's arrays: which is written, and how those written before are taken up."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from models.saved import Arrays, LayoutError

FORMAT = 4
"""Rises when the same events would give another state.

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


#: By format, what makes the next one of it. Without a step, nothing older is read.
_STEPS: Mapping[int, Callable[[Arrays], Arrays]] = {}
