"""The check of a compacted topic's records, once for the whole group of workers.

What is sound reaches every worker through a follower (`streams.catalogue`, `streams.keyed`).
"""

from __future__ import annotations

import time

from schemas import Editorial, Item, Profile, Rejected, RejectReason, Rule
from streams.catalogue import key_text
from streams.intake import Decode, Intake
from streams.publisher import Publisher
from streams.settings import Settings
from streams.transport import Fetched


class KeyedPath:
    """Sets aside what no worker can use.

    what  a message is, as `item`
    key   the field that is the record's key, as `item_id`: under another one the record would
          outlive those that replace or delete it
    """

    def __init__(
        self,
        settings: Settings,
        intake: Intake,
        publisher: Publisher,
        decode: Decode[Item] | Decode[Rule] | Decode[Editorial] | Decode[Profile],
        *,
        what: str,
        key: str,
    ) -> None:
        self._settings, self._intake, self._publisher = settings, intake, publisher
        self._decode: Decode[object] = decode
        self._nameless = Rejected(
            RejectReason.INVALID,
            f"a null value deletes the {what} named by the record's key, and this record has no "
            f"key that is text; send the {key} as the key",
        )
        self._field = key
        self._miskeyed = Rejected(
            RejectReason.INVALID,
            f"the record's key is not its {key}, by which the {what} is replaced and deleted; send "
            f"the {key} as the key",
        )

    async def process(self, fetched: Fetched) -> None:
        """Take what was fetched; on return its dead letters are on the brokers."""
        now_ms = int(time.time() * 1000)
        described = [record for record in fetched.records if record.value is not None]
        taken, dead = self._intake.take(described, self._decode, now_ms)
        dead += [
            self._intake.reject(record, self._miskeyed, now_ms)
            for record, message in taken
            if key_text(record) != getattr(message, self._field)
        ]
        dead += [
            self._intake.reject(record, self._nameless, now_ms)
            for record in fetched.records
            if record.value is None and key_text(record) is None
        ]
        if dead:
            await self._publisher.publish(self._settings.topic("dead-letters"), dead)
