"""The engine: learns from every event, and recommends."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import engine, growth, saved
from models.board import LONGEST_LIST
from models.catalogue import Choice, ItemFacts
from models.described import Described
from models.engine import Answers
from models.evidence import FAMILIES, STRATEGIES
from models.formats import FORMAT, of_present_format
from models.ids import Ids
from models.interactions import Interactions, Past
from models.newcomers import Newcomers
from models.numeric import widened
from models.ranking import Because, Ranking, Reason, Recommended, cut
from models.reasons import CATALOGUE, EXPLORE, NAMED, SOURCES
from models.reasons import sentence as reasons_in_words
from models.settings import EngineSettings
from models.sources import content, covisitation
from models.sources.categories import KEPT, MOST_CATEGORIES
from models.sources.content import LINKED
from models.sources.embeddings import WIDTH
from models.sources.repeats import ALWAYS, LEARN, NEVER
from models.tastes import write_tastes
from models.user import GUEST, ITEM, TIME, Users

STRATEGY_NAMES = ("freshet", *(name for name, _ in STRATEGIES))

MOST_TIME = 1e12
MOST_VALUE = 1e6
"""A value beyond this, or none, says nothing."""

EVICTED = 1 / 16
"""Share of users or items forgotten at once when there is no room for a new one."""

_DAY = 86_400.0

_RULE = {"learn": LEARN, "yes": ALWAYS, "no": NEVER}
_NO_ITEMS = np.empty(0, np.int32)


@dataclass(frozen=True, slots=True)
class PrequentialChunk:
    """Where the items of one chunk stood before each event was learned.

    names: `freshet`, then every single strategy. ranks: float32 [events, names], 0-based mid-rank
    of the item taken among the items recommendable to that user; NaN where the item had not been
    taken by anyone before, or the event took nothing new (`user.deepens`). top_items: int32
    [events, top], Freshet's list, -1 beyond its end; top_scores: float32 [events, top]. shares:
    float32 [events, families], what each family of sources gave to that list; NaN on all but one
    event in `engine.SHARES_EVERY`.
    """

    names: tuple[str, ...]
    ranks: NDArray[np.float32]
    top_items: NDArray[np.int32]
    top_scores: NDArray[np.float32]
    shares: NDArray[np.float32]
    families: tuple[str, ...] = FAMILIES


class Recommender:
    """A streaming recommender: `learn` from chunks of events, `recommend` at any moment.

    The state depends on the events, their order, the settings and the seed alone: not on how events
    are cut into chunks, nor on what was recommended in between. Not thread-safe. Its kernels
    release the interpreter's lock.

    >>> from models.interactions import Interactions, Kind
    >>> recommender = Recommender()
    >>> recommender.learn(Interactions.of([("ann", "tea", Kind.VIEW, None, 0.0)]))
    >>> [item.item_id for item in recommender.recommend(["bob"], now=1.0)[0].items]
    ['tea']
    """

    def __init__(self, settings: EngineSettings = EngineSettings(), *, seed: int = 0) -> None:  # noqa: B008
        self.settings = settings
        self._users, self._items = Ids(reserved=GUEST + 1), Ids()
        self._described = Described()
        self._links_told = 0
        #: Items described before a save and not since; see `delete_undescribed`.
        self._undescribed: set[int] = set()
        self._hidden: tuple[Choice, ...] = ()
        #: bool by item number, as far as it reaches.
        self._hidden_items = np.zeros(0, np.bool_)
        #: The categories' numbers in the engine.
        self._category_numbers = Ids()
        self._state = growth.new_state(seed)
        self._newcomers = Newcomers()
        #: How many lists went to their users.
        self._given_out = 0
        self._idle: list[str] = []
        self._leaving: Callable[[str], None] = _nobody_listens
        self._rules = engine.Rules(
            repeats=_RULE[settings.repeats],
            practice=float(settings.practice),
            influence=float(settings.influence),
            longest=settings.max_history,
            deepening=float(settings.deepening),
            embeddings=settings.embeddings,
            explore=float(settings.explore),
        )

    def __setstate__(self, held: dict[str, Any]) -> None:
        """Loaded by pickle: arrays that shared memory share it again."""
        self.__dict__.update(held)
        self._state = growth.relinked(self._state)

    def forgotten_since(self) -> list[str]:
        """Users who were forgotten for being idle (`EngineSettings.forget_after_days`), since this
        was last asked."""
        forgotten, self._idle = self._idle, []
        return forgotten

    def tell_of_leaving(self, told: Callable[[str], None]) -> None:
        """Have `told` called with each user who is about to be forgotten unasked: for being idle,
        or to make room for others."""
        self._leaving = told

    @property
    def links_told(self) -> int:
        """How often an item's likeness was told (`link_items`), since this object was made."""
        return self._links_told

    @property
    def events(self) -> int:
        """Events learned."""
        return int(self._state.clock[engine.EVENTS])

    @property
    def version(self) -> str:
        """The engine's format and the number of events learned, as in `1-141695`."""
        return f"{FORMAT}-{self.events}"

    def learn(self, chunk: Interactions, *, practise: float = 1.0) -> None:
        """Learn every event of a chunk, in order.

        practise: the share of its practice (`EngineSettings.practice`) that the ranker has on them;
        with 0 only the sources learn, which costs a small part of the time.
        """
        rules = self._rules._replace(practice=self._rules.practice * practise)
        self._learn(chunk, engine.LEARN, engine.no_answers(), rules)

    def rank_and_learn(self, chunk: Interactions, *, top: int = 10) -> PrequentialChunk:
        """Before learning each event, rank all items for its user; then learn it."""
        answers = engine.no_answers(ranks=len(chunk), lists=len(chunk), n=top)
        self._learn(chunk, engine.LEARN_AND_RANK, answers, self._rules)
        return PrequentialChunk(
            STRATEGY_NAMES, answers.ranks, answers.items, answers.scores, answers.shares
        )

    def rank_and_remember(self, chunk: Interactions, *, top: int = 10) -> PrequentialChunk:
        """Before each event, rank all items for its user; then let the event enter that user's
        history, and learn nothing else from it: sources and ranker stay as they are.

        An item that nobody had taken when learning ended ranks behind all others.
        """
        answers = engine.no_answers(ranks=len(chunk), lists=len(chunk), n=top)
        self._learn(chunk, engine.REMEMBER, answers, self._rules)
        return PrequentialChunk(
            STRATEGY_NAMES, answers.ranks, answers.items, answers.scores, answers.shares
        )

    def exchange_histories(self, other: Users | None = None) -> Users:
        """Put other histories of the same users in the place of these, and return these. None:
        nobody has a past."""
        held = self._state.users
        self._state = growth.with_other_users(self._state, other)
        return held

    def recommend(
        self, users: Sequence[str], now: float, n: int = 10, *, reasons: bool | None = None
    ) -> list[Ranking]:
        """The best `n` items for each user at time `now`, in seconds since epoch.

        A user never seen gets what is popular. A list for which too little speaks is filled with
        what else is in the catalogue, those items first that were in the fewest lists. Never writes
        learned state.
        """
        numbers = np.array([self._users.get(user, GUEST) for user in users], np.int32)
        norm = self._shown()
        rankings = self._rank(users, numbers, now, n, norm, _NO_ITEMS, reasons)
        return self._filled(rankings, numbers, n, norm, _NO_ITEMS, reasons)

    def answer(
        self,
        user: str,
        now: float,
        n: int = 10,
        *,
        only: Choice = Choice(),  # noqa: B008
        among: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
        context_items: Sequence[str] = (),
    ) -> Ranking:
        """One list on request.

        only, among: the items to choose from, by what they are and by name; a list of items by name
        is not filled (`recommend`). exclude: item ids left
        out. context_items: what the user is looking at in this session, oldest first; they count as
        if just taken.
        """
        number = self._users.get(user, GUEST)
        norm = self._shown()
        if only:
            norm = norm * self._described.fitting(only, len(norm))
        if among is not None:
            chosen = [item for item in map(self._items.get, among) if item is not None]
            whole, norm = norm, np.zeros_like(norm)
            norm[chosen] = whole[chosen]
        known = (self._items.get(item) for item in (*exclude, *context_items))
        excluded = np.array([item for item in known if item is not None], np.int32)
        if context_items:
            kept_out = growth.kept_out(self._state, number, self._rules)
            excluded = np.concatenate((excluded, kept_out))
            seen = [self._items.get(item) for item in context_items]
            number = growth.as_guest(
                self._state, number, [item for item in seen if item is not None], self._second(now)
            )
        numbers = np.array([number], np.int32)
        rankings = self._rank([user], numbers, now, n, norm, excluded, None)
        if among is None:
            rankings = self._filled(rankings, numbers, n, norm, excluded, None)
        if context_items:
            growth.clear_guest(self._state)
        return rankings[0]

    def given_out(self, rankings: Sequence[Ranking], *, explored: bool = True) -> None:
        """These lists go to their users: what they hold was shown (`models.newcomers`), and it is
        drawn anew which of the next explore. Nothing that is learned changes, and no list that does
        not explore.

        explored: whether they had places for what is new, so that they count as tries.
        """
        found = (self._items.get(item.item_id) for each in rankings for item in each.items)
        items = np.array([item for item in found if item is not None], np.int32)
        self._given_out += len(rankings)
        self._newcomers.reach(len(self._norm))
        tries = len(rankings) * self._rules.explore if explored else 0.0
        self._newcomers.given_out(items, tries, self._may_be_tried)

    def upsert_items(self, items: Sequence[ItemFacts]) -> None:
        """Tell what is known of items; one that is not available is never recommended."""
        for facts in items:
            number = self._item(facts.item_id)
            met = self._described.get(number) is not None or number in self._undescribed
            new = facts.available and not (met and self._norm[number] > 0)
            self._described.put(number, facts)
            self._undescribed.discard(number)
            self._state = growth.with_categories(self._state, len(self._category_numbers) + KEPT)
            growth.set_categories(self._state, number, self._numbers_of(facts.categories))
            self._set_hidden(number, any(choice.fits(facts) for choice in self._hidden))
            growth.set_available(self._state, number, facts.available)
            if new and self._may_be_tried(number):
                self._newcomers.reach(len(self._norm))
                self._newcomers.arrive(number)

    def delete_items(self, item_ids: Sequence[str]) -> None:
        """Never recommend these again, until they are upserted anew; nor those that nobody has
        taken yet, when somebody does."""
        for item_id in item_ids:
            number = self._item(item_id)
            self._forget_facts(number)
            growth.set_categories(self._state, number, [])
            growth.set_available(self._state, number, False)

    def hide(self, choices: Sequence[Choice]) -> None:
        """Recommend nothing that any of these means, from now on and until told otherwise. It is
        no part of what is learned or saved."""
        self._hidden = tuple(choices)
        self._hidden_items = np.zeros(len(self._norm), np.bool_)
        for choice in self._hidden:
            self._hidden_items |= self._described.fitting(choice, len(self._norm))

    def facts(self, item_ids: Iterable[str]) -> list[ItemFacts | None]:
        """What is known of these items, None where nothing is."""
        return [self._described.get(self._items.get(item_id)) for item_id in item_ids]

    def link_items(
        self,
        item_ids: Sequence[str],
        alike: Sequence[Sequence[tuple[str, float]]],
        contents: Sequence[bytes] = (),
    ) -> None:
        """Tell which items each of these is most like in content, with similarities above 0; what
        was told before is replaced.

        contents: what was compared, as 8 bytes or more each; `linked` knows them again.
        """
        items = np.array([self._item(item) for item in item_ids], np.int32)
        others = np.full((len(items), LINKED), -1, np.int32)
        values = np.zeros((len(items), LINKED), np.float32)
        for row, found in enumerate(alike):
            for at, (other, similarity) in enumerate(found[:LINKED]):
                others[row, at] = self._items.get(other, -1)
                values[row, at] = similarity
        self._state = growth.with_content(self._state)
        content.link(self._state.content, items, others, values)
        self._links_told += len(items)
        for item, what in zip(items, contents, strict=False):
            self._state.content.told[item] = _as_number(what)

    def linked(self, item_ids: Sequence[str], contents: Sequence[bytes]) -> list[bool]:
        """Whether each of these was told of with just this content."""
        told = self._state.content.told
        numbers = [self._items.get(item, len(told)) for item in item_ids]
        return [
            number < len(told) and told[number] == _as_number(what)
            for number, what in zip(numbers, contents, strict=True)
        ]

    @property
    def item_reach(self) -> int:
        """One more than the highest number that an item has."""
        return self._items.reach

    def item_vectors(self, numbers: range) -> tuple[list[str], NDArray[np.float32]]:
        """Of the items with these numbers, those that have learned vectors (`sources.embeddings`),
        and a copy of their `out` vectors, float32 [items, WIDTH]; none where none are learned
        (`EngineSettings.embeddings`)."""
        slots = self._state.embeddings.slot[numbers.start : numbers.stop]
        have = np.flatnonzero(slots if self.settings.embeddings else _NO_ITEMS)
        vectors = widened(self._state.embeddings.out[slots[have]])
        return self.item_ids(numbers.start + have), vectors

    @property
    def user_reach(self) -> int:
        """One more than the highest number that a user has."""
        return self._users.reach

    def user_vectors(self, numbers: range) -> tuple[list[str], NDArray[np.float32]]:
        """Of the users with these numbers, those who took an item that has learned vectors, and
        their tastes, float32 [users, WIDTH] (`models.tastes`)."""
        some = np.arange(max(numbers.start, GUEST + 1), min(numbers.stop, self._users.reach))
        vectors = np.empty((len(some), WIDTH), np.float32)
        write_tastes(self._state.embeddings, self._state.users.history, some, vectors)
        have = np.flatnonzero(vectors.any(axis=1) & self.settings.embeddings)
        return [self._users.name(int(number)) for number in some[have]], vectors[have]

    def user_vector(self, user: str) -> NDArray[np.float32] | None:
        """The same of this user, float32 [WIDTH]; None for one who has none."""
        number = self._users.get(user, GUEST)
        _, vectors = self.user_vectors(range(number, number + 1))
        return vectors[0] if len(vectors) else None

    def in_common(self, user: str, others: Sequence[str]) -> list[list[str] | None]:
        """Of each of these others, the items that both took, those first that `user` took last;
        None for one of whom nothing is remembered."""
        mine = self.past(user)
        order = [] if mine is None else list(dict.fromkeys(mine.items[::-1].tolist()))
        found: list[list[str] | None] = []
        for other in others:
            theirs = self.past(other)
            if theirs is None:
                found.append(None)
                continue
            taken = set(theirs.items.tolist())
            both = [item for item in order if item >= 0 and item in taken]
            found.append(self.item_ids(both))
        return found

    def taken_with(self, item_id: str, n: int) -> list[tuple[str, float]]:
        """The `n` items most taken together with this one, most first, with what SYMMETRIC
        (`sources.covisitation`) gives each for it."""
        item, state = self._items.get(item_id), self._state.covisitation
        if item is None:
            return []
        row = slice(state.rows.start[item], state.rows.start[item] + state.rows.size[item])
        others, weights = state.others[row], widened(state.rows.halves[row])
        taken = state.taken[item]
        size = np.sqrt((taken + 1) * (taken + 1e-9) * (state.taken[others] + 1))
        scores = np.where(others == item, 0, weights[:, covisitation.WEIGHT] / size)
        best = np.argsort(-scores, kind="stable")[:n]
        best = best[scores[best] > 0]
        return [*zip(self.item_ids(others[best]), scores[best].tolist(), strict=True)]

    def events_of(self, users: Sequence[str]) -> NDArray[np.int32]:
        """How many events of each user are remembered, int32 [users]; refusals do not count."""
        numbers = np.array([self._users.get(user, GUEST) for user in users], np.int32)
        held = self._state.users.history.size[numbers]
        return np.where(numbers == GUEST, 0, held).astype(np.int32)

    def past(self, user: str) -> Past | None:
        """What is remembered of a user's events, None where nothing is; views, not to be kept."""
        number = self._users.get(user)
        if number is None:
            return None
        users = self._state.users
        start = users.history.start[number]
        words = users.history.words[start : start + users.history.size[number]]
        return Past(words[:, ITEM], words[:, TIME], int(users.dropped[number]))

    def may_see(
        self,
        user: str,
        item_ids: Sequence[str],
        only: Choice = Choice(),  # noqa: B008
    ) -> list[bool]:
        """Whether each of these items could be recommended to the user now."""
        shown, number_of_user = self._shown(), self._users.get(user, GUEST)
        kept_out = set(growth.kept_out(self._state, number_of_user, self._rules).tolist())
        answers = []
        for item_id in item_ids:
            number = self._items.get(item_id)
            answers.append(
                number is not None
                and number not in kept_out
                and bool(shown[number] > 0)
                and (not only or ((f := self._described.get(number)) is not None and only.fits(f)))
            )
        return answers

    def fitting(self, only: Choice, at_most: int) -> list[str] | None:
        """All described items that `only` means and that may be recommended to anybody; None where
        these are more than `at_most`."""
        fits = self._described.fitting(only, len(self._norm)) & (self._shown() > 0)
        numbers = np.flatnonzero(fits)
        return self.item_ids(numbers) if len(numbers) <= at_most else None

    def taken(self, item_ids: Sequence[str]) -> NDArray[np.float32]:
        """How often each of these items was taken, float32 [items]: events, those of users with
        many (`EngineSettings.influence`) counting less."""
        numbers = np.array([self._items.get(item, -1) for item in item_ids], np.int64)
        return np.where(numbers >= 0, self._state.covisitation.taken[numbers], 0).astype(np.float32)

    def delete_undescribed(self) -> None:
        """After loading, and once the whole catalogue has been upserted: delete the items that
        stood in the catalogue when the engine was saved and no longer do."""
        gone = [self._items.name(number) for number in sorted(self._undescribed)]
        self._undescribed.clear()
        self.delete_items([item for item in gone if item])

    def forget(self, user: str) -> None:
        """Forget a user: history, vectors and name. What others learned from them stays counted."""
        number = self._users.get(user)
        if number is not None:
            growth.forget_user(self._state, number)
            self._users.free([number])

    def arrays(self) -> saved.Arrays:
        """Everything learned, as arrays by name, of which `of_arrays` makes an equal engine.

        They are the engine's own memory: write them out, or copy them, before it learns on. What
        items are like is not among them: upsert the catalogue again after loading.
        """
        described = np.array(sorted(self._described.numbers() | self._undescribed), np.int64)
        return {
            "format": np.array([FORMAT], np.int64),
            "described": described,
            **saved.ids("users", self._users),
            **saved.ids("items", self._items),
            **saved.ids("categories", self._category_numbers),
            **saved.leaves(self._state),
        }

    @classmethod
    def of_arrays(cls, arrays: saved.Arrays, settings: EngineSettings) -> Recommender:
        """The engine that `arrays` was called of, under these settings; it takes the arrays over.

        Raises:
            saved.LayoutError: they are of a version that cannot be read, or of other settings.
        """
        arrays = of_present_format(arrays)
        engine_ = cls(settings)
        engine_._users = saved.ids_of("users", arrays, reserved=GUEST + 1)
        engine_._items = saved.ids_of("items", arrays, reserved=0)
        engine_._category_numbers = saved.ids_of("categories", arrays, reserved=0)
        engine_._undescribed = set(arrays["described"].tolist())
        engine_._state = growth.with_board(saved.grafted(engine_._state, arrays))
        # The settings may allow for fewer than when they were saved.
        if len(engine_._users) > settings.max_users:
            engine_._make_room_for_users()
        if len(engine_._items) > settings.max_items:
            engine_._make_room_for_items()
        return engine_

    def scoreboard(self) -> dict[str, tuple[int, int]]:
        """Live quality: by strategy, how often the item taken stood among its first ten before the
        event was learned, of how many events measured."""
        return {
            name: (hits, scored)
            for name, (hits, scored) in zip(STRATEGY_NAMES, self._state.hits.tolist(), strict=True)
        }

    def memory(self) -> dict[str, float]:
        """Mean bytes held per user, and per item by what they are for."""
        return growth.memory(self._state, max(1, len(self._users)), max(1, len(self._items)))

    def item_ids(self, numbers: Sequence[int] | NDArray[np.integer]) -> list[str]:
        """Names of the item numbers in `PrequentialChunk.top_items`."""
        return [self._items.name(int(number)) for number in numbers]

    @property
    def _norm(self) -> NDArray[np.float32]:
        return self._state.covisitation.norm

    def _second(self, now: float) -> int:
        return int(engine.second_of(self._state.time, _usable_time(now)))

    def _shown(self) -> NDArray[np.float32]:
        """What may be recommended: `_norm` without what is hidden."""
        if not self._hidden:
            return self._norm
        shown = self._norm.copy()
        shown[: len(self._hidden_items)][self._hidden_items] = 0
        return shown

    def _may_be_tried(self, number: int) -> bool:
        """Whether it may be recommended and few have taken it."""
        hidden = number < len(self._hidden_items) and self._hidden_items[number]
        few = self._state.covisitation.taken[number] < engine.FEW
        return bool(few and self._norm[number] > 0 and not hidden)

    def _set_hidden(self, number: int, hidden: bool) -> None:
        if number >= len(self._hidden_items) and hidden:
            longer = np.zeros(len(self._norm), np.bool_)
            longer[: len(self._hidden_items)] = self._hidden_items
            self._hidden_items = longer
        if number < len(self._hidden_items):
            self._hidden_items[number] = hidden

    def _numbers_of(self, categories: Iterable[str]) -> list[int]:
        """The engine's numbers of an item's first categories; new ones while there is room."""
        book = self._category_numbers
        first = itertools.islice(dict.fromkeys(filter(None, categories)), KEPT)
        return [book.add(c) for c in first if c in book or len(book) < MOST_CATEGORIES]

    def _forget_facts(self, number: int) -> None:
        self._described.remove(number)
        self._set_hidden(number, False)

    def _item(self, item_id: str) -> int:
        if item_id not in self._items and len(self._items) >= self.settings.max_items:
            self._make_room_for_items()
        number = self._items.add(item_id)
        if number >= len(self._norm):
            self._state = growth.with_items(self._state, number + 1)
        return number

    def _learn(self, chunk: Interactions, task: int, answers: Answers, rules: engine.Rules) -> None:
        begin = 0
        while begin < len(chunk):
            later = self._later_days(chunk.times[begin:])
            if later[0]:
                self._forget_idle(float(chunk.times[begin]))
            stop = self._as_far_as_names_go(chunk, begin)
            if later[1:].any():
                stop = min(stop, begin + 1 + int(np.argmax(later[1:])))
            self._learn_part(chunk, begin, stop, task, answers, rules)
            begin = stop

    def _later_days(self, times: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Where these times lie on a later day than the latest event learned; nowhere if nobody is
        forgotten for being idle. What is too far ahead (`engine.LONGEST_JUMP`) is on no day."""
        time = self._state.time
        if not self.settings.forget_after_days or not time[engine.BEGUN]:
            return np.zeros(len(times), np.bool_)
        now, times = float(time[engine.EPOCH] + time[engine.NOW]), _usable(times)
        return (times <= now + engine.LONGEST_JUMP) & (times // _DAY > now // _DAY)

    def _forget_idle(self, now: float) -> None:
        """Before the first event of a day. The log tells that they have been away too long, and not
        a clock, so whoever learns the same events in the same order forgets the same users."""
        since = self._second(now - self.settings.forget_after_days * _DAY)
        idle = growth.idle_since(self._state, self._users.reach, since)
        for user in filter(None, map(self._users.name, idle)):
            self._leaving(user)
            self.forget(user)
            self._idle.append(user)

    def _as_far_as_names_go(self, chunk: Interactions, begin: int) -> int:
        """The first event whose user or item finds no room; some room is made at `begin`."""
        users, items = self._users, self._items
        most_users, most_items = self.settings.max_users, self.settings.max_items
        if chunk.users[begin] not in users and len(users) >= most_users:
            self._make_room_for_users()
        if chunk.items[begin] not in items and len(items) >= most_items:
            self._make_room_for_items()
        room_for_users, room_for_items = most_users - len(users), most_items - len(items)
        if len(chunk) - begin <= min(room_for_users, room_for_items):
            return len(chunk)
        new_users: set[str] = set()
        new_items: set[str] = set()
        for k in range(begin, len(chunk)):
            if chunk.users[k] not in users:
                new_users.add(chunk.users[k])
            if chunk.items[k] not in items:
                new_items.add(chunk.items[k])
            if len(new_users) > room_for_users or len(new_items) > room_for_items:
                return k
        return len(chunk)

    def _make_room_for_users(self) -> None:
        count = _to_evict(len(self._users), self.settings.max_users)
        away = growth.longest_away(self._state, self._users.numbers, count)
        for number in away:
            self._leaving(self._users.name(number))
            growth.forget_user(self._state, number)
        self._users.free(away)

    def _make_room_for_items(self) -> None:
        count = _to_evict(len(self._items), self.settings.max_items)
        away = growth.longest_untaken(self._state, self._items.numbers, count)
        growth.forget_items(self._state, away)
        self._newcomers.reach(len(self._norm))
        self._newcomers.forget(away)
        self._undescribed.difference_update(away)
        for number in away:
            self._forget_facts(number)
        self._items.free(away)

    def _learn_part(
        self,
        chunk: Interactions,
        begin: int,
        stop: int,
        task: int,
        answers: Answers,
        rules: engine.Rules,
    ) -> None:
        part = range(begin, stop)
        users, items = np.zeros(stop, np.int32), np.zeros(stop, np.int32)
        users[begin:] = [self._users.add(chunk.users[k]) for k in part]
        items[begin:] = [self._items.add(chunk.items[k]) for k in part]
        self._state = growth.with_items(self._state, self._items.reach)
        self._state = growth.with_users(self._state, self._users.reach)
        growth.rest_the_board(self._state, stop - begin)
        times = _usable(chunk.times)
        kinds = np.array(chunk.kinds, np.int8)
        values = np.where(np.abs(chunk.values) < MOST_VALUE, chunk.values, 0).astype(np.float32)
        done = begin
        while done < stop:
            done = engine.run(
                self._state,
                rules,
                task,
                users,
                items,
                kinds,
                values,
                times,
                done,
                self._norm,
                _NO_ITEMS,
                self._newcomers.shown,
                self._newcomers.turn,
                self._given_out,
                answers,
            )
            if done < stop:
                self._state = growth.with_room(self._state, rules)

    def _rank(
        self,
        names: Sequence[str],
        users: NDArray[np.int32],
        now: float,
        n: int,
        norm: NDArray[np.float32],
        excluded: NDArray[np.int32],
        reasons: bool | None,
    ) -> list[Ranking]:
        if not 1 <= n <= LONGEST_LIST:
            raise ValueError(f"n must be 1 to {LONGEST_LIST}, not {n}")
        why = self.settings.reasons if reasons is None else reasons
        answers = engine.no_answers(lists=len(users), n=n, reasons_for=len(users) if why else 0)
        growth.rest_the_board(self._state, len(users))
        self._newcomers.reach(len(self._norm))
        engine.run(
            self._state,
            self._rules,
            engine.EXPLAIN if why else engine.RECOMMEND,
            users,
            users,
            np.zeros(len(users), np.int8),
            np.zeros(len(users), np.float32),
            np.full(len(users), _usable_time(now)),
            0,
            norm,
            excluded,
            self._newcomers.shown,
            self._newcomers.turn,
            self._given_out,
            answers,
        )
        item_ids = self._items.names
        told: Iterable[Reason | None] = self._reasons(answers) if why else repeat(None)
        listed = zip(
            answers.items.ravel().tolist(), answers.scores.ravel().tolist(), told, strict=False
        )
        recommended = [
            Recommended(item_ids[item], score, reason)
            for item, score, reason in listed
            if item >= 0
        ]
        ends = [*itertools.accumulate((answers.items >= 0).sum(axis=1).tolist())]
        return [
            Ranking(user, tuple(recommended[begin:end]), tried)
            for user, begin, end, tried in zip(
                names, [0, *ends], ends, answers.tried.tolist(), strict=False
            )
        ]

    def _filled(
        self,
        rankings: list[Ranking],
        users: NDArray[np.int32],
        n: int,
        norm: NDArray[np.float32],
        excluded: NDArray[np.int32],
        reasons: bool | None,
    ) -> list[Ranking]:
        """The same lists, those shorter than `n` filled as `recommend` says, as far as there is
        something in the catalogue."""
        if all(len(ranking.items) == n for ranking in rankings):
            return rankings
        why = self.settings.reasons if reasons is None else reasons
        unknown, known = (
            Reason(SOURCES[source], 1.0, (), reasons_in_words(source, None)) if why else None
            for source in (EXPLORE, CATALOGUE)
        )
        free = self._described.fitting(Choice(), len(norm)) & (norm > 0)
        free[excluded] = False
        numbers = np.flatnonzero(free)
        shown = np.maximum(self._newcomers.shown[numbers], 0)
        numbers = numbers[np.argsort(shown, kind="stable")]  # once: a large catalogue takes long
        filled = []
        for ranking, user in zip(rankings, users.tolist(), strict=True):
            held = np.array([self._items.get(i.item_id, -1) for i in ranking.items], np.int32)
            out = np.append(growth.kept_out(self._state, user, self._rules), held)
            first = numbers[: n + len(out)]
            least = first[~np.isin(first, out)][: n - len(held)]
            last = ranking.items[-1].score if ranking.items else 0.0
            few = self._state.covisitation.taken[least] < engine.FEW
            more = [
                Recommended(name, last - k, unknown if new else known)
                for k, (name, new) in enumerate(zip(self.item_ids(least), few, strict=True), 1)
            ]
            filled.append(Ranking(ranking.user_id, (*ranking.items, *more), ranking.tried))
        return filled

    def _reasons(self, answers: Answers) -> Iterator[Reason]:
        """The reasons of all lists, one list after the other, in words.

        Flat lists of numbers: with lists of lists, Python's collector took 15 % of the time of a
        list with reasons.
        """
        item_ids, causes = self._items.names, answers.causes.ravel().tolist()
        named = [
            Because(item_ids[cause], share) if cause >= 0 else None
            for cause, share in zip(causes, answers.cause_shares.ravel().tolist(), strict=True)
        ]
        said: dict[tuple[int, int], str] = {}  # the lists of a turn say the same again and again
        for source, share, cause, because_of in zip(
            answers.source.ravel().tolist(),
            answers.share.ravel().tolist(),
            causes[::NAMED],
            zip(*[iter(named)] * NAMED, strict=True),
            strict=True,
        ):
            text = said.get((source, cause))
            if text is None:
                title = self._title(cause) if cause >= 0 else None
                text = said[source, cause] = reasons_in_words(source, title)
            yield Reason(SOURCES[source], share, tuple(filter(None, because_of)), text)

    def _title(self, item: int) -> str:
        facts = self._described.get(item)
        return cut(facts.title if facts and facts.title else self._items.name(item))


def _nobody_listens(_user: str) -> None:
    """Of who is about to be forgotten."""


def _to_evict(known: int, most: int) -> int:
    """How many of so many make room; all beyond `most`, where that was lowered."""
    return max(1, int(EVICTED * known), known - most + 1)


def _as_number(content: bytes) -> int:
    return int.from_bytes(content[:8], "little", signed=True)


def _usable(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same times; NO_TIME for what is no number or lies tens of thousands of years away."""
    return np.where(np.abs(times) < MOST_TIME, times, engine.NO_TIME).astype(np.float64)


def _usable_time(now: float) -> float:
    """The same of one time."""
    return float(now) if abs(now) < MOST_TIME else engine.NO_TIME
