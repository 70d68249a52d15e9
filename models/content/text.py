"""The text by which an item is understood."""

from __future__ import annotations

import hashlib
import html
import re

from models.catalogue import ItemFacts

MOST_CHARS = 1_000
"""Models of sentences read some hundred words; what comes later they would cut off themselves."""

_TAG = re.compile(r"<[^<>]{1,1000}>")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ufeff]+")


def text_of(facts: ItemFacts, most_chars: int = MOST_CHARS) -> str:
    """Title, categories and text as plain prose; empty where there is nothing to read.

    Markup, control characters and runs of blanks are taken out.
    """
    parts = (facts.title, ", ".join(filter(None, facts.categories)), facts.text[: 8 * most_chars])
    return ". ".join(filter(None, map(plain, parts)))[:most_chars]


def content_key(text: str, encoder: str, image: str = "") -> bytes:
    """16 bytes that differ where the text, the image (its URL or digest) or the encoder does: what
    need not be encoded again."""
    said = f"{encoder}\0{text}" + (f"\0{image}" if image else "")
    return hashlib.blake2b(said.encode(errors="replace"), digest_size=16).digest()


def plain(text: str) -> str:
    """The text without markup, control characters and runs of blanks."""
    return _BLANK.sub(" ", html.unescape(_TAG.sub(" ", text))).strip()
