"""What editors chose, for those of whom little is known.

The editors' lists, each counting alike, are a distribution

    q(x) = mean over the lists of  weight(x) / Σ weight

that is blended into the engine's list (`models.pool`), by FIRST for a user without events.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.pool import Said, fading, pooled
from models.ranking import Ranking, cut

FIRST = 0.5
"""The editors' part in the list of somebody who has done nothing yet."""

SOURCE = "editors"


@dataclass(frozen=True, slots=True)
class EditorsList:
    """A named list. weights: above 0, by item id. Shown while valid_from ≤ now < valid_until, in
    seconds since epoch."""

    name: str
    weights: Mapping[str, float]
    valid_from: float = -math.inf
    valid_until: float = math.inf

    def holds(self, now: float) -> bool:
        """Whether it is shown at this time."""
        return self.valid_from <= now < self.valid_until


def share_of_editors(events: int, few: int) -> float:
    """The editors' part in the list of a user with so many events; 0 from `few` on."""
    return fading(FIRST, events, few)


def blended(ranking: Ranking, lists: Sequence[EditorsList], share: float) -> Ranking:
    """The ranking with the lists blended in, best first, as long as all of both together.

    lists: with those items only that may be shown to this user. share: w.

    >>> from models.ranking import Recommended
    >>> engine = Ranking("ann", (Recommended("tea", 1.0, None), Recommended("cup", 0.0, None)))
    >>> winter = EditorsList("Winter", {"cup": 3.0, "scarf": 1.0})
    >>> [item.item_id for item in blended(engine, [winter], 0.5).items]
    ['cup', 'tea', 'scarf']
    >>> blended(engine, [winter], 0.5).items[0].reason.text
    'Chosen by the editors: Winter'
    """
    lists = [each for each in lists if each.weights]
    editors: dict[str, float] = {}
    strongest: dict[str, tuple[float, str]] = {}
    for each in lists:
        total = sum(each.weights.values())
        for item_id, weight in each.weights.items():
            part = weight / total / len(lists)
            editors[item_id] = editors.get(item_id, 0.0) + part
            strongest[item_id] = max(strongest.get(item_id, (0.0, "")), (part, each.name))
    opinion = {
        item_id: Said(chance, f"Chosen by the editors: {cut(strongest[item_id][1])}")
        for item_id, chance in editors.items()
    }
    return pooled(ranking, SOURCE, opinion, share)
