"""The wish to be forgotten."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from schemas.limits import Id
from schemas.timestamps import AS_RECORDED, Timestamp


class Erasure(Struct, frozen=True, omit_defaults=True):
    """A record on `erasures`, keyed by user_id."""

    user_id: Annotated[Id, Meta(description="the user to forget, as text of 1 to 256 characters")]
    ts: Timestamp = AS_RECORDED
