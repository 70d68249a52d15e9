"""What was said in a session, for as long as it is going on.

Turn by turn, with what is wanted as a vector w (of length 1) and what is not as vectors n with
their weights γ (`models.content.utterance`), a conversation adds up to one query (Rocchio 1971, who
moved a query towards what was found relevant and away from what was not):

    q = Σ_k FADE^k w_k − Σ_j FADE^j γ_j n_j

where k counts the later turns that wanted something: a turn that only refuses refines what was
asked before and does not age it. q is not brought to length 1: each statement is evidence of its
own, and two say more than one (`models.content.words`). Where nothing was wanted yet, the
catalogue's mean vector stands in for it: anything at all, but not that.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
"""float32 [dimensions]."""

FADE = 0.8
"""How much of what was said counts after another turn."""

MOST_REFUSALS = 16
"""Refused things remembered of one conversation, the newest."""

MOST_LEFT_OUT = 500
"""Items remembered as not to be shown again, the newest."""


@dataclass(slots=True)
class Conversation:
    """wanted: Σ FADE^k w_k, None where nothing was wanted yet. unwanted: vectors and what they
    count now. words: the texts of what was wanted, newest first, as long as they count. listed: the
    items of the last answer. left_out: items not to be answered with. newest: the partition and
    offset of the newest turn."""

    wanted: Vector | None = None
    unwanted: list[tuple[Vector, float]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    listed: tuple[str, ...] = ()
    left_out: dict[str, None] = field(default_factory=dict)
    newest: tuple[int, int] = (-1, -1)

    def takes(self, partition: int, offset: int) -> bool:
        """Note that the turn at this place has come; whether it is to be heard. A session's turns
        are in one partition, and come again where that was moved before they were committed."""
        if partition == self.newest[0] and offset <= self.newest[1]:
            return False
        self.newest = partition, offset
        return True

    def hear(
        self, wanted: Vector | None, unwanted: Iterable[tuple[Vector, float]], words: str = ""
    ) -> None:
        """Take one turn. wanted: of any length; unwanted: with their γ."""
        if wanted is not None and (length := float(np.linalg.norm(wanted))) > 0:
            wanted = wanted / np.float32(length)
            before = self.wanted
            self.wanted = wanted if before is None else wanted + np.float32(FADE) * before
            self.unwanted = [(vector, FADE * weight) for vector, weight in self.unwanted]
            self.words = [words, *self.words][:3] if words else self.words
        self.unwanted = [*self.unwanted, *unwanted][-MOST_REFUSALS:]

    def leave_out(self, items: Iterable[str]) -> None:
        """Do not answer with these from now on."""
        for item in items:
            self.left_out.pop(item, None)
            self.left_out[item] = None
        for item in list(self.left_out)[: max(0, len(self.left_out) - MOST_LEFT_OUT)]:
            del self.left_out[item]

    def query(self, mean: Vector) -> Vector:
        """q. mean: the catalogue's."""
        q = mean.copy() if self.wanted is None else self.wanted.copy()
        for vector, weight in self.unwanted:
            q -= np.float32(weight) * vector
        return q


class Conversations:
    """The conversations that are going on, by user and session.

    One is forgotten when nothing was said in it for `seconds`, and the longest silent one when
    there are more than `most`. Times are seconds on any one clock.
    """

    def __init__(self, seconds: float, most: int = 10_000) -> None:
        self._seconds, self._most = seconds, most
        self._held: OrderedDict[tuple[str, str], tuple[float, Conversation]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def of(self, user: str, session: str | None, now: float) -> Conversation:
        """The conversation, a new one if there is none; one that nobody keeps without a session."""
        self.expire(now)
        if session is None:
            return Conversation()
        _, conversation = self._held.pop((user, session), (now, None))
        conversation = conversation or Conversation()
        self._held[user, session] = now, conversation
        if len(self._held) > self._most:
            self._held.popitem(last=False)
        return conversation

    def expire(self, now: float) -> None:
        """Forget those in which nothing was said for long."""
        while self._held:
            since, _ = next(iter(self._held.values()))
            if now - since <= self._seconds:
                break
            self._held.popitem(last=False)

    def forget(self, users: Sequence[str]) -> None:
        """Forget all conversations of these users."""
        for key in [key for key in self._held if key[0] in users]:
            del self._held[key]
