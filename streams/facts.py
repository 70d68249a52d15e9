"""What a message of the catalogue says of an item, as the engine takes it."""

from __future__ import annotations

import hashlib

from models.catalogue import ItemFacts, OwnImage
from schemas import Item


def facts_of(item: Item, offset: int | None = None) -> ItemFacts:
    """The part of an `Item` that the engine learns from. offset: of its record, where there is one;
    a picture in it stays there until it is encoded."""
    image = None
    if item.image and offset is not None:
        image = OwnImage(hashlib.blake2b(item.image, digest_size=16).hexdigest(), offset)
    return ItemFacts(
        item_id=item.item_id,
        title=item.title,
        text=item.text,
        categories=tuple(item.categories),
        attributes=item.attributes,
        available=item.available,
        image_url=item.image_url or "",
        image=image,
    )
