"""Items by their titles, as people write them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from itertools import islice

from models.catalogue import ItemFacts

MOST_WORDS = 12
"""Longer titles are not looked for."""

MOST_OF_ONE = 4
"""Items of one title that are meant when it is named."""

_YEAR = re.compile(r" ?\(\d{4}\)$")
_LAST_ARTICLE = re.compile(r"^(.*), (?:the|an?)$")
_FIRST_ARTICLE = re.compile(r"^(?:the|an?) (?=\S)")
_NO_WORD = re.compile(r"[\W_]+")
_WORD = re.compile(r"[^\s]+")


class Titles:
    """A book of the catalogue's titles.

    Case, marks, a year in brackets at the end and an article at the beginning (or, as libraries
    write it, behind a comma at the end) make no difference.

    >>> book = Titles()
    >>> book.upsert([ItemFacts("7", title="Matrix, The (1999)"), ItemFacts("8", title="Moon")])
    >>> book.of("the matrix")
    ('7',)
    >>> book.at("Moon, not too sad")
    ('Moon', ('8',))
    """

    def __init__(self) -> None:
        self._items: dict[str, tuple[str, ...]] = {}
        self._key: dict[str, str] = {}

    def upsert(self, items: Iterable[ItemFacts]) -> None:
        """These items have these titles, and no others."""
        for facts in items:
            self.delete((facts.item_id,))
            key = _key(facts.title)
            if key and key.count(" ") < MOST_WORDS:
                self._key[facts.item_id] = key
                self._items[key] = (*self._items.get(key, ()), facts.item_id)

    def delete(self, items: Collection[str]) -> None:
        """These items have no titles any more."""
        for item in items:
            key = self._key.pop(item, None)
            if key is not None:
                left = tuple(other for other in self._items[key] if other != item)
                if left:
                    self._items[key] = left
                else:
                    del self._items[key]

    def of(self, title: str) -> tuple[str, ...]:
        """The items of this title, none if there are none."""
        return self._items.get(_key(title), ())[:MOST_OF_ONE]

    def at(self, text: str) -> tuple[str, tuple[str, ...]]:
        """The longest title that the text begins with, as it stands there, and its items."""
        ends = [word.end() for word in islice(_WORD.finditer(text), MOST_WORDS)]
        for end in reversed(ends):
            title = text[:end].rstrip(".,;:!?)")
            if items := self.of(title):
                return title, items
        return "", ()


def _key(title: str) -> str:
    # Single blanks first: on a run of them, looking for the year would take its length squared.
    text = _YEAR.sub("", " ".join(title.split())).casefold()
    if found := _LAST_ARTICLE.match(text):
        text = found[1]
    return _FIRST_ARTICLE.sub("", _NO_WORD.sub(" ", text).strip())
