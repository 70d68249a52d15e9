"""Something that can be recommended."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from schemas.limits import (
    MAX_CATEGORIES,
    MAX_DETAILS,
    MAX_IMAGE_BYTES,
    MAX_TEXT_CHARS,
    MAX_TITLE_CHARS,
    MAX_URL_CHARS,
    Category,
    Detail,
    DetailName,
    Id,
)
from schemas.timestamps import AS_RECORDED, Timestamp


class Item(Struct, frozen=True, omit_defaults=True):
    """A record on `items`, keyed by item_id; a record without a value deletes the item."""

    item_id: Annotated[Id, Meta(description="the item's own id, as text of 1 to 256 characters")]
    title: Annotated[
        Annotated[str, Meta(max_length=MAX_TITLE_CHARS)],
        Meta(description="its name for people: up to 4,000 characters"),
    ] = ""
    text: Annotated[
        Annotated[str, Meta(max_length=MAX_TEXT_CHARS)],
        Meta(description="what it is, in up to 200,000 characters; it places the item while new"),
    ] = ""
    categories: Annotated[
        Annotated[list[Category], Meta(max_length=MAX_CATEGORIES)],
        Meta(description="a list of text: the groups it belongs to, by which requests can choose"),
    ] = field(default_factory=list)
    attributes: Annotated[
        Annotated[dict[DetailName, Detail], Meta(max_length=MAX_DETAILS)],
        Meta(description="whatever else is known, as an object of text, numbers, true and false"),
    ] = field(default_factory=dict)
    available: Annotated[
        bool,
        Meta(
            description="true or false: whether it may be recommended now; what it taught is kept"
        ),
    ] = True
    ts: Timestamp = AS_RECORDED
    image_url: Annotated[
        Annotated[str, Meta(max_length=MAX_URL_CHARS)] | None,
        Meta(
            description="where a picture of it is, http(s) or file, up to 2,048 characters; a new "
            "picture needs a new URL"
        ),
    ] = None
    image: Annotated[
        Annotated[bytes, Meta(max_length=MAX_IMAGE_BYTES)] | None,
        Meta(
            description="a picture of it, instead of a URL: a JPEG, PNG, WebP or GIF file of up to "
            "512 KiB, as base64"
        ),
    ] = None


def is_picture(data: bytes) -> bool:
    """Whether a file begins as pictures of these kinds do."""
    return data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a")) or (
        data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    )
