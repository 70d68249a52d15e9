"""Writing to a broker that has just closed the connection, on uvloop's event loop.

asyncio drops what is written to such a connection, or raises an `OSError`, which is what aiokafka
awaits; uvloop raises a `RuntimeError`. It ends whatever was about to send, aiokafka's refresher of
metadata among others, which nobody starts again: a worker whose broker came back then looks for its
coordinator for ever, and does not end on SIGTERM either (aio-libs/aiokafka, issue 1038). Here it is
the lost connection that it is.
"""

from __future__ import annotations

from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_send = AIOKafkaConnection.send


def expect_them() -> None:
    """Have every client of this process, of now and of later, take them as lost."""
    AIOKafkaConnection.send = _send_or_lose


def _send_or_lose(self: AIOKafkaConnection, request: Any, *args: Any, **options: Any) -> Any:
    try:
        return _send(self, request, *args, **options)
    except RuntimeError as error:
        where = f"{self.host}:{self.port}"
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"The broker closed the connection to {where}") from error
