"""What a message of the catalogue says of an item, as the engine takes it."""

from __future__ import annotations

from models.catalogue import ItemFacts
from schemas import Item


def facts_of(item: Item) -> ItemFacts:
    """The part of an `Item` that the engine learns from."""
    return ItemFacts(
        item_id=item.item_id,
        title=item.title,
        text=item.text,
        categories=tuple(item.categories),
        attributes=item.attributes,
        available=item.available,
        image_url=item.image_url or "",
    )
