"""What is known of a user from registration."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from schemas.limits import (
    MAX_DETAILS,
    MAX_FACT_CHARS,
    MAX_INTERESTS,
    Detail,
    DetailName,
    Id,
)
from schemas.timestamps import AS_RECORDED, Timestamp

Fact = Annotated[str, Meta(min_length=1, max_length=MAX_FACT_CHARS)]


class Profile(Struct, frozen=True, omit_defaults=True):
    """A record on `profiles`, keyed by user_id; a record without a value forgets the profile."""

    user_id: Annotated[
        Id,
        Meta(description="whose profile it is, and the record's key: text of 1 to 256 characters"),
    ]
    country: Annotated[
        Fact | None,
        Meta(description="where the user lives, as text of 1 to 256 characters, such as DE"),
    ] = None
    age_band: Annotated[
        Fact | None,
        Meta(description='text such as "25-34"; send a band rather than a date of birth'),
    ] = None
    interests: Annotated[
        Annotated[list[Fact], Meta(max_length=MAX_INTERESTS)],
        Meta(description="a list of text: what the user said to be interested in"),
    ] = field(default_factory=list)
    attributes: Annotated[
        Annotated[dict[DetailName, Detail], Meta(max_length=MAX_DETAILS)],
        Meta(
            description="whatever else groups people, as an object of text, numbers, true and "
            "false, such as a plan; never what identifies them, such as a name or an address"
        ),
    ] = field(default_factory=dict)
    ts: Timestamp = AS_RECORDED
