"""The engine's answer.

Structs of msgspec, since over thirty are made for every list: one costs a sixteenth of a frozen
dataclass. They refer to nothing that could refer to them, so Python's collector passes them over.
They are published as they are (`streams.messages`): their fields are those of the message.
"""

from __future__ import annotations

from msgspec import Struct

SAID_CHARS = 80
"""Of each title, name or question that a reason's text repeats: others wrote them, as long as they
liked, and a list of a hundred items is one record."""


class Because(Struct, frozen=True, gc=False):
    """One of the user's own items that led to the recommended one; its share of that (0 to 1)."""

    item_id: str
    share: float


class Reason(Struct, frozen=True, gc=False):
    """Why an item is in the list.

    source: the source without whose evidence the item's score would fall most, and its `share` of
    all the falls (0 to 1). because_of: the user's own items without which it would fall most,
    strongest first. text: the same as a sentence.
    """

    source: str
    share: float
    because_of: tuple[Because, ...]
    text: str


class Recommended(Struct, frozen=True, gc=False):
    """One item of a list; a higher score is better, comparable within one list only."""

    item_id: str
    score: float
    reason: Reason | None


class Ranking(Struct, frozen=True, gc=False):
    """A user's list, best first.

    tried: whether the last item is there because few have taken it (`models.newcomers`).
    """

    user_id: str
    items: tuple[Recommended, ...]
    tried: bool = False


def cut(said: str) -> str:
    """What a reason's text repeats of it.

    >>> cut("tea")
    'tea'
    >>> len(cut("tea " * 100))
    80
    """
    return said if len(said) <= SAID_CHARS else said[: SAID_CHARS - 1].rstrip() + "…"
