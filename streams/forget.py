"""Have a user forgotten: a record on `erasures`, and the proof that a worker acted on it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from schemas import Erasure, decode_erasure
from streams.listening import Untaken, listening, told
from streams.settings import Settings


class NotForgotten(RuntimeError):
    """No worker confirmed it in time; the text says what is certain and what to look at."""


async def forget(settings: Settings, user_id: str, *, timeout_seconds: float = 10) -> None:
    """Ask the workers to forget a user and wait until the user's published list is gone.

    Raises:
        NotForgotten: that was not seen within the timeout; the wish stands on the topic and will be
            fulfilled when a worker runs. Or no user can have this name.
        TopicError: topics are missing, so that the wish stands nowhere.
    """
    try:
        value = told(Erasure(user_id=user_id), decode_erasure)
    except Untaken as fault:
        raise NotForgotten(f"nobody has this name: {fault}") from None
    key = user_id.encode()
    erasures = settings.topic("erasures")
    async with listening(settings, key, to=erasures) as (producer, consumer):
        await producer.send_and_wait(erasures, value=value, key=key)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                async for record in consumer:
                    if record.key == key and record.value is None:
                        return
    raise NotForgotten(
        f"the wish stands on {erasures}, but no worker has acted on it within "
        f"{timeout_seconds:g} s. It will be fulfilled as soon as one runs on "
        f"{settings.bootstrap_servers} with the same topic prefix; `freshet doctor` looks."
    )
