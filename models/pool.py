"""Blending what others say into the engine's list, for those of whom little is known.

The engine's list is a distribution p (the softmax of its scores: `models.ranker`), and so is an
opinion q. Both are blended by a linear opinion pool (Stone 1961):

    m(x) = (1 − w) p(x) + w q(x)

and ln m is the blended score, on the scale of the engine's own. w fades with every event h of the
user's that is known:

    w = first · max(0, 1 − h / few)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from models.ranking import Ranking, Reason, Recommended
from models.reasons import SOURCES, TRENDS, sentence


class Said(NamedTuple):
    """What an opinion says of an item: its part of the chance, and why, as a sentence; empty where
    there is nothing to say that the engine would not."""

    chance: float
    text: str


def fading(first: float, events: int, few: int) -> float:
    """w, the opinion's part in the list of a user with so many events; 0 from `few` on."""
    return first * max(0.0, 1 - events / few) if few else 0.0


def pooled(
    ranking: Ranking,
    source: str,
    opinion: Mapping[str, Said],
    share: float,
    n: int | None = None,
) -> Ranking:
    """The ranking with the opinion blended in, best first: its first `n`, or both together.

    source: whose opinion it is, for the reasons. opinion: chances that sum to 1, by item, of those
    only that may be shown to this user. share: w.
    """
    if not opinion or share <= 0:
        return ranking
    ours = {item.item_id: item for item in ranking.items}
    score = np.array([item.score for item in ranking.items], np.float64)
    chance = np.exp(score - score.max(initial=-np.inf))
    chance *= (1 - share) / max(chance.sum(), 1e-300)
    both = dict(zip(ours, chance.tolist(), strict=True))
    for item_id, said in opinion.items():
        both[item_id] = both.get(item_id, 0.0) + share * said.chance

    items: list[Recommended] = []
    for item_id in sorted(both, key=both.__getitem__, reverse=True)[:n]:
        if both[item_id] <= 0:
            break
        reason = ours[item_id].reason if item_id in ours else None
        found = opinion.get(item_id)
        if found and found.text and 2 * share * found.chance > both[item_id]:
            reason = Reason(source, share * found.chance / both[item_id], (), found.text)
        elif item_id not in ours:  # in the engine's words, who has none for what it did not list
            reason = Reason(SOURCES[TRENDS], 1.0, (), sentence(TRENDS, None))
        items.append(Recommended(item_id, math.log(both[item_id]), reason))
    return Ranking(ranking.user_id, tuple(items))
