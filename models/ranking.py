"""The engine's answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an item is in the list.

    source: the source without whose evidence the item's score would fall most, and its `share` of
    all the falls (0 to 1). because_of: the user's own items without which it would fall most,
    with their shares. text: the same as a sentence.
    """

    source: str
    share: float
    because_of: tuple[tuple[str, float], ...]
    text: str


@dataclass(frozen=True, slots=True)
class Recommended:
    """One item of a list; a higher score is better, comparable within one list only."""

    item_id: str
    score: float
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Ranking:
    """A user's list, best first."""

    user_id: str
    items: tuple[Recommended, ...]
