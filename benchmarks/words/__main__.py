"""Ask the film catalogue in words, four ways, and see whether the first ten answer.

    python -m benchmarks.words --stream DIR [--out benchmarks/words/README.md]

DIR holds MovieLens' `items.csv.gz` and `events.csv.gz` in Freshet's columns. Two questions:

1. nDCG@10 over `queries.QUERIES` for ignoring the query (popularity), BM25 (bm25s, its defaults),
   cosine similarity by all-MiniLM-L6-v2, and similarity plus popularity. All read the same text.
2. Does knowing the user help? The last fifth of each user's likes (ratings of 4 and more) is held
   back. Each is asked for with the most specific query that it answers, among all that the user has
   not rated before, and scored by where it stands:

       score(x) = cos(query, x) + a · log(1 + likes of x) / log(1 + most likes) + b · cos(taste, x)

   taste is the mean vector of what the user liked before. a and b are chosen on every other user,
   from a small grid, for the blends with and without taste each; the figures are of the rest.

Only one thread is used.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import machine
from benchmarks.words.queries import QUERIES
from models.catalogue import ItemFacts
from models.content.encoder import SentenceEncoder
from models.content.text import text_of
from models.evaluation import EventLog
from streams.files import read_columns, read_facts

LIKED = 4.0
TOP = 10
POPULARITY_GRID = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
TASTE_GRID = (0.1, 0.2, 0.4, 0.8, 1.6)

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Held:
    """One like that was held back. out: items the user had rated before. best: its query."""

    user: int
    item: int
    query: int
    out: NDArray[np.int64]


def main() -> int:
    """Measure, and write the table."""
    options = _options()
    facts = list(read_facts(options.stream / "items.csv.gz").items.values())
    number = {each.item_id: k for k, each in enumerate(facts)}
    log = EventLog.of(read_columns(options.stream / "events.csv.gz").rows)
    train, held = _split(log, number, _relevant(facts))
    likes = np.zeros(len(facts))
    for items in train.values():
        np.add.at(likes, items, 1)
    popular = (np.log1p(likes) / np.log1p(likes.max())).astype(np.float32)

    texts, words = [text_of(each) for each in facts], [query.words for query in QUERIES]
    encoder = SentenceEncoder(device="cpu", threads=1)
    vectors, asked = encoder.encode(texts), encoder.encode(words)
    similar = asked @ vectors.T
    ways = {
        "the query ignored (popularity)": np.tile(popular, (len(words), 1)),
        "BM25": _bm25(texts, words),
        "similarity": similar,
        "similarity + 0.1 · popularity": similar + 0.1 * popular,
    }
    lines = [
        *_answers(ways, _relevant(facts)),
        "",
        *_clicks(train, held, similar, popular, vectors),
    ]
    page = _page(lines)
    print(page)
    if options.out:
        options.out.write_text(page)
    return 0


def _relevant(facts: list[ItemFacts]) -> NDArray[np.bool_]:
    """bool [queries, items]."""
    return np.array(
        [[q.answered_by(f.title, frozenset(f.categories)) for f in facts] for q in QUERIES]
    )


def _bm25(texts: list[str], words: list[str]) -> Floats:
    import bm25s

    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, show_progress=False), show_progress=False)
    tokens = bm25s.tokenize(words, return_ids=False, show_progress=False)
    return np.array([index.get_scores(each) for each in tokens], np.float32)


def _answers(ways: dict[str, Floats], relevant: NDArray[np.bool_]) -> list[str]:
    """The table of the first question."""
    discount = 1 / np.log2(np.arange(2, TOP + 2))
    ideal = np.array([discount[: min(TOP, n)].sum() for n in relevant.sum(axis=1)])
    lines = [
        f"## Are the first ten relevant? ({len(relevant)} queries)",
        "",
        "| way | nDCG@10 | 95 % | no relevant item in ten |",
        "|---|---|---|---|",
    ]
    for way, scores in ways.items():
        # Stable: ties stand in the catalogue's order, which knows nothing of the query.
        first = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
        hits = np.take_along_axis(relevant, first, axis=1)
        found = (hits * discount).sum(axis=1) / ideal
        wide = 1.96 * found.std(ddof=1) / len(found) ** 0.5
        lines.append(f"| {way} | {found.mean():.3f} | ± {wide:.3f} | {(~hits.any(axis=1)).sum()} |")
    return lines


def _split(
    log: EventLog, number: dict[str, int], relevant: NDArray[np.bool_]
) -> tuple[dict[int, list[int]], list[Held]]:
    """What each user liked, without its last fifth; and that fifth, where a query asks for it."""
    size = relevant.sum(axis=1)
    rated: defaultdict[int, list[tuple[int, bool]]] = defaultdict(list)
    for user, item, value in zip(log.users.tolist(), log.items, log.values, strict=True):
        rated[user].append((number[log.item_names[item]], bool(value >= LIKED)))
    train, held = {}, []
    for user, row in rated.items():
        liked = [place for place, (_, liked) in enumerate(row) if liked]
        if len(liked) < 5:
            continue
        begin = liked[-(len(liked) // 5)]
        train[user] = [row[place][0] for place in liked if place < begin]
        for place in liked:
            item = row[place][0]
            asks = np.flatnonzero(relevant[:, item])
            if place >= begin and len(asks):
                before = np.array([row[k][0] for k in range(place)], np.int64)
                held.append(Held(user, item, int(asks[np.argmin(size[asks])]), before))
    return train, held


def _clicks(
    train: dict[int, list[int]],
    held: list[Held],
    similar: Floats,
    popular: Floats,
    vectors: Floats,
) -> list[str]:
    """The table of the second question."""
    taste = {user: vectors @ vectors[items].mean(axis=0) for user, items in train.items()}

    def gains(part: list[Held], query: float, a: float, b: float) -> NDArray[np.float64]:
        found = np.zeros(len(part))
        for k, each in enumerate(part):
            score = query * similar[each.query] + a * popular + b * taste[each.user]
            own = score[each.item]
            score[each.out] = -np.inf
            rank = int(np.count_nonzero(score > own))
            found[k] = 1 / np.log2(rank + 2) if rank < TOP else 0.0
        return found

    tune = [each for each in held if each.user % 2 == 0][::4]
    rest = [each for each in held if each.user % 2]
    plain = max(POPULARITY_GRID, key=lambda a: gains(tune, 1, a, 0).mean())
    grid = product(POPULARITY_GRID, TASTE_GRID)
    a, b = max(grid, key=lambda pair: gains(tune, 1, *pair).mean())
    ways = {
        "the query ignored (popularity)": gains(rest, 0, 1, 0),
        "the query ignored (taste)": gains(rest, 0, 0, 1),
        "similarity": gains(rest, 1, 0, 0),
        f"similarity + popularity (a {plain:g})": gains(rest, 1, plain, 0),
        f"similarity + popularity + taste (a {a:g}, b {b:g})": gains(rest, 1, a, b),
    }
    lines = [
        f"## Does knowing the user help? ({len(rest):,} likes held back)",
        "",
        "| way | nDCG@10 | among the first ten |",
        "|---|---|---|",
    ]
    lines += [f"| {w} | {g.mean():.4f} | {(g > 0).mean():.2%} |" for w, g in ways.items()]
    *_, without, blend = ways.values()
    # Likes of one user are no independent draws: the spread is that of users' means.
    users = np.array([each.user for each in rest])
    gain = np.array([(blend - without)[users == user].sum() for user in np.unique(users)])
    wide = 1.96 * gain.std(ddof=1) * len(gain) ** 0.5 / len(rest)
    lines += ["", f"Knowing the user adds {(blend - without).mean():+.4f} ± {wide:.4f} (95 %)."]
    return lines


def _page(lines: list[str]) -> str:
    packages = ("bm25s", "sentence-transformers", "torch", "numpy")
    from importlib.metadata import version

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
