"""Between the engine's list and the one published: what helps new users, and the rules.

New users have blended in what is popular among people with the same facts (`streams.profiles`),
and then the editors' lists. These and the rules come from compacted topics that every worker
follows, so a shop changes them while it runs.

What bans mean is hidden in the engine itself, so that lists stay full; the rest chooses from a list
`models.rules.LONGER` times as long as wanted. Without rules and lists, the engine's list it is.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from models.board import LONGEST_LIST
from models.catalogue import Choice, Where
from models.content.words import answered
from models.editorial import EditorsList, blended, share_of_editors
from models.pool import Said, pooled
from models.ranking import Ranking
from models.recommender import Recommender
from models.rules import LONGER, Boost, Rules, ending_with, reranked
from models.segments import SOURCE as SEGMENTS
from models.segments import Segments, share_of_segments
from schemas import Condition, Editorial, Request, Rule, RuleKind, decode_editorial, decode_rule
from streams.engine import Engine
from streams.keyed import Keyed
from streams.metrics import Metrics
from streams.settings import Settings


class _Shares(NamedTuple):
    """What others than the engine have to say in a user's list."""

    segments: float
    editors: float


_NONE = _Shares(0.0, 0.0)


class Reranking:
    """Makes lists as the engine's `recommend` and `answer` do, and as rules and editors want."""

    def __init__(
        self, settings: Settings, engine: Engine, segments: Segments, metrics: Metrics
    ) -> None:
        self._engine, self._metrics, self._segments = engine, metrics, segments
        self._few = settings.editorial_events
        self._few_of_segments = settings.segment_events
        self._rules = Rules()
        self._lists: Sequence[EditorsList] = ()
        self._on_rules = Keyed(
            settings, "rules", decode_rule, lambda rule: rule.rule_id, self._take_rules
        )
        self._on_editorial = Keyed(
            settings, "editorial", decode_editorial, lambda each: each.name, self._take_lists
        )
        self.followers = {
            "rules are": self._on_rules.follower,
            "editors' lists are": self._on_editorial.follower,
        }

    def recommend(
        self, recommender: Recommender, users: Sequence[str], now: float, n: int
    ) -> list[Ranking]:
        """A list of `n` for each user. In the engine's thread."""
        rules, lists = self._rules, [each for each in self._lists if each.holds(now)]
        shares = self._shares(recommender, users, lists)
        # A longer list costs more: only those have one of whose list others have a say.
        chosen_from = [_is_chosen_from(rules, share) for share in shares]
        long = iter(
            recommender.recommend([*itertools.compress(users, chosen_from)], now, _longer(n))
        )
        short = iter(
            recommender.recommend(
                [user for user, longer in zip(users, chosen_from, strict=True) if not longer],
                now,
                n,
            )
        )
        rankings = [
            self._finished(recommender, next(long if longer else short), rules, lists, share, n)
            for longer, share in zip(chosen_from, shares, strict=True)
        ]
        recommender.given_out(rankings)
        return rankings

    def answer(self, recommender: Recommender, request: Request, now: float) -> Ranking:
        """The answer to a request. In the engine's thread."""
        only, user, n = choice_of_request(request), request.user_id, request.n
        rules, lists = self._rules, [each for each in self._lists if each.holds(now)]
        share = self._shares(recommender, [user], lists, more=len(request.context_items))[0]
        ranking = recommender.answer(
            user,
            now,
            _longer(n) if _is_chosen_from(rules, share) else n,
            only=only,
            exclude=request.exclude,
            context_items=request.context_items,
        )
        left_out = {*request.exclude, *request.context_items}
        ranking = self._finished(recommender, ranking, rules, lists, share, n, only, left_out)
        recommender.given_out([ranking])
        return ranking

    def answer_near(
        self,
        recommender: Recommender,
        request: Request,
        near: Sequence[tuple[str, float]],
        words: str,
        usual: float,
        now: float,
    ) -> Ranking:
        """The answer to a request in words (`models.content.words`). near: what lies nearest to
        them, with q·x; usual: the mean of that over all items. In the engine's thread."""
        user, only, rules = request.user_id, choice_of_request(request), self._rules
        allowed = recommender.may_see(user, [name for name, _ in near], only)
        near = [each for each, may in zip(near, allowed, strict=True) if may]
        names = [name for name, _ in near]
        ranking = recommender.answer(
            user,
            now,
            LONGEST_LIST,
            among=names,
            exclude=request.exclude,
            context_items=request.context_items,
        )
        ranking = answered(user, near, recommender.taken(names), ranking, words, usual)
        facts = recommender.facts(item.item_id for item in ranking.items)
        ranking = reranked(ranking, rules, facts, request.n)
        recommender.given_out([ranking], explored=False)  # nothing is in it but what was asked for
        return ranking

    def _shares(
        self,
        recommender: Recommender,
        users: Sequence[str],
        lists: Sequence[EditorsList],
        more: int = 0,
    ) -> list[_Shares]:
        if not lists and not self._segments:
            return [_NONE] * len(users)
        return [
            _Shares(
                share_of_segments(known + more, self._few_of_segments)
                if user in self._segments
                else 0.0,
                share_of_editors(known + more, self._few) if lists else 0.0,
            )
            for user, known in zip(users, recommender.events_of(users).tolist(), strict=True)
        ]

    def _finished(
        self,
        recommender: Recommender,
        ranking: Ranking,
        rules: Rules,
        lists: Sequence[EditorsList],
        share: _Shares,
        n: int,
        only: Choice = Choice(),  # noqa: B008
        left_out: set[str] | frozenset[str] = frozenset(),
    ) -> Ranking:
        """Rules last, as what others put forward must keep to them too; but for the item that has
        its place to be tried."""
        if not rules.reorder and not any(share):
            return ranking
        longer = _is_chosen_from(rules, share)
        tried = ranking.items[-1] if ranking.tried else None
        if share.segments:
            said = self._segments.opinion(ranking.user_id)
            said = _allowed_opinion(recommender, ranking.user_id, said, only, left_out)
            ranking = pooled(ranking, SEGMENTS, said, share.segments, None if longer else n)
            self._metrics.segment_lists.inc(bool(said))
        if share.editors:
            allowed = _allowed(recommender, ranking, lists, only, left_out)
            ranking = blended(ranking, allowed, share.editors)
        if rules.reorder:
            facts = recommender.facts(item.item_id for item in ranking.items)
            ranking = reranked(ranking, rules, facts, n)
        ranking = Ranking(ranking.user_id, ranking.items[:n])
        if tried is None or n < 2:  # as in the engine, the best has the only place
            return ranking
        ids = [item.item_id for item in ranking.items[: n - 1]]
        facts = recommender.facts([*ids, tried.item_id])
        return ending_with(ranking, tried, rules, facts, n)

    async def _take_rules(self, standing: Mapping[str, Rule]) -> None:
        rules = rules_of(list(standing.values()))

        def take(recommender: Recommender) -> None:
            recommender.hide(rules.bans)
            self._rules = rules

        await self._engine.run(lambda replica: take(replica.recommender))
        kinds = Counter(rule.kind for rule in standing.values())
        for kind in RuleKind:
            self._metrics.rules.labels(kind.value).set(kinds[kind])

    async def _take_lists(self, standing: Mapping[str, Editorial]) -> None:
        self._lists = [editors_list(each) for each in standing.values()]
        self._metrics.editorial_lists.set(len(self._lists))


def _is_chosen_from(rules: Rules, share: _Shares) -> bool:
    """Whether a list is chosen from a longer one of the engine's."""
    return bool(rules.reorder or share.editors)


def _longer(n: int) -> int:
    return min(LONGER * n, LONGEST_LIST)


def _allowed_opinion(
    recommender: Recommender,
    user: str,
    said: Mapping[str, Said],
    only: Choice,
    left_out: set[str] | frozenset[str],
) -> dict[str, Said]:
    """The opinion without what this user must not get, nor what they took themselves: of that, the
    engine knows better."""
    past = recommender.past(user)
    own = recommender.item_ids(past.items[past.items >= 0]) if past else ()
    names = [name for name in said if name not in left_out and name not in own]
    seen = recommender.may_see(user, names, only)
    may = [name for name, allowed in zip(names, seen, strict=True) if allowed]
    total = sum(said[name].chance for name in may)
    return {name: Said(said[name].chance / total, said[name].text) for name in may}


def _allowed(
    recommender: Recommender,
    ranking: Ranking,
    lists: Sequence[EditorsList],
    only: Choice,
    left_out: set[str] | frozenset[str],
) -> list[EditorsList]:
    """The lists without what this user must not get."""
    names = sorted({item for each in lists for item in each.weights} - left_out)
    seen = recommender.may_see(ranking.user_id, names, only)
    may = {name for name, allowed in zip(names, seen, strict=True) if allowed}
    return [
        replace(each, weights={item: w for item, w in each.weights.items() if item in may})
        for each in lists
    ]


def rules_of(messages: Sequence[Rule]) -> Rules:
    """All rules at once: boosts multiply, the lowest cap and the strongest diversity hold."""
    caps: dict[str, int] = {}
    every: list[int] = []
    for rule in messages:
        if rule.at_most is not None:
            every += [] if rule.categories else [rule.at_most]
            for category in rule.categories:
                caps[category] = min(rule.at_most, caps.get(category, rule.at_most))
    return Rules(
        boosts=tuple(Boost(_meant(r), r.factor) for r in messages if r.factor is not None),
        bans=tuple(_meant(rule) for rule in messages if rule.kind is RuleKind.BAN),
        caps=caps,
        cap=min(every, default=None),
        diversity=max((r.strength for r in messages if r.strength is not None), default=0.0),
    )


def _meant(rule: Rule) -> Choice:
    return Choice(any=tuple(rule.categories), where=_wheres(rule.where))


def choice_of_request(request: Request) -> Choice:
    """The items that a request may be answered with; `categories` is short for `filters.any`."""
    filters = request.filters
    return Choice(
        any=tuple(filters.any or request.categories),
        all=tuple(filters.all),
        none=tuple(filters.none),
        where=_wheres(filters.where),
    )


def _wheres(conditions: Sequence[Condition]) -> tuple[Where, ...]:
    return tuple(
        Where(
            condition.attribute,
            condition.equals,
            -math.inf if condition.at_least is None else condition.at_least,
            math.inf if condition.at_most is None else condition.at_most,
        )
        for condition in conditions
    )


def editors_list(message: Editorial) -> EditorsList:
    """The list as the engine's side knows it: times in seconds."""
    return EditorsList(
        message.name,
        {pick.item_id: pick.weight for pick in message.items},
        -math.inf if message.valid_from is None else message.valid_from / 1000,
        math.inf if message.valid_until is None else message.valid_until / 1000,
    )
