"""What an item is like, in a worker's eyes: by what is said, by what was learned, by what is taken
together. A worker serves it at `/similar`; `freshet similar` shows it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import zip_longest

import aiohttp
import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from models.index import ItemIndex, Nearest, Vectors
from models.sources.embeddings import WIDTH
from streams.engine import Engine
from streams.replica import Replica

MOST = 100

_TIMEOUT_SECONDS = 60
_OLD_SECONDS = 60.0
"""After which learned vectors are looked at anew, when somebody asks."""
_COPIED_AT_ONCE = 4096
"""Vectors: a millisecond of the engine's time, between chunks of events."""
_MOVED = 1e-3
"""Components of a direction that changed by less are left as they are."""


class Neighbour(msgspec.Struct, frozen=True):
    """An item and how near it is: comparable within one neighbourhood alone."""

    item_id: str
    score: float


class Similar(msgspec.Struct, frozen=True):
    """The neighbourhoods of an item, the nearest first.

    content         by what they say: `models.content.likeness`
    learned         by who takes them: the cosine of the vectors of `models.sources.embeddings`
    taken_together  by whether the same people take them: `models.sources.covisitation`
    """

    item_id: str
    content: list[Neighbour]
    learned: list[Neighbour]
    taken_together: list[Neighbour]


class NotSeen(RuntimeError):
    """There is nothing to show; the text says why and what to do."""


#: What an item is most like in what it says.
ByContent = Callable[[str, int], Awaitable[Nearest]]


async def unread(_item: str, _most: int) -> Nearest:
    """Nobody reads what items say."""
    return []


class Busy(RuntimeError):
    """Somebody else is looking; the text says so."""


class Neighbourhoods:
    """Looks around items, in the engine and the vectors of a worker: for one at a time, as it is
    done for the curious, beside the events."""

    def __init__(self, engine: Engine, by_content: ByContent) -> None:
        self._engine, self._by_content = engine, by_content
        self._learned = LearnedIndex()
        self._turn = asyncio.Lock()

    async def of(self, item: str, n: int) -> Similar | None:
        """`n` items of each kind; None for an item of which nothing is known.

        Raises:
            Busy: the last who asked has no answer yet.
        """
        if self._turn.locked():
            raise Busy("somebody else is looking at an item; ask again")

        def look(replica: Replica) -> tuple[bool, Nearest]:
            recommender = replica.recommender
            return recommender.facts([item])[0] is not None, recommender.taken_with(item, n)

        async with self._turn:
            described, together = await self._engine.run(look)
            await self._learned.refresh(self._engine)
            learned = await asyncio.to_thread(self._learned.near, item, n)
            content = await self._by_content(item, n)
        if not (described or together or learned or content):
            return None
        return Similar(item, *map(_neighbours, (content, learned, together)))


class LearnedIndex:
    """The vectors that the engine learns, searched by cosine; of up to a minute ago."""

    def __init__(self) -> None:
        self._index = ItemIndex(WIDTH)
        self._items: set[str] = set()
        self._old_at = -math.inf

    async def refresh(self, engine: Engine) -> None:
        """Take over what the engine has learned, if that was long ago: in pieces, so that events
        wait for none of it."""
        if time.monotonic() < self._old_at:
            return
        here: set[str] = set()
        at, reach = 0, 1
        while at < reach:
            some = range(at, at + _COPIED_AT_ONCE)

            def copy(replica: Replica, some: range = some) -> tuple[int, list[str], Vectors]:
                recommender = replica.recommender
                return recommender.item_reach, *recommender.item_vectors(some)

            reach, items, vectors = await engine.run(copy)
            here.update(items)
            await asyncio.to_thread(self.upsert, items, vectors)
            at = some.stop
        await asyncio.to_thread(self._index.delete, self._items - here)
        self._items, self._old_at = here, time.monotonic() + _OLD_SECONDS

    def upsert(self, items: Sequence[str], vectors: Vectors) -> None:
        """Take the vectors, float32 [items, WIDTH], of these items."""
        directions = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        moved = np.abs(directions - self._index.vectors(items)).max(axis=1) > _MOVED
        self._index.upsert([items[k] for k in np.flatnonzero(moved).tolist()], directions[moved])

    def near(self, item: str, n: int) -> Nearest:
        """What is nearest to the item."""
        if item not in self._index:
            return []
        return self._index.search(self._index.vectors([item]), n, exclude=[item])[0]


def _neighbours(found: Nearest) -> list[Neighbour]:
    return [Neighbour(item, round(score, 4)) for item, score in found]


async def look(url: str, item: str, n: int) -> Similar:
    """Ask the worker that serves HTTP at `url`.

    Raises:
        NotSeen: there is no such worker, or nothing is known of the item, or another is looking.
    """
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{url.rstrip('/')}/similar", params={"item": item, "n": n}) as answer,
        ):
            body = await answer.read()
            if answer.status in (404, 429):
                raise NotSeen(body.decode(errors="replace").strip())
            answer.raise_for_status()
            return msgspec.json.decode(body, type=Similar)
    except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError) as error:
        nobody = isinstance(error, aiohttp.ClientConnectorError)
        why = "nothing listens there" if nobody else str(error) or type(error).__name__
        raise NotSeen(
            f"no worker answers at {url}: {why}. Name its port with --config or --set "
            "http_port=PORT, or with --url the address that it logs when it begins to serve metrics"
        ) from error


def show(similar: Similar, console: Console) -> None:
    """Print the neighbourhoods side by side."""
    table = Table(title=f"Similar to {similar.item_id}", title_justify="left")
    table.add_column("#", justify="right")
    columns = {
        "similar text": similar.content,
        "same people take it": similar.learned,
        "taken together": similar.taken_together,
    }
    for title in columns:
        table.add_column(title)
        table.add_column("", justify="right", style="dim")
    for rank, row in enumerate(zip_longest(*columns.values()), start=1):
        cells = (cell for each in row for cell in _cells(each))
        table.add_row(str(rank), *cells)
    console.print(table)


def _cells(neighbour: Neighbour | None) -> tuple[str, str]:
    return ("", "") if neighbour is None else (neighbour.item_id, f"{neighbour.score:.2f}")
