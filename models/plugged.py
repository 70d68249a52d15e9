"""A model of one's own on top of the engine's list: any class with the interface of `river.reco`.

    model.learn_one(user, item, y)       y = 1.0 taken, 0.0 not taken
    model.predict_one(user, item) → float

It is one more voice in the ranking. Of the engine's first SHORTLIST items, with scores s, the model
says p, brought to mean 0 and variance 1 over the list: z. The list is ordered by

    t = s + w · z

and w is learned as the ranker's own weights are: before an event is learned, one step of softmax
cross-entropy over the list towards the item that was taken,

    w ← w + STEP · g / √(1 + Σ g²)        g = z_taken − Σ softmax(t) · z

(Adagrad; Duchi, Hazan & Singer 2011), so a model that does not help ends up with no say. Then the
model learns the event, and as not taken NEGATIVES items drawn from all it has seen taken.

What has the last place of the engine's list to be tried (`models.newcomers`) has that of the list
asked for, whatever the model says.

A model that raises is left out from then on, and the engine goes on without it.
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from models.board import LONGEST_LIST
from models.interactions import Interactions, Kind
from models.ranking import Ranking
from models.recommender import PrequentialChunk, Recommender
from models.settings import EngineSettings
from models.user import GUEST

SHORTLIST = 50
NEGATIVES = 2
STEP = 0.1


class PluginError(ValueError):
    """The model cannot be used; the text says why and what to do."""


class Model(Protocol):
    """What is asked of a model; `river.reco.BiasedMF`, for one, has it."""

    def learn_one(self, user: str, item: str, y: float) -> None: ...
    def predict_one(self, user: str, item: str) -> float: ...


def engine_of(settings: EngineSettings, *, seed: int = 0) -> Recommender:
    """A new engine, with the plugged-in model where the settings name one.

    Raises:
        PluginError: there is no such model.
    """
    return Plugged(settings, seed=seed) if settings.plugin else Recommender(settings, seed=seed)


def build(name: str, parameters: dict[str, Any]) -> Any:
    """An object of the class `module:Class`. A parameter that is a mapping of one such name to
    parameters is an object too, as in {"latent_optimizer": {"river.optim:SGD": {"lr": 0.05}}}.

    Raises:
        PluginError: no such class, or it does not take these parameters.
    """
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise PluginError(
            f"engine.plugin {name}: {error}; install it beside Freshet, or put its folder on "
            "PYTHONPATH"
        ) from None
    except AttributeError:
        raise PluginError(f"engine.plugin {name}: {module} has no {attribute}") from None
    made = {key: _value(value) for key, value in parameters.items()}
    try:
        return found(**made)
    except Exception as error:
        raise PluginError(
            f"engine.plugin {name} cannot be made with {parameters}: {error}; correct "
            "engine.plugin_parameters"
        ) from error


def _value(value: Any) -> Any:
    if isinstance(value, dict) and len(value) == 1:
        ((name, parameters),) = value.items()
        if ":" in name:
            return build(name, parameters)
    return value


def _model(settings: EngineSettings) -> Model:
    model = build(settings.plugin, json.loads(settings.plugin_parameters))
    for method, arguments in (("learn_one", "user, item, y"), ("predict_one", "user, item")):
        wanted = arguments.split(", ")
        try:
            has = list(inspect.signature(getattr(model, method, None)).parameters)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            has = []
        if has[: len(wanted)] != wanted:
            raise PluginError(
                f"engine.plugin {settings.plugin} has no {method}({arguments}); give it one, as "
                "docs/plugins.md shows"
            )
    return model  # type: ignore[no-any-return]


def _attributes(thing: object) -> Sequence[object]:
    if isinstance(thing, (type, ModuleType)):
        return ()
    return list(getattr(thing, "__dict__", {}).values())


Take = Callable[..., PrequentialChunk]


class Plugged(Recommender):
    """The engine with a model on top of its list.

    The model lives as long as the process: a snapshot holds the engine alone, and after a start the
    model learns, and gains its say, from what comes then.

    weight: what the model's opinion weighs beside the engine's score. fault: why the model has been
    left out, None while it takes part.
    """

    def __init__(self, settings: EngineSettings, *, seed: int = 0) -> None:
        super().__init__(settings, seed=seed)
        self._model: Model | None = _model(settings)
        self.weight = 0.0
        self.fault: str | None = None
        self._squares = 1.0
        self._random = np.random.default_rng(seed)
        #: By the engine's numbers, the users and items that the model has learned of. It is asked
        #: about no others: some models make up a vector for a stranger, and asking must not write.
        self._users_met: dict[int, str] = {}
        self._items_met: dict[int, str] = {}
        #: The items met, to draw from.
        self._taken: list[int] = []

    def learn(self, chunk: Interactions, *, practise: float = 1.0) -> None:
        """Learn every event of a chunk, in order; the model's weight moves on those on which the
        ranker practises."""
        share = self.settings.practice * practise
        for k in range(len(chunk)):
            if self._model is None:
                super().learn(chunk.part(k, len(chunk)), practise=practise)
                return
            one = chunk.part(k, k + 1)
            if self._random.random() < share:
                self._order(one, super().rank_and_learn(one, top=SHORTLIST), learning=True)
            else:
                super().learn(one, practise=0.0)
            self._teach(one)

    def rank_and_learn(self, chunk: Interactions, *, top: int = 10) -> PrequentialChunk:
        return self._one_by_one(chunk, super().rank_and_learn, top, learning=True)

    def rank_and_remember(self, chunk: Interactions, *, top: int = 10) -> PrequentialChunk:
        return self._one_by_one(chunk, super().rank_and_remember, top, learning=False)

    def forget(self, user: str) -> None:
        """Forget a user, also in every table of the model that is keyed by users."""
        number = self._users.get(user)
        if number is not None and self._users_met.pop(number, None) is not None:
            self._drop(user)
        super().forget(user)

    def _one_by_one(
        self,
        chunk: Interactions,
        take: Callable[..., PrequentialChunk],
        top: int,
        *,
        learning: bool,
    ) -> PrequentialChunk:
        width = max(top, SHORTLIST)
        found = [take(chunk.part(0, 0), top=width)]
        for k in range(len(chunk)):
            one = chunk.part(k, k + 1)
            found.append(take(one, top=width))
            self._order(one, found[-1], learning=learning)
            if learning:
                self._teach(one)
        ranks, tops, scores, shares = (
            np.concatenate([getattr(part, name) for part in found])
            for name in ("ranks", "top_items", "top_scores", "shares")
        )
        return PrequentialChunk(found[0].names, ranks, tops[:, :top], scores[:, :top], shares)

    def _order(self, one: Interactions, ranked: PrequentialChunk, *, learning: bool) -> None:
        """Order one event's list anew, in place, and learn how much the model's opinion is worth.

        An item beyond the list keeps its rank.
        """
        items, scores = ranked.top_items[0], ranked.top_scores[0]
        n = int(np.count_nonzero(items >= 0))
        z = self._opinion(self._users.get(one.users[0], GUEST), items[:n])
        total = scores[:n] + self.weight * z
        place = np.flatnonzero(items[:n] == self._items.get(one.items[0], -1))
        if len(place) and not np.isnan(ranked.ranks[0, 0]):
            right = int(place[0])
            higher, equal = np.sum(total > total[right]), np.sum(total == total[right])
            rank = float(higher + 0.5 * (equal - 1))
            self._state.hits[0, 0] += int(rank < 10) - int(ranked.ranks[0, 0] < 10)
            ranked.ranks[0, 0] = rank
            if learning:
                chance = np.exp(total - total.max())
                gradient = float(z[right] - chance @ z / chance.sum())
                self._squares += gradient * gradient
                self.weight += STEP * gradient / float(np.sqrt(self._squares))
        order = np.argsort(-total, kind="stable")
        items[:n], scores[:n] = items[order], total[order]

    def _opinion(self, user: int, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """What the model says of each item, mean 0 and variance 1; 0 where it cannot know."""
        z = np.zeros(len(items), np.float32)
        name = self._users_met.get(user)
        if self._model is None or name is None or name != self._users.name(user):
            return z
        met = [self._met(int(item)) for item in items]
        known = np.array([m is not None for m in met], np.bool_)
        try:
            said = [float(self._model.predict_one(name, met[k])) for k in np.flatnonzero(known)]  # type: ignore[arg-type]
        except Exception as error:
            self._leave_out(error)
            return z
        if said:
            found = np.nan_to_num(np.array(said, np.float64), posinf=0, neginf=0)
            z[known] = (found - found.mean()) / max(float(found.std()), 1e-9)
        return z

    def _met(self, item: int) -> str | None:
        """The item's name, if the model has learned of it."""
        name = self._items_met.get(item)
        return name if name == self._items.name(item) else None

    def _teach(self, one: Interactions) -> None:
        """The model learns the event, and other items as not taken."""
        kind, user, item = Kind(int(one.kinds[0])), one.users[0], one.items[0]
        if self._model is None or kind == Kind.IMPRESSION:
            return
        positive = kind <= Kind.LIKE
        self._meet(self._users_met, self._users.get(user, GUEST), user)
        try:
            self._model.learn_one(user, item, float(positive))
            if positive:
                for _ in range(NEGATIVES if self._taken else 0):
                    other = self._taken[int(self._random.integers(len(self._taken)))]
                    if self._items_met[other] != item:
                        self._model.learn_one(user, self._items_met[other], 0.0)
        except Exception as error:
            self._leave_out(error)
            return
        number = self._items.get(item, -1)
        if number not in self._items_met:
            self._taken.append(number)
        self._meet(self._items_met, number, item)

    def _meet(self, met: dict[int, str], number: int, name: str) -> None:
        """Note that the model knows this one; who had the number before was forgotten."""
        before = met.get(number)
        met[number] = name
        if before is not None and before != name:
            self._drop(before)

    def _drop(self, name: str) -> None:
        """Have the model forget a user or item; one that does not know how to loses the entries of
        that name in the tables among its attributes, and among theirs."""
        if forget := getattr(self._model, "forget", None):
            try:
                forget(name)
            except Exception as error:
                self._leave_out(error)
            return
        attributes = _attributes(self._model)
        for table in (*attributes, *(x for part in attributes for x in _attributes(part))):
            if isinstance(table, dict):
                table.pop(name, None)

    def _leave_out(self, error: Exception) -> None:
        self._model, self.weight = None, 0.0
        self.fault = f"{type(error).__name__}: {error} (after {self.events:,} events)"

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
        if self._model is None or not 1 <= n <= LONGEST_LIST:
            return super()._rank(names, users, now, n, norm, excluded, reasons)
        wide = super()._rank(names, users, now, max(n, SHORTLIST), norm, excluded, reasons)
        return [self._anew(r, int(user), n) for r, user in zip(wide, users, strict=True)]

    def _anew(self, ranking: Ranking, user: int, n: int) -> Ranking:
        """The best `n` of a longer list; what has its last place to be tried keeps that place."""
        numbers = [self._items.get(entry.item_id, -1) for entry in ranking.items]
        z = self._opinion(user, np.array(numbers, np.int32))
        total = [e.score + self.weight * float(v) for e, v in zip(ranking.items, z, strict=True)]
        order = sorted(range(len(total)), key=lambda k: -total[k])
        tried = ranking.tried and n > 1  # as in the engine, the best has the only place
        if tried:
            last = len(total) - 1
            order.remove(last)
            order[n - 1 :] = [last]
            total[last] = min(total[last], total[order[-2]])
        items = tuple(replace(ranking.items[k], score=total[k]) for k in order[:n])
        return Ranking(ranking.user_id, items, tried)
