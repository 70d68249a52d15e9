"""The model as the fold of the log: every worker learns every event, each exactly once.

A replica is what the events of all partitions, folded in the order of each partition, have made of
an empty engine, together with how far in each partition that is. The two are changed together and
saved together, so whatever was killed and wherever it starts again, no event is skipped and none is
learned twice. `docs/decisions/0005-replicas.md` tells why the log of events is the only one.
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from models import saved
from models.duplicates import Duplicates
from models.interactions import Interactions, Kind
from models.plugged import engine_of
from models.saved import Arrays
from models.segments import Segments
from schemas import Event, EventType
from streams.erased import Erased, done_at
from streams.intake import Taken
from streams.settings import Settings

log = structlog.get_logger(__name__)

#: Of what learning raised, so much is kept until somebody asks, and so much of each.
_MOST_RAISED, _MOST_RAISED_CHARS = 1_000, 4_000
_DAY_MS = 24 * 3600 * 1000
_KIND = {event_type: Kind[event_type.name] for event_type in EventType}


class Place(NamedTuple):
    """How far a partition has been learned: the next offset, and when the record before it was
    produced (ms), by which the same log is known again."""

    offset: int
    timestamp_ms: int


class Learned(NamedTuple):
    """What became of events: learned now, or left out and why."""

    learned: int
    before: int
    duplicates: int
    erased: int
    raised: int


class Replica:
    """The engine, and how far it has come. For the engine's thread alone (`streams.engine`).

    applied  by partition of `events`, how far it has been learned
    unread   why the newest sound snapshot could not be taken up, if so; "" otherwise

    Raises `models.plugged.PluginError` when the settings name a model that cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.recommender = engine_of(settings.engine, seed=settings.seed)
        self.applied: dict[int, Place] = {}
        self.unread = ""
        #: By partition and offset, the traceback of what an event raised, oldest first.
        self._raised: dict[tuple[int, int], str] = {}
        self.duplicates = Duplicates(settings.duplicate_window, settings.engine.max_users)
        self.erased = Erased()
        #: A view of what the engine remembers, through `streams.profiles`: rebuilt, never saved.
        self.segments = Segments(settings.engine.max_users)
        self._tell_segments()

    def learn(
        self, taken: Sequence[Taken[Event]], then: Mapping[int, Place], *, practise: float
    ) -> Learned:
        """Learn from events in order, leaving out what must not count, and the events on which
        that raises: `take_raised` tells of these.

        taken     events of one or more partitions; those below `applied` have been learned before
        then      by partition, the place after the last record, up to where `applied` moves
        practise  the share of its practice that the ranker has on them: on those whose users this
                  worker serves
        """
        begin = {partition: self.applied.get(partition, Place(0, 0)) for partition in then}
        after = [t for t in taken if t.record.offset >= begin[t.record.partition].offset]
        kept = [t for t in after if not self._is_erased(t)] if self.erased else after
        try:
            new, raised = self._learn(kept, practise)
        finally:
            # What raised once would raise again: it is set aside, and the log goes on.
            self.applied.update({p: max(begin[p], place) for p, place in then.items()})
        # Of those who just came back, the ids of what they sent are kept.
        for user in {*self.recommender.forgotten_since()} - {t.message.user_id for t in new}:
            self.duplicates.forget(user)
        if self.segments:
            self.segments.learn({t.message.user_id for t in new}, self.recommender)
        return Learned(
            learned=len(new),
            before=len(taken) - len(after),
            duplicates=len(kept) - len(new) - raised,
            erased=len(after) - len(kept),
            raised=raised,
        )

    def take_raised(self, taken: Sequence[Taken[Event]]) -> list[tuple[Taken[Event], str]]:
        """Which of these events raised when they were to be learned, with the traceback: once, to
        whoever asks first, however long ago that was and whoever had brought them."""
        found = [(t, self._raised.pop((t.record.partition, t.record.offset), "")) for t in taken]
        return [(t, text) for t, text in found if text]

    def _learn(
        self, kept: Sequence[Taken[Event]], practise: float
    ) -> tuple[list[Taken[Event]], int]:
        """Learn what is no duplicate; what was learned, and how many events raised.

        An id counts as seen once its event was learned, so that one which raised is no duplicate
        when it is put back. Should the whole raise, what the engine had not begun with is learned
        one by one. It counts an event as it begins with it, and its kernels do not raise: what does
        stands before an event or after it.
        """
        marks = self.duplicates.of(
            {t.message.user_id for t in kept if t.message.event_id is not None}
        )
        new = [t for t in kept if not marks.seen(t.message.user_id, t.message.event_id)]
        before = self.recommender.events
        try:
            self.recommender.learn(_columns(new), practise=practise)
        except Exception as error:
            begun = self.recommender.events - before
            if len(kept) == 1 and not begun:
                self._note(kept[0], error)
                return [], 1
            if begun == len(new):
                log.exception("all was learned, and then something raised")
            first = kept.index(new[begun - 1]) + 1 if begun else 0
            learned, raised = new[:begun], 0
            for t in kept[:first]:
                self.duplicates.seen(t.message.user_id, t.message.event_id)
            for t in kept[first:]:
                one, not_one = self._learn([t], practise)
                learned, raised = learned + one, raised + not_one
            return learned, raised
        self.duplicates.keep(marks)
        return new, 0

    def _note(self, taken: Taken[Event], error: Exception) -> None:
        text = "".join(traceback.format_exception(error))[-_MOST_RAISED_CHARS:]
        self._raised[taken.record.partition, taken.record.offset] = text
        if len(self._raised) > _MOST_RAISED:
            del self._raised[next(iter(self._raised))]

    def erase(self, user: str, at_ms: int) -> None:
        """Forget a user, and learn nothing from now on that they may have done up to `at_ms`. Told
        again, at a restart for instance, it forgets nothing of what they did since."""
        if not self.erased.add(user, at_ms):
            return
        self.segments.forget(user, self.recommender)
        self.recommender.forget(user)
        self.duplicates.forget(user)

    def _is_erased(self, taken: Taken[Event]) -> bool:
        return self.erased.covers(taken.message.user_id, done_at(taken))

    def _tell_segments(self) -> None:
        self.recommender.tell_of_leaving(lambda user: self.segments.uncount(user, self.recommender))

    @property
    def changes(self) -> int:
        """Of what `arrays` gives and is dear to do again, how much came since the start: events
        learned, items linked."""
        return self.recommender.events + self.recommender.links_told

    def arrays(self) -> Arrays:
        """All of it as arrays by name."""
        partitions = sorted(self.applied)
        return {
            "applied": np.array([(p, *self.applied[p]) for p in partitions], np.int64),
            "raised": np.array([*self._raised], np.int64),
            **saved.texts("raised.texts", [*self._raised.values()]),
            **self.duplicates.arrays(),
            **self.erased.arrays(),
            **self.recommender.arrays(),
        }

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take up what `arrays` gave: all of it, or where that raises, nothing.

        Raises:
            models.saved.LayoutError: it is another version's.
        """
        kind = type(self.recommender)
        recommender = kind.of_arrays(dict(arrays), self._settings.engine)
        duplicates = Duplicates(self._settings.duplicate_window, self._settings.engine.max_users)
        duplicates.load(arrays)
        retention_ms = int(self._settings.erasures_retention_days * _DAY_MS)
        erased = Erased()
        erased.load(arrays, int(time.time() * 1000) - retention_ms)
        places = arrays["applied"].reshape(-1, 3).tolist()
        applied = {partition: Place(*place) for partition, *place in places}
        raised: dict[tuple[int, int], str] = {}
        if "raised" in arrays:  # not before dead letters were made of these
            keys = map(tuple, arrays["raised"].reshape(-1, 2).tolist())
            raised = dict(zip(keys, saved.texts_of("raised.texts", arrays), strict=True))
        # Nothing below can fail, so what cannot be taken up as a whole has changed nothing.
        self.recommender, self.duplicates = recommender, duplicates
        self.applied, self._raised = applied, raised
        self.erased.update(erased)  # others hold it
        self._tell_segments()


def _columns(taken: Sequence[Taken[Event]]) -> Interactions:
    events = [t.message for t in taken]
    return Interactions(
        users=[event.user_id for event in events],
        items=[event.item_id for event in events],
        kinds=np.array([_KIND[event.type] for event in events], np.int8),
        values=np.array(
            [math.nan if event.value is None else event.value for event in events], np.float32
        ),
        times=np.array([event.ts for event in events], np.float64) / 1000,
    )
