"""What somebody asks for in words: the part that is wanted, and the parts that are not.

An utterance is read from left to right. An English word of refusal opens an unwanted part, which
reaches to the next punctuation mark, to a word that turns back (*but*, *with*, *more*, …) or to the
next refusal; everything else is wanted. How much an unwanted part counts depends on the word:

    RULED_OUT  no, not, without, nothing, never, except, don't want, …
    LESS       less, fewer, not too, not so, not very

*That*, *those*, *it* and their like mean what was listed last: "less of that" is against it, "more
like these" for it. A title is recognised where it is quoted, or named with a capital letter after
*like* or *similar to* (`models.content.titles`), so that "No Country for Old Men" refuses nothing.

Other languages have no such words here: then the whole is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from models.content.conversation import MOST_REFUSALS
from models.content.text import plain
from models.content.titles import Titles

RULED_OUT, LESS = 0.5, 0.25
"""γ of an unwanted part (`models.content.words`)."""

_LESS = r"less|fewer|not (?:too|so|very|as|overly)"
_RULED_OUT = (
    r"(?:i )?(?:do not|don['’]?t) (?:want|like|need|show me|give me)(?: any(?:thing)?)?|"
    r"anything but|other than|except(?: for)?|excluding|without|avoid|nothing|never|not|"
    r"no more|no|(?:i )?hate"
)
_REFUSAL = re.compile(
    rf"\b(?:(?P<less>{_LESS})|(?P<ruled_out>{_RULED_OUT}))\b(?! (?:only|just|but|least)\b)", re.I
)
_TURN = re.compile(
    r"[,.;:!?()\n–—]|"
    r"\b(?:but|yet|though|although|however|instead|please|thanks|(?:and )?(?:with|more))\b",
    re.I,
)
#: Refused as a whole, commas and all: "no horror, violence or gore".
_LIST = re.compile(r"\s*(?:any )?[\w'’-]+(?:, [\w'’-]+)+,? (?:or|nor) [\w'’-]+")
_LINKING = r"and|or|nor|but|yet|though|although|however|instead|please|thanks"
_SMALL = r"of|like|any|too|more|similar to|about|a|an|the"
_EDGE = " ,.;:!?()–—-"
#: What says nothing at either end of a part; and small words at its beginning.
_FIRST_LOOSE = re.compile(rf"^(?:(?:{_LINKING})\b|[{_EDGE}])+", re.I)
_LAST_LOOSE = re.compile(rf"\b(?:{_LINKING})$", re.I)
_FIRST_SMALL = re.compile(rf"^(?:(?:{_SMALL})\b|[{_EDGE}])+", re.I)
_THAT = r"(?:that|this|those|these|them|it|the (?:same|last))(?: (?:one|ones|kind|sort))?"
_ONLY_THAT = re.compile(rf"^{_THAT}$", re.I)
_MORE_OF_THAT = re.compile(
    rf"\b(?:more (?:of|like)|similar to|something like|like) {_THAT}"
    r"(?=\s*(?:$|[,.;:!?()–—]|(?:but|and|with|only|just)\b))",
    re.I,
)
_QUOTED = re.compile(r"[\"“„«]([^\"“”„«»]{1,200})[\"”“»]|(?<!\w)['‘]([^'‘’]{1,200})['’](?!\w)")
_NAMED = re.compile(r"\b(?:like|similar to|such as|as in) (?=[A-Z0-9À-Þ])")
_BEFORE_EXAMPLE = re.compile(r"\b(?:like|similar to|such as|as in)\s*$", re.I)
#: So far from its end what ends a text is looked for, as from its beginning it would take long.
_NEAR_END = 20
_MARK = re.compile("\ue000(\\d+)\ue001")


@dataclass(frozen=True, slots=True)
class Part:
    """text: to be encoded, empty where there is nothing but names. items: those whose titles it
    names. that: whether it means what was listed last. weight: γ of an unwanted part, 1 of the
    wanted one. said: all of it, for people."""

    text: str
    items: tuple[str, ...] = ()
    that: bool = False
    weight: float = 1.0
    said: str = ""

    def __bool__(self) -> bool:
        """Whether it says anything."""
        return bool(self.text or self.items or self.that)


@dataclass(frozen=True, slots=True)
class Utterance:
    """examples: items named as what the answer should be like, which are no answer themselves."""

    wanted: Part
    unwanted: tuple[Part, ...] = ()
    examples: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether it says anything."""
        return bool(self.wanted or self.unwanted)


def understood(query: str, titles: Titles | None = None) -> Utterance:
    """What a query says.

    >>> said = understood("a slow science-fiction film, not too sad and no horror")
    >>> said.wanted.text
    'a slow science-fiction film'
    >>> [(part.text, part.weight) for part in said.unwanted]
    [('sad', 0.25), ('horror', 0.5)]
    >>> [(part.that, part.weight) for part in understood("less of that").unwanted]
    [(True, 0.25)]
    """
    text, named, examples = _without_titles(plain(query), titles)
    wanted, unwanted = [], []
    at = 0
    while found := _REFUSAL.search(text, at):
        wanted.append(text[at : found.start()])
        begin = found.end()
        listed = _LIST.match(text, begin)
        after = listed.end() if listed else begin
        refused = _REFUSAL.search(text, after)
        at = refused.start() if refused else len(text)
        if turn := _TURN.search(text, after, at):
            at = turn.start()
        weight = LESS if found["less"] else RULED_OUT
        unwanted.append(_part(text[begin:at], named, weight=weight))
    wanted.append(text[at:])
    more = any(_MORE_OF_THAT.search(piece) for piece in wanted)
    wanted = [_tidy(_MORE_OF_THAT.sub(" ", piece)) for piece in wanted]
    return Utterance(
        _part(" ".join(filter(None, wanted)), named, that=more, is_wanted=True),
        # No more than are remembered: each is a text to encode, while others wait.
        tuple(filter(None, unwanted))[-MOST_REFUSALS:],
        examples,
    )


def _part(
    text: str,
    named: list[tuple[str, tuple[str, ...]]],
    *,
    weight: float = 1.0,
    that: bool = False,
    is_wanted: bool = False,
) -> Part:
    """Of a piece of text with marks in the place of titles."""
    text = _tidy(text) if is_wanted else _bare(text)
    items = [item for mark in _MARK.findall(text) for item in named[int(mark)][1]]
    said = _MARK.sub(lambda mark: named[int(mark[1])][0], text)
    if _ONLY_THAT.match(text) and not is_wanted:
        return Part("", that=True, weight=weight, said=said)
    # A title alone is what the item says, not what the title's words would mean.
    alone = not _bare(_MARK.sub(" ", text))
    said = said or ("more of that" if that else "")
    return Part("" if alone else said, tuple(dict.fromkeys(items)), that, weight, said)


def _without_titles(
    text: str, titles: Titles | None
) -> tuple[str, list[tuple[str, tuple[str, ...]]], tuple[str, ...]]:
    """The text with marks for titles; the titles and their items; those that are examples."""
    named: list[tuple[str, tuple[str, ...]]] = []
    examples: list[str] = []
    if titles is None:
        return text, named, ()

    def mark(title: str, items: Collection[str]) -> str:
        named.append((title, tuple(items)))
        return f"\ue000{len(named) - 1}\ue001"

    def quoted(found: re.Match[str]) -> str:
        title = found[1] or found[2]
        items = titles.of(title)
        begin = found.start()
        if _BEFORE_EXAMPLE.search(text, max(0, begin - _NEAR_END), begin):
            examples.extend(items)
        return mark(title, items) if items else found[0]

    marked = _QUOTED.sub(quoted, text.replace("\ue000", " "))
    at = 0
    while found := _NAMED.search(marked, at):
        at = found.end()
        title, items = titles.at(marked[at:])
        if items:
            examples.extend(items)
            marked = marked[:at] + mark(title, items) + marked[at + len(title) :]
    return marked, named, tuple(dict.fromkeys(examples))


def _tidy(text: str) -> str:
    text = _FIRST_LOOSE.sub("", text.strip()).rstrip(_EDGE)
    while found := _LAST_LOOSE.search(text, max(0, len(text) - _NEAR_END)):
        text = text[: found.start()].rstrip(_EDGE)
    return text.strip()


def _bare(text: str) -> str:
    return _FIRST_SMALL.sub("", _tidy(text)).strip()
