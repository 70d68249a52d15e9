"""Ask the film catalogue in words, and see whether the first ten answer.

    python -m benchmarks.words --stream DIR [--out benchmarks/words/README.md]

DIR holds MovieLens' `items.csv.gz` and `events.csv.gz` in Freshet's columns. What is measured is
the code that answers: `models.content.utterance`, `conversation` and `words`. Three questions:

1. nDCG@10 over `queries.QUERIES`, relevance by facts, beside ignoring the query (popularity) and
   BM25 (bm25s, its defaults), which read the same text. Nobody asks: no user's taste plays a part.
2. nDCG@10 over conversations of two turns: a query of one category, then "without" and another
   one (relevant is the one category without the other), or the other alone (relevant are both). All
   pairs of which enough films are relevant, of queries that are one phrase. Beside it, one turn.
3. Does knowing the user help? The last fifth of each user's likes (ratings of 4 and more) is held
   back, and the engine learns the rest. Each is asked for with the most specific query that it
   answers, among all that the user has not rated before: where does it stand? One right film among
   all that the query fits: hard on purpose.

Nothing is tuned here. Only one thread is used.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import machine
from benchmarks.words.queries import QUERIES
from models.catalogue import ItemFacts
from models.compiled import compile as compile_engine
from models.compiled import use_cache
from models.content.conversation import Conversation
from models.content.encoder import SentenceEncoder
from models.content.likeness import Likeness
from models.content.text import text_of
from models.content.utterance import understood
from models.content.words import CONSIDERED, SCALE, scores
from models.evaluation import EventLog
from models.recommender import Recommender
from models.settings import EngineSettings
from models.sources.content import LINKED
from streams.files import read_columns, read_facts
from streams.settings import load

LIKED = 4.0
TOP = 10
FEWEST = 20
"""Relevant films that a pair of turns must have."""

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Held:
    """One like that was held back. out: items the user had rated before. query: what it answers."""

    user: str
    item: int
    time: float
    query: int
    out: NDArray[np.int64]


class Shop:
    """The catalogue with its vectors, asked as a worker asks it."""

    def __init__(self, facts: Sequence[ItemFacts], encoder: SentenceEncoder) -> None:
        self.facts, self._encoder = facts, encoder
        self.texts = [text_of(each) for each in facts]
        self.vectors = encoder.encode(self.texts)
        self.likeness = Likeness(encoder.dimensions, exact_up_to=len(facts))
        self.likeness.upsert([each.item_id for each in facts], self.vectors)
        self._known: dict[str, NDArray[np.float32]] = {}

    def cosines(self, *turns: str) -> Floats:
        """q·item for the query that these turns of a conversation add up to."""
        talk = Conversation()
        for turn in turns:
            said = understood(turn)
            unwanted = [(self._vector(part.text), part.weight) for part in said.unwanted]
            wanted = self._vector(said.wanted.text) if said.wanted.text else None
            talk.hear(wanted, unwanted)
        return (self.vectors @ talk.query(self.likeness.mean)).astype(np.float64)

    def _vector(self, text: str) -> NDArray[np.float32]:
        if text not in self._known:
            (self._known[text],) = self._encoder.encode([text])
        return self._known[text]


def main() -> int:
    """Measure, and write the tables."""
    options = _options()
    use_cache(load().cache_dir / "engine")
    compile_engine()
    facts = list(read_facts(options.stream / "items.csv.gz").items.values())
    log = EventLog.of(read_columns(options.stream / "events.csv.gz").rows)
    relevant = np.array(
        [[q.answered_by(f.title, frozenset(f.categories)) for f in facts] for q in QUERIES]
    )
    shop = Shop(facts, SentenceEncoder(device="cpu", threads=1))
    number = {each.item_id: k for k, each in enumerate(facts)}
    kept, held = _split(log, number, relevant)
    train = log.only(kept)
    taken = np.zeros(len(facts))
    np.add.at(taken, [number[train.item_names[code]] for code in train.items], 1)
    lines = [
        *_answers(shop, taken, relevant),
        "",
        *_conversations(shop, taken),
        "",
        *_clicks(shop, _engine_of(train, shop), taken, held),
    ]
    page = _page(lines)
    print(page)
    if options.out:
        options.out.write_text(page)
    return 0


def _ndcg(score: Floats, relevant: Mask) -> float:
    discount = 1 / np.log2(np.arange(2, TOP + 2))
    # Stable: ties stand in the catalogue's order, which knows nothing of the query.
    first = np.argsort(-score, kind="stable")[:TOP]
    return float((relevant[first] * discount).sum() / discount[: relevant.sum()].sum())


def _row(way: str, found: Sequence[float]) -> str:
    wide = 1.96 * np.std(found, ddof=1) / len(found) ** 0.5
    return f"| {way} | {np.mean(found):.3f} | ± {wide:.3f} | {sum(f == 0 for f in found)} |"


def _answers(shop: Shop, taken: Floats, relevant: Mask) -> list[str]:
    """The table of the first question."""
    import bm25s

    index = bm25s.BM25()
    index.index(bm25s.tokenize(shop.texts, show_progress=False), show_progress=False)

    def bm25(words: str) -> Floats:
        (tokens,) = bm25s.tokenize([words], return_ids=False, show_progress=False)
        return np.asarray(index.get_scores(tokens), np.float64)

    ways: dict[str, Callable[[str], Floats]] = {
        "the query ignored (popularity)": lambda _: taken,
        "BM25": bm25,
        "similarity alone": shop.cosines,
        f"**Freshet** ({SCALE:g} · similarity + ln popularity)": lambda words: scores(
            shop.cosines(words), taken
        ),
    }
    lines = [
        f"## Are the first ten relevant? ({len(relevant)} queries)",
        "",
        "| way | nDCG@10 | 95 % | no relevant item in ten |",
        "|---|---|---|---|",
    ]
    for way, score in ways.items():
        found = [_ndcg(score(q.words), rel) for q, rel in zip(QUERIES, relevant, strict=True)]
        lines.append(_row(way, found))
    return lines


def _conversations(shop: Shop, taken: Floats) -> list[str]:
    """The table of the second question."""
    single = [
        q
        for q in QUERIES
        if len(q.all) == 1 and not (q.none or q.years or q.title or "," in q.words)
    ]
    has = {
        q.all[0]: np.array([q.all[0] in facts.categories for facts in shop.facts]) for q in single
    }
    pairs = [(a, b, has[a.all[0]], has[b.all[0]]) for a in single for b in single if a.all != b.all]
    without = [(a, b, x & ~y) for a, b, x, y in pairs if (x & y).sum() >= FEWEST]
    both = [(a, b, x & y) for a, b, x, y in pairs if (x & y).sum() >= FEWEST]

    def row(way: str, asked: list[tuple[tuple[str, ...], Mask]]) -> str:
        return _row(way, [_ndcg(scores(shop.cosines(*turns), taken), rel) for turns, rel in asked])

    return [
        f"## Do follow-ups refine? ({len(both)} pairs of queries)",
        "",
        "| conversation | nDCG@10 | 95 % | no relevant item in ten |",
        "|---|---|---|---|",
        row("A; relevant: A, not B", [((a.words,), rel) for a, b, rel in without]),
        row('A, then "without B"', [((a.words, f"without {b.words}"), r) for a, b, r in without]),
        row('"A, not too B"', [((f"{a.words}, not too {b.words}",), r) for a, b, r in without]),
        row("A; relevant: A and B", [((a.words,), rel) for a, b, rel in both]),
        row("B; relevant: A and B", [((b.words,), rel) for a, b, rel in both]),
        row("A, then B", [((a.words, b.words), rel) for a, b, rel in both]),
    ]


def _split(log: EventLog, number: dict[str, int], relevant: Mask) -> tuple[Mask, list[Held]]:
    """Which events are learned: of each user those before the last fifth of their likes; and that
    fifth, where a query asks for it."""
    size = relevant.sum(axis=1)
    kept, held = np.ones(len(log), np.bool_), []
    events: defaultdict[int, list[int]] = defaultdict(list)
    for event, user in enumerate(log.users.tolist()):
        events[user].append(event)
    for user, row in events.items():
        liked = [place for place, event in enumerate(row) if log.values[event] >= LIKED]
        if len(liked) < 5:
            continue
        begin = liked[-(len(liked) // 5)]
        kept[row[begin:]] = False
        items = [number[log.item_names[log.items[event]]] for event in row]
        for place in liked:
            asks = np.flatnonzero(relevant[:, items[place]])
            if place >= begin and len(asks):
                query = int(asks[np.argmin(size[asks])])
                out = np.array(items[:place], np.int64)
                name, time = log.user_names[user], float(log.times[row[place]])
                held.append(Held(name, items[place], time, query, out))
    return kept, held


def _engine_of(log: EventLog, shop: Shop) -> Recommender:
    engine = Recommender(EngineSettings(reasons=False, explore=0))
    engine.upsert_items(shop.facts)
    names = [facts.item_id for facts in shop.facts]
    engine.link_items(names, shop.likeness.of(names, LINKED))
    for part in log.chunks(500):
        engine.learn(log.rows(part))
    return engine


def _clicks(shop: Shop, engine: Recommender, taken: Floats, held: Sequence[Held]) -> list[str]:
    """The table of the third question."""
    names = [facts.item_id for facts in shop.facts]
    popular = np.log1p(taken)
    cosines = [shop.cosines(query.words) for query in QUERIES]

    def gain(score: Floats, places: NDArray[np.int64], item: int) -> float:
        at = np.flatnonzero(places == item)
        rank = int(np.count_nonzero(score > score[at[0]])) if len(at) else TOP
        return float(1 / np.log2(rank + 2)) if rank < TOP else 0.0

    ways = (
        "the query ignored (popularity)",
        "similarity alone",
        "Freshet, nobody known",
        "**Freshet**",
    )
    gains = np.zeros((len(ways), len(held)))
    for k, each in enumerate(held):
        allowed = np.ones(len(names), np.bool_)
        allowed[each.out] = False
        everywhere, near = np.flatnonzero(allowed), cosines[each.query].copy()
        near[each.out] = -np.inf
        places = np.argsort(-near, kind="stable")[:CONSIDERED]
        among = [names[place] for place in places]
        ranking = engine.answer(each.user, each.time, 128, among=among)
        own = {item.item_id: item.score for item in ranking.items}
        known = np.array([own.get(name, -np.inf) for name in among])
        gains[0, k] = gain(popular[everywhere], everywhere, each.item)
        gains[1, k] = gain(near[places], places, each.item)
        gains[2, k] = gain(scores(near[places], taken[places]), places, each.item)
        gains[3, k] = gain(scores(near[places], taken[places], known), places, each.item)
    lines = [
        f"## Does knowing the user help? ({len(held):,} likes held back)",
        "",
        "| way | nDCG@10 | among the first ten |",
        "|---|---|---|",
    ]
    for way, row in zip(ways, gains, strict=True):
        lines.append(f"| {way} | {row.mean():.4f} | {(row > 0).mean():.2%} |")
    # Likes of one user are no independent draws: the spread is that of users' sums.
    users = np.array([each.user for each in held])
    more = gains[3] - gains[2]
    residuals = np.array([(more - more.mean())[users == user].sum() for user in np.unique(users)])
    wide = 1.96 * float(np.sqrt((residuals**2).sum())) / len(held)
    lines += ["", f"Knowing the user adds {more.mean():+.4f} ± {wide:.4f} (95 %)."]
    return lines


def _page(lines: list[str]) -> str:
    packages = ("bm25s", "sentence-transformers", "torch", "numpy")
    facts = machine()
    head = ["# Asking in words", "", "Written by `python -m benchmarks.words`; what and how is "
            "said there.", ""]  # fmt: skip
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    foot = [
        "",
        f"{facts['cpu']}, {facts['cores']} cores (one thread used), Python {facts['python']}, "
        f"{versions}; {facts['date']}.",
    ]
    return "\n".join([*head, *lines, *foot]) + "\n"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.words", description=__doc__)
    parser.add_argument("--stream", type=Path, required=True, help="the folder of the two files")
    parser.add_argument("--out", type=Path, help="write the tables to this file too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
