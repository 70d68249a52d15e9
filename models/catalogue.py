"""What is known of an item beside who took it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """One item of the catalogue. An item that is not `available` is never recommended."""

    item_id: str
    title: str = ""
    text: str = ""
    categories: tuple[str, ...] = ()
    available: bool = True
