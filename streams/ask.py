"""Ask a running worker for a user's recommendations: a record on `requests`, its answer back."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from schemas import Recommendation, Request, decode_recommendation, decode_request
from streams.listening import Untaken, listening, told
from streams.settings import Settings


class NoAnswer(RuntimeError):
    """No worker answered in time; the text says what to look at."""


class Answer(NamedTuple):
    """The recommendation and how long it took from sending the request, in seconds."""

    recommendation: Recommendation
    seconds: float


async def ask(
    settings: Settings,
    user_id: str,
    n: int = 10,
    *,
    categories: Sequence[str] = (),
    exclude: Sequence[str] = (),
    context_items: Sequence[str] = (),
    query: str | None = None,
    session_id: str | None = None,
    timeout_seconds: float = 10,
) -> Answer:
    """Put a request to the workers and wait for its answer.

    Raises:
        NoAnswer: none came within the timeout, or no worker would take the request.
        TopicError: no worker has run here yet: topics are missing.
    """
    request = Request(
        user_id=user_id,
        request_id=f"ask-{secrets.token_hex(8)}",
        n=n,
        categories=list(categories),
        exclude=list(exclude),
        context_items=list(context_items),
        query=query,
        session_id=session_id,
    )
    try:
        value = told(request, decode_request)
    except Untaken as fault:
        raise NoAnswer(f"this cannot be asked: {fault}") from None
    key = user_id.encode()
    requests = settings.topic("requests")
    async with listening(settings, key, to=requests) as (producer, consumer):
        await producer.partitions_for(requests)
        sent = time.perf_counter()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await producer.send_and_wait(requests, value=value, key=key)
                async for record in consumer:
                    if record.key != key or record.value is None:
                        continue
                    answer = decode_recommendation(record.value)
                    if answer.cause is not None and answer.cause.request_id == request.request_id:
                        return Answer(answer, time.perf_counter() - sent)
    raise NoAnswer(
        f"no answer for {user_id!r} within {timeout_seconds:g} s. Is a worker running on "
        f"{settings.bootstrap_servers} with the same topic prefix, and ready? `freshet doctor` "
        "looks." + (" `freshet dead-letters list` tells if it cannot take words." if query else "")
    )


def show(answer: Answer, console: Console, *, filtered: bool = False) -> None:
    """Print an answer for a person.

    filtered: whether the request said which items may be answered with.
    """
    message = answer.recommendation
    if not message.items:
        console.print(
            "No item that may be recommended passes these filters."
            if filtered
            else "Nothing to recommend yet: no item has come, or rules allow none of them."
        )
        return
    table = Table(title=f"For {message.user_id}", title_justify="left")
    table.add_column("#", justify="right")
    table.add_column("item")
    table.add_column("score", justify="right")
    table.add_column("why")
    for rank, item in enumerate(message.items, start=1):
        why = item.reason.text if item.reason is not None else "–"
        table.add_row(str(rank), item.item_id, f"{item.score:.3f}", why)
    console.print(table)
    console.print(
        f"answered in {answer.seconds * 1000:.0f} ms by model {message.model_version}",
        style="dim",
    )
