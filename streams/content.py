"""Understanding items as they arrive: catalogue → text → vector → what it is most like → engine.

Of all workers, the one that is assigned an item's partition of `items` encodes it and puts the
vector on `vectors`, a compacted topic that every worker follows. So each text is encoded once, a
restart encodes nothing, and whoever takes a partition over goes on where the other was.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

import msgspec
import numpy as np
import structlog
from aiokafka import ConsumerRecord
from mode import Service
from numpy.typing import NDArray

from models.catalogue import ItemFacts
from models.content.encoder import EncoderUnavailable, why_unavailable
from models.content.images import pictured_name, why_no_images
from models.content.likeness import Alike, Likeness
from models.content.text import content_key, text_of
from models.index import gpu_is_there
from models.sources.content import LINKED
from streams.encoder_process import EncoderProcess
from streams.engine import Engine
from streams.follower import Follower, from_the_first
from streams.images import Images, Pictured
from streams.metrics import Metrics
from streams.publisher import Outgoing, Publisher
from streams.replica import Replica
from streams.settings import Settings
from streams.transport import ChunkApp
from streams.vectors import pack, unpack

log = structlog.get_logger(__name__)

_ENCODED_AT_ONCE = 32
_PICTURES_AT_ONCE = 4
_LINKED_AT_ONCE = 128
_LOOK_SECONDS = 0.5
_RETRY_SECONDS = 5.0
_PICTURES_WAITING = 32
_HARMLESS = "tea"


def is_wanted(settings: Settings) -> bool:
    """Whether items are to be understood on this machine.

    Raises:
        SystemExit: they are, by the settings, and cannot; says what to do.
    """
    if settings.content == "off":
        return False
    reason = why_unavailable(settings.encoder)
    if reason is None and settings.images == "on":
        reason = why_no_images(settings.image_encoder)
    if reason:
        # Who asks for pictures asks to understand items: that is not left out in silence either.
        if "on" in (settings.content, settings.images):
            raise SystemExit(reason)
        log.info("items are recommended without reading what they say", because=reason)
        return False
    if settings.index_device == "cuda" and not gpu_is_there():
        raise SystemExit(
            "items are to be searched on a GPU (FRESHET_INDEX_DEVICE=cuda), but torch sees none "
            "here: see to its driver, or set auto or cpu"
        )
    return True


class _Wanted(NamedTuple):
    partition: int
    content: bytes
    text: str
    image: bytes = b""


class _Turn:
    """How many of a kind go to the encoder together: fewer while what it fails on is looked for."""

    def __init__(self, most: int) -> None:
        self._most = self.items = most
        #: Of the batch that it failed on, how many are still to be tried.
        self._suspected = 0

    def failed(self, items: int) -> None:
        """On one of these, or some."""
        self._suspected = max(self._suspected, items)
        self.items = max(1, items // 2)

    def passed(self, items: int) -> None:
        """These are encoded, or set aside."""
        self._suspected = max(0, self._suspected - items)
        if not self._suspected:
            self.items = self._most


def _link(replica: Replica, new: Sequence[tuple[str, bytes]], alike: Sequence[Alike]) -> None:
    """In the engine's thread."""
    items, contents = zip(*new, strict=True)
    replica.recommender.link_items(items, alike, contents)


class Content(Service):  # type: ignore[misc]  # mode is untyped
    """Has new texts encoded, and tells the engine what each item is most like.

    The service of encoding and linking; `follower` brings the vectors and is to be started before.
    """

    def __init__(
        self,
        settings: Settings,
        app: ChunkApp,
        engine: Engine,
        publisher: Publisher,
        metrics: Metrics,
    ) -> None:
        super().__init__()
        self._settings, self._engine = settings, engine
        self._publisher, self._metrics = publisher, metrics
        self._items, self._vectors = settings.topic("items"), settings.topic("vectors")
        self.follower = Follower(
            settings,
            self._vectors,
            self._apply,
            begin=self._begin,
            when_caught_up=self._look_at_sizes,
        )
        self.encoder = EncoderProcess(settings)
        self._name = settings.encoder
        self._images: Images | None = None
        if settings.images == "on":
            self._name = pictured_name(settings.encoder, settings.image_encoder)
            self._images = Images(
                settings,
                metrics,
                self._seen,
                is_ours=lambda partition: partition in self._assigned,
                has_room=self._has_room_for_pictures,
            )
        self._assigned: set[int] = set()
        #: What there is to understand, by partition of `items` and item.
        self._described: defaultdict[int, dict[str, ItemFacts]] = defaultdict(dict)
        #: By item: the content of the vector on `vectors`.
        self._known: dict[str, bytes] = {}
        #: By item, what its vector should be of, where that is not on `vectors` yet.
        self._wanted: dict[str, _Wanted] = {}
        #: The same of items whose picture is here.
        self._pictured: dict[str, _Wanted] = {}
        self._deleted: dict[str, int] = {}
        #: Items that are encoded, until their vectors are read.
        self._on_its_way: set[str] = set()
        #: By item, the contents that the encoder failed on, and nothing else with them.
        self._set_aside: dict[str, set[bytes]] = {}
        self._texts_turn, self._pictures_turn = _Turn(_ENCODED_AT_ONCE), _Turn(_PICTURES_AT_ONCE)
        #: What it failed on last, if that was alone.
        self._failed_alone: tuple[str, _Wanted] | None = None
        #: Items whose vectors are new, in the order they came.
        self._unlinked: dict[str, None] = {}
        self._likeness: Likeness | None = None
        #: Of the vectors that are taken: those of the encoder; before it has made some, those that
        #: most have, and until all are read, the first. 0 before that.
        self._dimensions = 0
        #: How many records there were of each.
        self._sizes: Counter[int] = Counter()
        self._something_came = asyncio.Event()
        app.on_partitions_assigned.connect(self._on_assigned)
        app.on_partitions_revoked.connect(self._on_revoked)

    def told(self, partition: int, upserts: Sequence[ItemFacts], deletes: Sequence[str]) -> None:
        """Take note of a change in the catalogue, told by partition `partition` of `items`."""
        for facts in upserts:
            item, text, known = facts.item_id, text_of(facts), self._known.get(facts.item_id)
            url, own = (facts.image_url, facts.image) if self._images is not None else ("", None)
            image = own.digest if own is not None else url
            self._deleted.pop(item, None)
            if not text and not image:
                deletes = [*deletes, item]
                continue
            self._described[partition][item] = facts
            # From its text at once, and again when its picture is here.
            content, whole = content_key(text, self._name), content_key(text, self._name, image)
            self._pictured.pop(item, None)
            aside = self._set_aside.pop(item, set()) & {content, whole}
            if aside:
                self._set_aside[item] = aside
            if known in (content, whole) or content in aside or not text:
                self._wanted.pop(item, None)
            else:
                self._wanted[item] = _Wanted(partition, content, text)
            if self._images is not None:
                self._images.drop(item)
                if image and known != whole and whole not in aside:
                    offset = None if own is None else own.offset
                    self._images.want(item, Pictured(partition, whole, text, url, offset))
        for item in deletes:
            self._described[partition].pop(item, None)
            self._wanted.pop(item, None)
            self._pictured.pop(item, None)
            self._set_aside.pop(item, None)
            if self._images is not None:
                self._images.drop(item)
            if item in self._known or item in self._on_its_way:
                self._deleted[item] = partition
        self._something_came.set()

    async def alike(self, item: str, most: int) -> Alike:
        """What the item is most like in what it says."""
        if (likeness := self.likeness) is None:
            return []
        (found,) = await asyncio.to_thread(likeness.of, [item], most)
        return found

    @property
    def likeness(self) -> Likeness | None:
        """The vectors of all items; None while there are none, or those of another model are to be
        left for the encoder's."""
        return None if self._is_of_another_size() else self._likeness

    def _is_of_another_size(self) -> bool:
        return bool(self._dimensions) and self.encoder.dimensions not in (0, self._dimensions)

    @property
    def services(self) -> list[Service]:
        """What is to run: this, and what fetches pictures where they are wanted."""
        return [self] if self._images is None else [self, self._images]

    async def on_stop(self) -> None:
        self.encoder.rest()

    def _has_room_for_pictures(self) -> bool:
        # Those of partitions that went to another worker wait here for their vectors only.
        ours = sum(wanted.partition in self._assigned for wanted in self._pictured.values())
        return self.follower.caught_up.is_set() and ours < _PICTURES_WAITING

    def _seen(self, item: str, pictured: Pictured, image: bytes) -> None:
        wanted = _Wanted(pictured.partition, pictured.content, pictured.text, image)
        if wanted.text or image:
            self._queue(wanted)[item] = wanted
        self._something_came.set()

    async def _on_assigned(self, _app: ChunkApp, assigned: object, **_: object) -> None:
        self._assigned |= self._of_items(assigned)
        self._something_came.set()

    async def _on_revoked(self, _app: ChunkApp, revoked: object, **_: object) -> None:
        self._assigned -= self._of_items(revoked)

    def _of_items(self, tps: object) -> set[int]:
        return {tp.partition for tp in tps if tp.topic == self._items}  # type: ignore[attr-defined]

    async def _begin(self, reach: Mapping[int, tuple[int, int]]) -> Mapping[int, int]:
        """The topic is read from its first record, as if nothing had been read before."""
        self._dimensions = self.encoder.dimensions or self._dimensions
        self._sizes.clear()
        self._likeness = None
        self._unlinked.clear()
        if self._known:  # a large catalogue takes seconds
            self._known.clear()
            for partition, described in self._described.items():
                self.told(partition, [*described.values()], [])
        return await from_the_first(reach)

    async def _look_at_sizes(self) -> None:
        """The first vector may have been a stranger's: where most are of another size, those are
        read."""
        (size, most), *_ = self._sizes.most_common(1) or [(0, 0)]
        if not self.encoder.dimensions and most > self._sizes[self._dimensions]:
            self._dimensions = size
            self.follower.again()

    async def _apply(self, _partition: int, records: Sequence[ConsumerRecord]) -> None:
        """What is on `vectors`: known from now on, and to be linked."""
        vectors: dict[str, NDArray[np.float32]] = {}
        gone: dict[str, None] = {}
        for record in records:
            item = str(record.key or b"", "utf-8", "replace")
            self._on_its_way.discard(item)
            if record.value is None:
                vectors.pop(item, None)
                gone[item] = None
                self._known.pop(item, None)
                self._deleted.pop(item, None)
                continue
            try:
                encoder, content, vector = unpack(record.value)
            except msgspec.MsgspecError as error:
                log.warning("a record on vectors is passed over", item=item, error=str(error))
                continue
            if encoder != self._name:
                continue  # of another setting's time; what is wanted is encoded anew
            self._sizes[len(vector)] += 1
            self._dimensions = self._dimensions or self.encoder.dimensions or len(vector)
            if len(vector) != self._dimensions:
                log.warning(
                    "a vector is passed over, of another model of this name; name each by its own",
                    item=item,
                    encoder=encoder,
                    dimensions=len(vector),
                    expected=self._dimensions,
                )
                continue
            self._known[item] = content
            # With its picture, it need not be encoded from its text first: of what both were once,
            # the compacted topic keeps this.
            whole = self._images is not None and self._images.encoded(item, content)
            if (pictured := self._pictured.get(item)) and pictured.content == content:
                del self._pictured[item]
                whole = True
            wanted = self._wanted.get(item)
            if wanted and (whole or wanted.content == content):
                del self._wanted[item]
            gone.pop(item, None)
            vectors[item] = vector
        if self._likeness is None and vectors:
            self._likeness = Likeness(
                self._dimensions,
                exact_up_to=self._settings.index_exact_items,
                precision=self._settings.index_precision,
                device=self._settings.index_device,
            )
        if (likeness := self._likeness) is not None:
            if gone:
                await asyncio.to_thread(likeness.delete, [*gone])
            if vectors:
                rows = np.array([*vectors.values()], np.float32)
                await asyncio.to_thread(likeness.upsert, [*vectors], rows)
        for item in gone:
            self._unlinked.pop(item, None)
        # Described again while the tombstone of its vector was on its way, it seemed to have one.
        for partition, described in self._described.items():
            if again := [described[item] for item in gone if item in described]:
                self.told(partition, again, [])
        self._unlinked.update(dict.fromkeys(vectors))
        self._metrics.vectors.set(len(self._known))
        self._something_came.set()

    @Service.task
    async def _encode_and_link(self) -> None:
        while not self.should_stop:
            self._something_came.clear()
            if await self._link_some():
                continue
            if await self._encode_some():
                continue
            self.encoder.rest_if_idle()
            try:
                await asyncio.wait_for(self._something_came.wait(), _LOOK_SECONDS)
            except TimeoutError:
                pass

    async def _link_some(self) -> bool:
        """Tell the engine what some items with new vectors are most like."""
        likeness, items = self._likeness, list(islice(self._unlinked, _LINKED_AT_ONCE))
        if not items or likeness is None:
            return False
        for item in items:
            del self._unlinked[item]
        contents = [self._known.get(item, b"") for item in items]
        linked = await self._engine.run(lambda r: r.recommender.linked(items, contents))
        new = [
            (item, content)
            for item, content, before in zip(items, contents, linked, strict=True)
            if not before
        ]
        if new:
            alike = await asyncio.to_thread(likeness.of, [item for item, _ in new], LINKED)
            await self._engine.run(partial(_link, new=new, alike=alike))
            self._metrics.linked.inc(len(new))
        return True

    async def _encode_some(self) -> bool:
        """Encode some texts of the partitions that are this worker's, and publish the vectors."""
        if not self.follower.caught_up.is_set():
            return False
        if self._is_of_another_size():
            self.follower.again()
            return False
        gone = [item for item, partition in self._deleted.items() if partition in self._assigned]
        if gone:
            await self._publisher.publish(self._vectors, [Outgoing(i.encode(), None) for i in gone])
            for item in gone:
                self._deleted.pop(item, None)
        some = self._next()
        if not some:
            return False
        began = time.monotonic()
        names = {item for item, _ in some}
        self._on_its_way |= names
        try:
            vectors, unreadable = await self.encoder.encode(
                [wanted.text for _, wanted in some], [wanted.image for _, wanted in some]
            )
        except (EncoderUnavailable, OSError) as error:
            self._on_its_way -= names
            self._metrics.failures.labels("encode").inc()
            log.error("items cannot be encoded; trying again", error=str(error), items=len(some))
            await self.sleep(_RETRY_SECONDS)
            return False
        except Exception as error:  # it died, was ended, or raises on what one of them says
            self._on_its_way -= names
            self._metrics.failures.labels("encode").inc()
            await self._look_for_the_cause(some, error)
            return False
        await self._publisher.publish(
            self._vectors,
            [
                Outgoing(item.encode(), pack(self._name, wanted.content, vector))
                for (item, wanted), vector in zip(some, vectors, strict=True)
            ],
        )
        for item, wanted in some:
            self._done_with(item, wanted)
        self._turn_of(some[0][1]).passed(len(some))
        self._metrics.encoded.inc(len(some))
        self._metrics.images.labels("unreadable").inc(len(unreadable))
        self._metrics.encode_seconds.inc(time.monotonic() - began)
        return True

    def _next(self) -> list[tuple[str, _Wanted]]:
        """What goes to the encoder together: texts, or where none waits a few pictures. To unpack
        one may take a second, and whatever comes next waits that long."""
        texts, pictures = (
            ((item, wanted) for item, wanted in queue.items() if wanted.partition in self._assigned)
            for queue in (self._wanted, self._pictured)
        )
        return [*islice(texts, self._texts_turn.items)] or [
            *islice(pictures, self._pictures_turn.items)
        ]

    def _queue(self, wanted: _Wanted) -> dict[str, _Wanted]:
        return self._pictured if wanted.image else self._wanted

    def _turn_of(self, wanted: _Wanted) -> _Turn:
        return self._pictures_turn if wanted.image else self._texts_turn

    def _done_with(self, item: str, wanted: _Wanted) -> None:
        queue = self._queue(wanted)
        if queue.get(item) == wanted:
            del queue[item]

    async def _look_for_the_cause(
        self, some: Sequence[tuple[str, _Wanted]], error: Exception
    ) -> None:
        """The encoder failed on these: half of them next. What it fails on twice alone is set
        aside, so that the others get their turn; but not where it fails on anything."""
        turn = self._turn_of(some[0][1])
        turn.failed(len(some))
        alone = some[0] if len(some) == 1 else None
        if alone and alone == self._failed_alone and await self._encodes_others():
            item, wanted = alone
            log.error(
                "an item is set aside until its record changes: the encoder fails on what it says",
                item=item,
                error=repr(error),
            )
            self._metrics.set_aside.inc()
            self._set_aside.setdefault(item, set()).add(wanted.content)
            self._done_with(item, wanted)
            turn.passed(1)
            return
        self._failed_alone = alone
        log.error(
            "items cannot be encoded; trying again, fewer at once",
            error=repr(error),
            items=len(some),
        )
        await self.sleep(_RETRY_SECONDS)

    async def _encodes_others(self) -> bool:
        try:
            await self.encoder.encode([_HARMLESS], [b""])
        except Exception as error:
            log.error("the encoder fails on a single word too", error=repr(error))
            return False
        return True
