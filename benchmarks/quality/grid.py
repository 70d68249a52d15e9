"""Every reference with a small grid of settings. What counts is its best setting *in hindsight*:
each metric of a reference is the best that any of its settings reached on that stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from benchmarks.quality.reference import Builder


def references() -> Iterator[tuple[str, str, Callable[[], Builder]]]:
    """Name of the reference, name of one run of it, and a function that imports and builds it."""
    for model in ("Baseline", "FunkMF", "BiasedMF"):
        for step in (0.01, 0.05, 0.1):
            yield f"river {model}", f"step-{step:g}", partial(_river, model=model, step=step)
    for similarity in ("cosine", "tf-idf", "bm25"):
        for neighbours in (50, 200):
            settings = {"similarity": similarity, "neighbours": neighbours}
            yield "implicit item-kNN", f"{similarity}-{neighbours}", partial(_knn, **settings)
    for factors in (64, 128):
        for regularisation in (0.01, 1.0):
            for alpha in (1.0, 10.0):
                yield (
                    "implicit ALS",
                    f"{factors}-{regularisation:g}-{alpha:g}",
                    partial(_als, factors=factors, regularisation=regularisation, alpha=alpha),
                )
    for factors in (64, 128):
        for rate in (0.02, 0.1):
            yield (
                "implicit BPR",
                f"{factors}-{rate:g}",
                partial(_bpr, factors=factors, learning_rate=rate),
            )
    for regularisation in (50.0, 200.0, 500.0):
        yield "EASE", f"{regularisation:g}", partial(_ease, regularisation=regularisation)
    for network in ("SASRec", "GRU4Rec"):
        for size, dropout in ((64, 0.2), (64, 0.5), (128, 0.2)):
            settings = {"network": network, "size": size, "dropout": dropout}
            yield network, f"{size}-{dropout:g}", partial(_sequence, **settings)


def _river(**settings: Any) -> Builder:
    from benchmarks.quality.river_rankers import RiverRanker

    return partial(RiverRanker, **settings)


def _knn(**settings: Any) -> Builder:
    from benchmarks.quality.neighbours import ItemNeighbours

    return partial(ItemNeighbours, **settings)


def _als(**settings: Any) -> Builder:
    from benchmarks.quality.factors import Als

    return partial(Als, **settings)


def _bpr(**settings: Any) -> Builder:
    from benchmarks.quality.factors import Bpr

    return partial(Bpr, **settings)


def _ease(**settings: Any) -> Builder:
    from benchmarks.quality.ease import Ease

    return partial(Ease, **settings)


def _sequence(**settings: Any) -> Builder:
    from benchmarks.quality.sequence import Sequence

    return partial(Sequence, **settings)
