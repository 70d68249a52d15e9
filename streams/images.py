"""Fetching the pictures of items: from their records, or from where anybody who may write to
`items` says they are.

A worker stands inside the house, so a URL is a way in: to services that trust whoever is inside, to
the credentials of a cloud's metadata service, to the worker's own files. Therefore connections go
to public addresses alone. It is checked when the connection is made, of the address that is
connected to: so neither a name that resolves to a private address, nor one that does so the second
time, nor a redirect, nor another spelling of one (0x7f.1, ::ffff:127.0.0.1) leads there. Files come
from one folder alone. What comes back is not shown to anybody, only its vector is used.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

import aiohttp
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from mode import Service

from schemas import Rejected, decode_item
from streams.kafka import client_options
from streams.metrics import Metrics
from streams.settings import Settings

log = structlog.get_logger(__name__)

TYPES = frozenset({"image/jpeg", "image/png", "image/webp", "image/gif"})
_AT_ONCE = 8
_MOST_REDIRECTS = 3
_LOOK_SECONDS = 0.5
_NOT_PUBLIC = "is no public address"


class ImageRefused(ValueError):
    """This picture is not taken, now or later; the text says why."""


class ImageAway(OSError):
    """This picture could not be had just now; the text says why."""


class Fetcher:
    """Brings the bytes at a URL: http(s) of public addresses, and files below `image_folder`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, url: str) -> bytes:
        """The file at this URL.

        Raises:
            ImageRefused: it is not to be had, or not to be taken.
            ImageAway: not now.
        """
        try:
            scheme = urlsplit(url).scheme.lower()
        except ValueError:
            raise ImageRefused("this is no URL") from None
        if scheme == "file":
            return await asyncio.to_thread(self._read, url)
        if scheme in ("http", "https"):
            return await self._get(url)
        raise ImageRefused(f"{scheme or 'no scheme'}: only http, https and file are known")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _read(self, url: str) -> bytes:
        folder, most = self._settings.image_folder, self._settings.image_max_bytes
        parts = urlsplit(url)
        if folder is None or parts.netloc not in ("", "localhost"):
            raise ImageRefused("files are taken from FRESHET_IMAGE_FOLDER alone")
        try:
            path = Path(url2pathname(parts.path)).resolve()
            if not path.is_relative_to(folder.resolve()) or not path.is_file():
                raise OSError(f"there is no such file in {folder}")
            with path.open("rb") as file:
                data = file.read(most + 1)
        except (OSError, ValueError) as fault:
            raise ImageRefused(f"cannot be read: {fault}") from None
        return _checked(data, most)

    async def _get(self, url: str) -> bytes:
        most = self._settings.image_max_bytes
        try:
            async with self._open().get(url, max_redirects=_MOST_REDIRECTS) as answer:
                if answer.status >= 500 or answer.status in (408, 425, 429):
                    raise ImageAway(f"answered {answer.status}")
                if answer.status != 200:
                    raise ImageRefused(f"answered {answer.status}")
                if answer.content_type not in TYPES:
                    raise ImageRefused(f"is of type {answer.content_type}")
                if answer.headers.get("Content-Encoding", "identity") != "identity":
                    raise ImageRefused("is packed, which was not asked for")
                data = bytearray()
                async for part in answer.content.iter_chunked(1 << 16):
                    data += part
                    if len(data) > most:
                        break
                return _checked(bytes(data), most)
        except (
            aiohttp.InvalidURL,
            aiohttp.NonHttpUrlClientError,
            aiohttp.TooManyRedirects,
        ) as fault:
            raise ImageRefused(repr(fault)) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as fault:
            if isinstance(fault, ImageAway):
                raise
            if _NOT_PUBLIC in repr(fault):
                raise ImageRefused(f"its address {_NOT_PUBLIC}") from None
            raise ImageAway(repr(fault)) from None
        except ImageRefused:
            raise
        except Exception as fault:  # of whatever others wrote or answer, nothing ends the worker
            raise ImageRefused(repr(fault)) from None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=_AT_ONCE, limit_per_host=4, socket_factory=self._socket
                ),
                timeout=aiohttp.ClientTimeout(total=self._settings.image_seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept": ", ".join(sorted(TYPES)), "Accept-Encoding": "identity"},
                auto_decompress=False,
            )
        return self._session

    def _socket(self, where: Any) -> socket.socket:
        """A socket to connect to this address, if it may be."""
        family, kind, protocol, _, address = where
        if not self._settings.image_private_addresses and not is_public(address[0]):
            raise OSError(f"{address[0]} {_NOT_PUBLIC}")
        return socket.socket(family, kind, protocol)


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, also where it wraps an IPv4 one."""
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo or (None, None))[1]
        if inner is None and found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast and not found.is_reserved


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def _checked(data: bytes, most: int) -> bytes:
    if not data:
        raise ImageRefused("is empty")
    if len(data) > most:
        raise ImageRefused(f"is larger than {most} bytes")
    return data


class Records:
    """Brings the pictures that items' own records hold, reading these again: a picture is in memory
    while it is encoded, and not from when a catalogue told of it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._turn = asyncio.Lock()

    async def fetch(self, partition: int, offset: int) -> bytes:
        """The file in the record at this place of `items`.

        Raises:
            ImageRefused: there is none, or it is not to be taken.
            ImageAway: not now.
        """
        try:
            async with self._turn, asyncio.timeout(self._settings.image_seconds):
                record = await self._record(partition, offset)
        except (KafkaError, TimeoutError) as fault:
            raise ImageAway(repr(fault)) from None
        if record is None or record.offset != offset:
            raise ImageRefused("its record is gone")
        try:
            item = decode_item(record.value, record.timestamp, int(time.time() * 1000))
        except Rejected as fault:
            raise ImageRefused(fault.detail) from None
        return _checked(item.image or b"", self._settings.image_max_bytes)

    async def close(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()
            self._consumer = None

    async def _record(self, partition: int, offset: int) -> ConsumerRecord | None:
        """That at this offset, or the next that is there; None where there is none to wait for."""
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                **client_options(self._settings),
                enable_auto_commit=False,
                auto_offset_reset="earliest",
            )
            try:
                await consumer.start()
            except BaseException:
                await consumer.stop()
                raise
            self._consumer = consumer
        place = TopicPartition(self._settings.topic("items"), partition)
        self._consumer.assign([place])
        (first,) = (await self._consumer.beginning_offsets([place])).values()
        (end,) = (await self._consumer.end_offsets([place])).values()
        if not first <= offset < end:
            return None
        self._consumer.seek(place, offset)
        return await self._consumer.getone(place)


class Pictured(NamedTuple):
    """An item with a picture to fetch: the partition of `items` that told of it, the key of its
    content, its text, and where the picture is: in the record at `offset`, or at `url`."""

    partition: int
    content: bytes
    text: str
    url: str = ""
    offset: int | None = None


#: Takes the picture of an item; empty where it is not to be had.
Take = Callable[[str, Pictured, bytes], None]


class Images(Service):  # type: ignore[misc]  # mode is untyped
    """Fetches what is wanted, a few at a time, beside everything else.

    is_ours: whether a partition's pictures are this worker's business. has_room: whether more can
    be taken now.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        take: Take,
        *,
        is_ours: Callable[[int], bool],
        has_room: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._fetcher, self._records = Fetcher(settings), Records(settings)
        self._counts = metrics.images
        self._take, self._is_ours, self._has_room = take, is_ours, has_room
        self._wanted: dict[str, Pictured] = {}
        self._something_came = asyncio.Event()

    def want(self, item: str, pictured: Pictured) -> None:
        """Fetch this item's picture, and no other one of its."""
        self._wanted[item] = pictured
        self._something_came.set()

    def drop(self, item: str) -> None:
        """The item's picture is not wanted any more."""
        self._wanted.pop(item, None)

    def encoded(self, item: str, content: bytes) -> bool:
        """There is a vector of this content: whether that has the picture in it that was wanted,
        which then need not be fetched."""
        wanted = self._wanted.get(item)
        if wanted is None or wanted.content != content:
            return False
        del self._wanted[item]
        return True

    @Service.task
    async def _fetch_what_is_wanted(self) -> None:
        while not self.should_stop:
            self._something_came.clear()
            ours = ((i, p) for i, p in self._wanted.items() if self._is_ours(p.partition))
            some = list(islice(ours, _AT_ONCE)) if self._has_room() else []
            await asyncio.gather(*(self._fetch(item, pictured) for item, pictured in some))
            if not some:
                try:
                    await asyncio.wait_for(self._something_came.wait(), _LOOK_SECONDS)
                except TimeoutError:
                    pass
        await self._fetcher.close()
        await self._records.close()

    async def _fetch(self, item: str, pictured: Pictured) -> None:
        place = {"url": pictured.url} if pictured.offset is None else {"offset": pictured.offset}
        try:
            data, outcome = await self._file_of(pictured), "taken"
        except ImageRefused as fault:
            data, outcome = b"", "refused"
            log.info("a picture is refused", item=item, because=str(fault), **place)
        except ImageAway as fault:
            data, outcome = b"", "away"
            log.info("a picture cannot be had", item=item, because=str(fault), **place)
        self._counts.labels(outcome).inc()
        if self._wanted.get(item) != pictured:
            return
        del self._wanted[item]
        if outcome != "away":
            self._take(item, pictured, data)
        elif pictured.offset is not None:  # the brokers are away, and will be back
            self._wanted[item] = pictured
            await self.sleep(_LOOK_SECONDS)
        # Else the next start tries again; the item has its text.

    async def _file_of(self, pictured: Pictured) -> bytes:
        if pictured.offset is None:
            return await self._fetcher.fetch(pictured.url)
        return await self._records.fetch(pictured.partition, pictured.offset)
