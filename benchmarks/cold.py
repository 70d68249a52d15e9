"""How well are items found that hardly anybody has taken yet, and what does content give them?

    python -m benchmarks.cold --streams DIR [NAME ...] [--at-most N] [--out FILE]

DIR holds a folder for each stream with `events.csv.gz` and `items.csv.gz` in Freshet's columns.
Each is evaluated by test-then-train (`docs/evaluation.md`): *without* anything known of items, and
*with* content, which is their categories and what their texts are most like, told after the chunk
of CHUNK events in which an item first occurs, and looked for among the items told before. The
scored events are grouped by how often their item had been taken before. What any order of the
candidates could reach on items taken 1 to 3 times is told beside it: the share of these events
whose item was a candidate, and Recall@50 *among few*, of an engine that knew beforehand that it is
one of these items, so that all places go to them.

Then a third time with the whole *catalogue* told before the first event, as a shop's is: an item
can be found that nobody has taken yet. Recall@50 over an item's first 1, 3 and 5 events, and over
those before which it was taken 3 times at most, is what content should multiply.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import machine
from models.board import CANDIDATES
from models.catalogue import ItemFacts
from models.compiled import compile as compile_engine
from models.compiled import use_cache
from models.content.encoder import SentenceEncoder
from models.content.likeness import Likeness
from models.content.text import text_of
from models.evaluation import FRESHET, POPULAR, RANDOM, EventLog, Prequential
from models.evaluation.log import POSITIVE
from models.evaluation.metrics import METRICS
from models.evaluation.prequential import TOP
from models.evaluation.report import Report
from models.interactions import Interactions
from models.recommender import PrequentialChunk, Recommender
from models.sources.content import LINKED
from streams.files import read_columns, read_facts
from streams.settings import load

CHUNK = 100
UP_TO = {"1": ("1",), "1 to 3": ("1", "2", "3"), "1 to 5": ("1", "2", "3", "4-5")}
"""How often an item had been taken, and the evaluation's buckets that hold these."""
FEW, EARLY = 3, 4
EARLIEST = {"first": 0, "first 3": 2, "first 5": 4, "3 before at most": 3}
"""Groups of events, and how often the item had been taken before these at most."""
SHOWN = ("recall@10", "recall@50", "mrr")


class _Reading:
    """The engine, told of new items what their texts are most like, as a worker tells it.

    places: of each scored event on an item taken 1 to FEW times before, how many of these items
    stood before it; -1 where it was no candidate. early: of each event on an item taken EARLY times
    at most before, how often it was, and its place in the list; -1 where it was no candidate.
    """

    def __init__(self, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        self.engine, self._vectors = Recommender(), vectors
        self.places: list[int] = []
        self.early: list[tuple[int, int]] = []
        self._taken: Counter[str] = Counter()
        width = len(next(iter(vectors.values()))) if vectors else 1
        self._likeness = Likeness(width, exact_up_to=10**9)

    def rank_and_learn(self, chunk: Interactions, *, top: int = TOP) -> PrequentialChunk:
        ranked = self.engine.rank_and_learn(chunk, top=CANDIDATES)
        scored = ~np.isnan(ranked.ranks[:, 0])
        for k, item in enumerate(chunk.items):
            taken, positive = self._taken[item], chunk.kinds[k] in POSITIVE
            if positive and taken <= EARLY and (scored[k] or not taken):
                listed = self.engine.item_ids(ranked.top_items[k][ranked.top_items[k] >= 0])
                self.early.append((taken, listed.index(item) if item in listed else -1))
                if 1 <= taken <= FEW:
                    few = [other for other in listed if 1 <= self._taken[other] <= FEW]
                    self.places.append(few.index(item) if item in few else -1)
            self._taken[item] += positive
        return replace(ranked, top_items=ranked.top_items[:, :top])

    def rank_and_remember(self, chunk: Interactions, *, top: int = TOP) -> PrequentialChunk:
        return self.engine.rank_and_remember(chunk, top=top)

    def item_ids(self, numbers: NDArray[np.int32]) -> list[str]:
        return self.engine.item_ids(numbers)

    def upsert_items(self, items: Sequence[ItemFacts]) -> None:
        self.engine.upsert_items(items)
        new = [facts.item_id for facts in items if facts.item_id in self._vectors]
        if new:
            self._likeness.upsert(new, np.array([self._vectors[item] for item in new]))
            self.engine.link_items(new, self._likeness.of(new, LINKED))


def main() -> int:
    """Measure, and write the tables."""
    options = _options()
    use_cache(load().cache_dir / "engine")
    compile_engine()
    encoder = None
    lines: list[str] = []
    for folder in sorted(options.streams.iterdir()):
        if not (folder / "items.csv.gz").exists() or (
            options.names and folder.name not in options.names
        ):
            continue
        log = EventLog.of(read_columns(folder / "events.csv.gz", at_most=options.at_most).rows)
        known = read_facts(folder / "items.csv.gz").items
        facts = {name: known[name] for name in log.item_names if name in known}
        texts = {name: text for name, each in facts.items() if (text := text_of(each))}
        encoder = encoder or SentenceEncoder(device="cpu", threads=1)
        vectors = dict(zip(texts, encoder.encode([*texts.values()]), strict=True))
        began = time.monotonic()
        found = {"without": _evaluate(log, {}, {}), "with content": _evaluate(log, facts, vectors)}
        lines += _table(folder.name, {way: report for way, (report, _) in found.items()})
        lines += [_at_most(way, np.array(engine.places)) for way, (_, engine) in found.items()]
        found["the catalogue told before"] = _evaluate(log, facts, vectors, before=True)
        lines += [*_of_the_earliest(found), ""]
        print("\n".join(lines), f"\n({time.monotonic() - began:.0f} s)", flush=True)
    page = "\n".join(lines + _foot()) + "\n"
    if options.out:
        options.out.write_text(page)
    return 0


def _evaluate(
    log: EventLog,
    facts: Mapping[str, ItemFacts],
    vectors: Mapping[str, NDArray[np.float32]],
    *,
    before: bool = False,
) -> tuple[Report, _Reading]:
    """What was found, and by what. before: all facts are told before the first event."""
    told = {name: _available(each) for name, each in facts.items()}
    engine = _Reading(vectors)
    if before:
        engine.upsert_items([*told.values()])
    evaluation = Prequential(engine, log, facts={} if before else told, chunk=CHUNK)
    for _ in evaluation:
        pass
    return evaluation.report(), engine


def _available(facts: ItemFacts) -> ItemFacts:
    """What is not available today was when it was taken."""
    return ItemFacts(facts.item_id, facts.title, facts.text, facts.categories, facts.attributes)


def _table(stream: str, reports: Mapping[str, Report]) -> list[str]:
    first = next(iter(reports.values()))
    ways = [(way, report, FRESHET) for way, report in reports.items()]
    last = [*reports.values()][-1]
    ways += [(f"{source} alone", last, source) for source in ("content", "categories")]
    ways += [(POPULAR, first, POPULAR), (RANDOM, first, RANDOM)]
    lines = [
        f"## {stream} ({first.events:,} events)",
        "",
        "| item taken before | scored | | Recall@10 | Recall@50 | MRR |",
        "|---|---|---|---|---|---|",
    ]
    for label, buckets in UP_TO.items():
        for way, report, name in ways:
            scored, means = _over(report, buckets, name)
            figures = " | ".join(f"{means[METRICS.index(metric)]:.4f}" for metric in SHOWN)
            lines.append(f"| {label} | {scored:,} | {way} | {figures} |")
    for way, report, name in ways:
        metrics = report.scores[name].metrics
        figures = " | ".join(f"{metrics[metric].value:.4f}" for metric in SHOWN)
        lines.append(f"| any number | {report.scored:,} | {way} | {figures} |")
    at = METRICS.index("recall@50")
    before, after = (_over(r, UP_TO["1 to 3"], FRESHET)[1][at] for r in reports.values())
    lines += ["", f"Recall@50 on items taken 1 to 3 times: {after / max(before, 1e-9):.2f} ×.", ""]
    return lines


def _at_most(way: str, places: NDArray[np.int64]) -> str:
    found = np.mean((places >= 0) & (places < 50))
    return f"{way}: {np.mean(places >= 0):.4f} were candidates; among few Recall@50 {found:.4f}."


def _of_the_earliest(found: Mapping[str, tuple[Report, _Reading]]) -> list[str]:
    """Over an item's earliest events, those before anybody had taken it among them."""
    lines = [
        "",
        "| events of an item | | | Recall@10 | Recall@50 | MRR | overall |",
        "|" + "---|" * 7,
    ]
    for label, most in EARLIEST.items():
        for way, (report, engine) in found.items():
            early = np.array(engine.early)
            place = early[early[:, 0] <= most, 1]
            turned = np.where(place >= 0, 1.0 / (1.0 + place), 0.0)
            hits = [np.mean((place >= 0) & (place < n)) for n in (10, 50)]
            overall = report.scores[FRESHET].metrics["recall@10"].value
            figures = " | ".join(f"{each:.4f}" for each in (*hits, turned.mean(), overall))
            lines.append(f"| {label} | {len(place):,} | {way} | {figures} |")
    return lines


def _over(report: Report, buckets: Sequence[str], name: str) -> tuple[int, NDArray[np.float64]]:
    """Events of these buckets, and each metric's mean over them."""
    part = report.breakdowns["item popularity"]
    rows = [part.labels.index(label) for label in buckets]
    scored = part.scored[rows]
    values = np.nan_to_num(part.values[rows, report.names.index(name)])
    return int(scored.sum()), (values * scored[:, None]).sum(axis=0) / max(1, scored.sum())


def _foot() -> list[str]:
    facts = machine()
    return [f"{facts['cpu']}, Python {facts['python']}; {facts['date']}."]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cold", description=__doc__)
    parser.add_argument("--streams", type=Path, required=True, help="a folder of folders")
    parser.add_argument("names", nargs="*", help="only these folders")
    parser.add_argument("--at-most", type=int, help="only the first so many events of each")
    parser.add_argument("--out", type=Path, help="write the tables to this file too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
