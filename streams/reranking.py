"""Between the engine's list and the one published: editors' lists for new users, and the rules.

Both come from compacted topics that every worker follows, so a shop changes them while it runs.
What bans mean is hidden in the engine itself, so that lists stay full; the rest chooses from a list
`models.rules.LONGER` times as long as wanted. Without rules and lists, the engine's list it is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from models.board import LONGEST_LIST
from models.catalogue import Choice, Where
from models.editorial import EditorsList, blended, share_of_editors
from models.ranking import Ranking
from models.recommender import Recommender
from models.rules import LONGER, Boost, Rules, reranked
from schemas import Condition, Editorial, Request, Rule, RuleKind, decode_editorial, decode_rule
from streams.engine import Engine
from streams.keyed import Keyed
from streams.metrics import Metrics
from streams.settings import Settings


class Reranking:
    """Makes lists as the engine's `recommend` and `answer` do, and as rules and editors want."""

    def __init__(self, settings: Settings, engine: Engine, metrics: Metrics) -> None:
        self._engine, self._metrics, self._few = engine, metrics, settings.editorial_events
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
        if not rules.reorder and not any(shares):
            return recommender.recommend(users, now, n)
        wide = recommender.recommend(users, now, min(LONGER * n, LONGEST_LIST))
        return [
            _finished(recommender, ranking, rules, lists, share, n)
            for ranking, share in zip(wide, shares, strict=True)
        ]

    def answer(self, recommender: Recommender, request: Request, now: float) -> Ranking:
        """The answer to a request. In the engine's thread."""
        only, user, n = choice_of_request(request), request.user_id, request.n
        rules, lists = self._rules, [each for each in self._lists if each.holds(now)]
        share = self._shares(recommender, [user], lists, more=len(request.context_items))[0]
        direct = not rules.reorder and not share
        ranking = recommender.answer(
            user,
            now,
            n if direct else min(LONGER * n, LONGEST_LIST),
            only=only,
            exclude=request.exclude,
            context_items=request.context_items,
        )
        if direct:
            return ranking
        left_out = {*request.exclude, *request.context_items}
        return _finished(recommender, ranking, rules, lists, share, n, only, left_out)

    def _shares(
        self,
        recommender: Recommender,
        users: Sequence[str],
        lists: Sequence[EditorsList],
        more: int = 0,
    ) -> list[float]:
        if not lists:
            return [0.0] * len(users)
        events = recommender.events_of(users).tolist()
        return [share_of_editors(count + more, self._few) for count in events]

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


def _finished(
    recommender: Recommender,
    ranking: Ranking,
    rules: Rules,
    lists: Sequence[EditorsList],
    share: float,
    n: int,
    only: Choice = Choice(),  # noqa: B008
    left_out: set[str] | frozenset[str] = frozenset(),
) -> Ranking:
    """Editors first, as what they put forward must keep to the rules too."""
    if share:
        ranking = blended(ranking, _allowed(recommender, ranking, lists, only, left_out), share)
    facts = recommender.facts(item.item_id for item in ranking.items)
    return reranked(ranking, rules, facts, n)


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
