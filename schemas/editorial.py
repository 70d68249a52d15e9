"""What editors chose for those who are new."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from schemas.limits import MAX_PICKS, Id
from schemas.timestamps import AS_RECORDED, Instant, Timestamp, planned

_WHEN = 'whole milliseconds since 1970 or RFC 3339 text ("2026-01-01T00:00:00Z")'


class Pick(Struct, frozen=True, omit_defaults=True):
    """An item of an editor's list."""

    item_id: Annotated[Id, Meta(description="the item")]
    weight: Annotated[
        Annotated[float, Meta(gt=0, le=1e6)],
        Meta(description="its part beside the other picks: above 0, up to 1,000,000"),
    ] = 1.0


class Editorial(Struct, frozen=True, omit_defaults=True):
    """A record on `editorial`, keyed by name; a record without a value withdraws the list."""

    name: Annotated[Id, Meta(description="the list's name, which the reason given shows")]
    items: Annotated[
        Annotated[list[Pick], Meta(min_length=1, max_length=MAX_PICKS)],
        Meta(description='a list of picks, such as {"item_id": "sku-204", "weight": 2}'),
    ]
    valid_from: Annotated[
        Instant | None,
        Meta(description=f"{_WHEN}: shown from then on; at once if left out"),
    ] = None
    valid_until: Annotated[
        Instant | None,
        Meta(description=f"{_WHEN}: shown until then; for ever if left out"),
    ] = None
    ts: Timestamp = AS_RECORDED

    def __post_init__(self) -> None:
        for name in ("valid_from", "valid_until"):
            if (when := getattr(self, name)) is not None:
                # The message is frozen for everybody else; this is still its making.
                force_setattr(self, name, planned(name, when))
        if (self.valid_until is not None and self.valid_from is not None) and (
            self.valid_until <= self.valid_from
        ):
            raise ValueError("valid_until must be later than valid_from")
