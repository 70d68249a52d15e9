"""Writing to a broker that has just closed the connection, on uvloop's event loop.

asyncio drops what is written to such a connection, or raises an `OSError`, which is what aiokafka
awaits; uvloop raises a `RuntimeError`. It ends whatever was about to send, aiokafka's refresher of
metadata among others, which nobody starts again: a worker whose broker came back then looks for its
coordinator for ever, and does not end on SIGTERM either (aio-libs/aiokafka, issue 1038). Here it is
the lost connection that it is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_send = AIOKafkaConnection.send
_send_sasl_token = AIOKafkaConnection._send_sasl_token


def expect_them() -> None:
    """Have every client of this process, of now and of later, take them as lost."""
    AIOKafkaConnection.send = _or_lost(_send)
    AIOKafkaConnection._send_sasl_token = _or_lost(_send_sasl_token)


def _or_lost(send: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(send)
    def send_or_lose(self: AIOKafkaConnection, *args: Any, **options: Any) -> Any:
        try:
            return send(self, *args, **options)
        except RuntimeError as error:
            if type(error) is not RuntimeError:
                raise  # a fault of aiokafka's own, such as NotImplementedError
            where = f"{self.host}:{self.port}"
            self.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"The broker closed the connection to {where}") from error

    return send_or_lose
