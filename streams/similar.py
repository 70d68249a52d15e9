"""What an item is like, in a worker's eyes: by what is said, by what was learned, by what is taken
together; and which users are alike. A worker serves it at `/similar`; `freshet similar` shows it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import zip_longest
from typing import TypeVar

import aiohttp
import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from models.index import ItemIndex, Nearest, Vectors
from models.recommender import Recommender
from models.sources.embeddings import WIDTH
from streams.engine import Engine
from streams.metrics import Metrics
from streams.replica import Replica

MOST = 100
WRITTEN_AT_ONCE = 1024
"""Vectors of users: a millisecond of the engine's time, between chunks of events."""

_TIMEOUT_SECONDS = 60
_OLD_SECONDS = 60.0
"""After which learned vectors are looked at anew, when somebody asks."""
_COPIED_AT_ONCE = 4096
"""Vectors of items: the same."""
_KEPT_SECONDS = 600.0
"""For how long after they were last asked for, the vectors of users are kept."""
_SHOWN_IN_COMMON = 5
_MOVED = 1e-3
"""Components of a direction that changed by less are left as they are."""


T = TypeVar("T")


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


class AlikeUser(msgspec.Struct, frozen=True):
    """A user, how near their taste is (a cosine), how many items both took, and those of them that
    who was asked about took last."""

    user_id: str
    score: float
    in_common: int
    items: list[str]


class AlikeUsers(msgspec.Struct, frozen=True):
    """Whose taste (`models.tastes`) is nearest to the user's, the nearest first."""

    user_id: str
    users: list[AlikeUser]


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
    """Looks around items and users, in the engine and the vectors of a worker: for one at a time,
    as it is done for the curious, beside the events."""

    def __init__(self, engine: Engine, by_content: ByContent, metrics: Metrics) -> None:
        self._engine, self._by_content, self._metrics = engine, by_content, metrics
        self._items = LearnedIndex(_item_vectors, _COPIED_AT_ONCE)
        self._users = index_of_users()
        self._rest: asyncio.TimerHandle | None = None
        self._turn = asyncio.Lock()

    async def of(self, item: str, n: int) -> Similar | None:
        """`n` items of each kind; None for an item of which nothing is known.

        Raises:
            Busy: the last who asked has no answer yet.
        """

        def look(replica: Replica) -> tuple[bool, Nearest]:
            recommender = replica.recommender
            return recommender.facts([item])[0] is not None, recommender.taken_with(item, n)

        async with self._turn_of_one():
            described, together = await self._engine.run(look)
            await self._items.refresh(self._engine)
            learned = await asyncio.to_thread(self._items.near, item, n)
            content = await self._by_content(item, n)
        if not (described or together or learned or content):
            return None
        return Similar(item, *map(_neighbours, (content, learned, together)))

    async def of_user(self, user: str, n: int) -> AlikeUsers | None:
        """`n` users, fewer where some were forgotten within the last minute; None for a user of
        whose taste nothing is known.

        Raises:
            Busy: the last who asked has no answer yet.
        """
        async with self._turn_of_one():
            taste = await self._engine.run(lambda replica: replica.recommender.user_vector(user))
            if taste is None:
                return None
            self._keep_users_for_a_while()
            await self._users.refresh(self._engine)
            self._metrics.user_vectors.set(len(self._users))
            found = await asyncio.to_thread(self._users.nearest, taste, n, exclude=[user])
            others = [other for other, _ in found]
            # Whoever is forgotten by now, for whatever reason, is not named.
            common = await self._engine.run(lambda r: r.recommender.in_common(user, others))
        alike = [
            AlikeUser(other, round(score, 4), len(items), items[:_SHOWN_IN_COMMON])
            for (other, score), items in zip(found, common, strict=True)
            if items is not None
        ]
        return AlikeUsers(user, alike)

    def forget(self, users: Sequence[str]) -> None:
        """After the engine has: these users' vectors are gone from here too."""
        self._users.forget(users)
        self._metrics.user_vectors.set(len(self._users))

    def _keep_users_for_a_while(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
        self._rest = asyncio.get_running_loop().call_later(_KEPT_SECONDS, self._let_users_go)

    def _let_users_go(self) -> None:
        self._users = index_of_users()
        self._metrics.user_vectors.set(0)

    @asynccontextmanager
    async def _turn_of_one(self) -> AsyncIterator[None]:
        if self._turn.locked():
            raise Busy("somebody else is looking; ask again")
        async with self._turn:
            yield


#: One more than the highest number of an item or a user; and of those with some numbers, the names
#: and vectors.
Copy = Callable[[Recommender, range], tuple[int, list[str], Vectors]]


def _item_vectors(recommender: Recommender, some: range) -> tuple[int, list[str], Vectors]:
    return recommender.item_reach, *recommender.item_vectors(some)


def _user_vectors(recommender: Recommender, some: range) -> tuple[int, list[str], Vectors]:
    return recommender.user_reach, *recommender.user_vectors(some)


def index_of_users() -> LearnedIndex:
    """An empty one of users, to be filled by `LearnedIndex.refresh`."""
    return LearnedIndex(_user_vectors, WRITTEN_AT_ONCE)


class LearnedIndex:
    """The vectors that the engine learns, searched by cosine; of up to a minute ago.

    copy      gets some of them, in the engine's thread
    at_once   so many
    """

    def __init__(self, copy: Copy, at_once: int) -> None:
        self._copy, self._at_once = copy, at_once
        self._index = ItemIndex(WIDTH)
        self._names: set[str] = set()
        #: Names forgotten since a copy began that may hold them; None while none is in hand.
        self._forgotten: set[str] | None = None
        self._old_at = -math.inf

    def __len__(self) -> int:
        return len(self._index)

    async def refresh(self, engine: Engine) -> None:
        """Take over what the engine has learned, if that was long ago: in pieces, so that events
        wait for none of it."""
        if time.monotonic() < self._old_at:
            return
        here: set[str] = set()
        forgotten = self._forgotten = set()
        at, reach = 0, 1
        while at < reach:
            some = range(at, at + self._at_once)

            def copy(replica: Replica, some: range = some) -> tuple[int, list[str], Vectors]:
                return self._copy(replica.recommender, some)

            reach, names, vectors = await engine.run(copy)
            here.update(names)
            await asyncio.to_thread(self.upsert, names, vectors)
            at = some.stop
        here -= forgotten
        before, self._names, self._forgotten = self._names, here, None
        await asyncio.to_thread(self._drop, before, here, forgotten)
        self._old_at = time.monotonic() + _OLD_SECONDS

    def upsert(self, names: Sequence[str], vectors: Vectors) -> None:
        """Take the vectors, float32 [names, WIDTH], of these items or users."""
        directions = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        moved = np.abs(directions - self._index.vectors(names)).max(axis=1) > _MOVED
        self._index.upsert([names[k] for k in np.flatnonzero(moved).tolist()], directions[moved])

    def _drop(self, before: Collection[str], here: Collection[str], more: Collection[str]) -> None:
        # One by one, as a difference of large sets keeps the interpreter's lock.
        self._index.delete([*(name for name in before if name not in here), *more])

    def forget(self, names: Collection[str]) -> None:
        """These are not found from now on, until the engine has learned of them anew."""
        self._index.delete(names)
        self._names.difference_update(names)
        if self._forgotten is not None:
            self._forgotten.update(names)

    def near(self, name: str, n: int) -> Nearest:
        """What is nearest to this one."""
        if name not in self._index:
            return []
        return self.nearest(self._index.vectors([name])[0], n, exclude=[name])

    def nearest(self, vector: Vectors, n: int, *, exclude: Collection[str]) -> Nearest:
        """What is nearest to a vector, float32 [WIDTH]."""
        return self._index.search(vector[None], n, exclude=exclude)[0]


def _neighbours(found: Nearest) -> list[Neighbour]:
    return [Neighbour(item, round(score, 4)) for item, score in found]


async def look(url: str, item: str, n: int) -> Similar:
    """Ask the worker that serves HTTP at `url` what an item is like.

    Raises:
        NotSeen: there is no such worker, or nothing is known of the item, or another is looking.
    """
    return await _asked(url, {"item": item, "n": n}, Similar)


async def look_at_user(url: str, user: str, n: int) -> AlikeUsers:
    """Ask the worker that serves HTTP at `url` who is like a user.

    Raises:
        NotSeen: as `look`, or the worker does not say it to this machine.
    """
    return await _asked(url, {"user": user, "n": n}, AlikeUsers)


async def _asked(url: str, query: Mapping[str, str | int], kind: type[T]) -> T:
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{url.rstrip('/')}/similar", params=query) as answer,
        ):
            body = await answer.read()
            if answer.status in (403, 404, 429):
                raise NotSeen(body.decode(errors="replace").strip())
            answer.raise_for_status()
            return msgspec.json.decode(body, type=kind)
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        raise NotSeen(f"--url {url!r} is no address; write it as http://HOST:PORT") from None
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


def show_users(alike: AlikeUsers, console: Console) -> None:
    """Print who is alike, and what they have in common."""
    table = Table(title=f"Users like {alike.user_id}", title_justify="left")
    table.add_column("#", justify="right")
    table.add_column("user")
    table.add_column("alike", justify="right", style="dim")
    table.add_column("both took")
    for rank, other in enumerate(alike.users, start=1):
        more = other.in_common - len(other.items)
        both = ", ".join(other.items) + (f" and {more} more" if more else "")
        table.add_row(str(rank), other.user_id, f"{other.score:.2f}", both)
    console.print(table)


def _cells(neighbour: Neighbour | None) -> tuple[str, str]:
    return ("", "") if neighbour is None else (neighbour.item_id, f"{neighbour.score:.2f}")
