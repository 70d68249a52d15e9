"""What editors chose, for those of whom little is known.

Of a user with h events the engine knows little while h is small. Its list is a distribution p (the
softmax of its scores: `models.ranker`), and so are the editors' lists, each counting alike:

    q(x) = mean over the lists of  weight(x) / Σ weight

Both are blended by a linear opinion pool (Stone 1961) whose weight fades with what is known:

    m(x) = (1 − w) p(x) + w q(x)        w = FIRST · max(0, 1 − h / few)

and ln m is the blended score, on the scale of the engine's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.ranking import Ranking, Reason, Recommended

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
    """w, the editors' part in the list of a user with so many events; 0 from `few` on."""
    return FIRST * max(0.0, 1 - events / few) if few else 0.0


def blended(ranking: Ranking, lists: Sequence[EditorsList], share: float) -> Ranking:
    """The ranking with the lists blended in, best first, as long as all of both together.

    lists: with those items only that may be shown to this user. share: w.

    >>> engine = Ranking("ann", (Recommended("tea", 1.0, None), Recommended("cup", 0.0, None)))
    >>> winter = EditorsList("Winter", {"cup": 3.0, "scarf": 1.0})
    >>> [item.item_id for item in blended(engine, [winter], 0.5).items]
    ['cup', 'tea', 'scarf']
    >>> blended(engine, [winter], 0.5).items[0].reason.text
    'Chosen by the editors: Winter'
    """
    lists = [each for each in lists if each.weights]
    if not lists or share <= 0:
        return ranking
    ours = {item.item_id: item for item in ranking.items}
    score = np.array([item.score for item in ranking.items], np.float64)
    chance = np.exp(score - score.max(initial=-np.inf))
    engine = dict(zip(ours, (chance / max(chance.sum(), 1e-300)).tolist(), strict=True))
    editors: dict[str, float] = {}
    strongest: dict[str, tuple[float, str]] = {}
    for each in lists:
        total = sum(each.weights.values())
        for item_id, weight in each.weights.items():
            part = weight / total / len(lists)
            editors[item_id] = editors.get(item_id, 0.0) + part
            strongest[item_id] = max(strongest.get(item_id, (0.0, "")), (part, each.name))

    items: list[Recommended] = []
    for item_id in dict.fromkeys((*ours, *editors)):
        theirs = share * editors.get(item_id, 0.0)
        both = theirs + (1 - share) * engine.get(item_id, 0.0)
        if both <= 0:
            continue
        reason = ours[item_id].reason if item_id in ours else None
        if 2 * theirs > both:
            text = f"Chosen by the editors: {strongest[item_id][1]}"
            reason = Reason(SOURCE, theirs / both, (), text)
        items.append(Recommended(item_id, math.log(both), reason))
    return Ranking(ranking.user_id, tuple(sorted(items, key=lambda item: -item.score)))
