"""What the index of items finds, and how fast, beside FAISS alone.

    python -m benchmarks.index [--sizes 10000,100000,1000000] [--precision float16]
    python -m benchmarks.index --sizes 100000 --alternatives
    python -m benchmarks.index --device cuda

Vectors of 384 numbers lie in clusters (a topic, a group in it, and noise of as much again), as
those of texts do; what is searched for is drawn from the same clusters. `raw` is the same FAISS
index or array as inside, called directly, call by call in turns. A search is by one thread; a build
has another. `--alternatives` compares kinds of FAISS index instead. The machine should be idle.

With `--device cuda` vectors lie on the GPU, where all are compared and nothing is built; `raw` is
then what faiss-gpu, or torch where that is not installed, takes for the same.
"""

from __future__ import annotations

import argparse
import gc
import json
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.machine import machine, print_machine
from models.index import Device, ItemIndex, Precision, cells_for

DIMENSIONS = 384
K = 10
ASKED = 1000
BATCH, BATCHES = 256, 64
PER_GROUP = 200
Vectors = NDArray[np.float32]
Search = Callable[[Vectors], Any]


def clustered(n: int, seed: int = 0) -> Vectors:
    """float32 [n, DIMENSIONS], of length 1, no two groups of one size."""
    random = np.random.default_rng(seed)
    groups = max(50, n // PER_GROUP)
    topics = random.standard_normal((max(10, groups // 50), DIMENSIONS), np.float32)
    centres = topics[random.integers(len(topics), size=groups)]
    centres = 0.4 * centres + 0.4 * random.standard_normal((groups, DIMENSIONS), np.float32)
    sizes = random.random(groups) ** 2 + 0.05
    group = random.choice(groups, n, p=sizes / sizes.sum())
    vectors = np.empty((n, DIMENSIONS), np.float32)
    for at in range(0, n, 50_000):
        some = centres[group[at : at + 50_000]]
        some += 0.9 * random.standard_normal(some.shape, np.float32)
        some /= np.linalg.norm(some, axis=1, keepdims=True)
        vectors[at : at + 50_000] = some.astype(np.float16)  # as they come from the topic
    return vectors


def recall(numbers: Any, truth: Any) -> float:
    """Share of the truly nearest K that were found."""
    return float(np.mean([len({*a} & {*b}) / K for a, b in zip(numbers, truth, strict=True)]))


def quantiles(seconds: list[float]) -> tuple[float, float]:
    """p50 and p99 in milliseconds."""
    p50, p99 = np.quantile(seconds, (0.5, 0.99)) * 1000
    return round(float(p50), 3), round(float(p99), 3)


def in_turns(searches: list[Search], queries: Vectors, step: int) -> list[list[float]]:
    """Seconds of each call, of each search; at any time each is at another place of the queries,
    as the second to search for the same would find it in the processor's cache."""
    seconds: list[list[float]] = [[] for _ in searches]
    for at in range(0, len(queries), step):
        for n, (each, search) in enumerate(zip(seconds, searches, strict=True)):
            place = (at + n * len(queries) // len(searches)) % len(queries)
            some = queries[place : place + step]
            began = time.perf_counter()
            search(some)
            each.append(time.perf_counter() - began)
    return seconds


class Beside:
    """Searches for one vector after the other in a thread, while something else is done."""

    def __init__(self, index: ItemIndex, queries: Vectors) -> None:
        self.seconds: list[float] = []
        self._index, self._queries = index, queries
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._search)

    def __enter__(self) -> Beside:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _search(self) -> None:
        faiss.omp_set_num_threads(1)
        while not self._done.is_set():
            at = len(self.seconds) % len(self._queries)
            began = time.perf_counter()
            self._index.search(self._queries[at : at + 1], K)
            self.seconds.append(time.perf_counter() - began)


def measure(n: int, precision: Precision, device: Device) -> dict[str, object]:
    """All figures of one size."""
    vectors = clustered(n + ASKED)
    vectors, queries = vectors[:n], vectors[n:]
    items = [f"item-{k}" for k in range(n)]
    truth = faiss.knn(queries, vectors, K, metric=faiss.METRIC_INNER_PRODUCT)[1]
    found: dict[str, object] = {"items": n}

    gc.collect()
    before, began = psutil.Process().memory_info().rss, time.perf_counter()
    index = ItemIndex(DIMENSIONS, precision=precision, device=device)
    for at in range(0, n, 500):
        index.upsert(items[at : at + 500], vectors[at : at + 500])
    found["filled, s"] = round(time.perf_counter() - began, 2)
    index.settle()
    found["filled and built, s"] = round(time.perf_counter() - began, 2)
    found["memory, MB"] = round((psutil.Process().memory_info().rss - before) / 1e6)
    found["cells"] = index.cells

    inside: Any = index._store
    found["cells looked into"] = inside._index.nprobe if index.cells else 0

    def raw(some: Vectors) -> Any:
        if index.cells:
            return inside._index.search(some, K)
        if device == "cuda":
            return inside.search(some, K)
        return faiss.knn(some, inside._rows[:n], K, metric=faiss.METRIC_INNER_PRODUCT)

    def ours(some: Vectors) -> Any:
        return index.search(some, K)

    names = [[int(item[5:]) for item, _ in row] for row in ours(queries)]
    found["recall@10"] = round(recall(names, truth), 4)
    in_turns([ours, raw], queries[:100], 1)
    single = in_turns([ours, raw], queries, 1)
    many_times = np.resize(queries, (BATCHES * BATCH, DIMENSIONS))
    batched = in_turns([ours, raw], many_times, BATCH)
    for who, one, many in zip(("", "raw "), single, batched, strict=True):
        found[f"{who}p50, ms"], found[f"{who}p99, ms"] = quantiles(one)
        found[f"{who}queries/s"] = round(len(one) / sum(one))
        found[f"{who}queries/s, {BATCH} at once"] = round(BATCH / np.median(many))
    found["overhead"] = round(float(np.median(single[0]) / np.median(single[1])) - 1, 3)
    found["overhead, batched"] = round(float(np.median(batched[0]) / np.median(batched[1])) - 1, 3)

    changed, began = 0, time.perf_counter()
    with Beside(index, queries) as beside:
        while time.perf_counter() - began < 3:
            at = changed % n
            index.upsert(items[at : at + 100], vectors[at : at + 100])
            changed += len(items[at : at + 100])
    found["upserts/s, while searched"] = round(changed / (time.perf_counter() - began))
    found["p99 while upserting, ms"] = quantiles(beside.seconds)[1]
    found["longest, ms"] = round(1000 * max(beside.seconds), 1)

    index.settle()
    began = time.perf_counter()
    with Beside(index, queries) as beside:
        index.rebuild()
        index.settle()
        found["built anew, s"] = round(time.perf_counter() - began, 2)
        time.sleep(2)  # the old one is freed
    found["p99 while built anew, ms"] = quantiles(beside.seconds)[1]
    found["longest while built anew, ms"] = round(1000 * max(beside.seconds), 1)
    return found


def alternatives(n: int) -> list[dict[str, object]]:
    """Kinds of FAISS index: how many cells or edges each must look into for a recall, and at what
    cost. float16, int8 and products of vectors as they are, not of what is left beside a centroid.
    """
    vectors = clustered(n + ASKED)
    vectors, queries = vectors[:n], vectors[n:]
    truth = faiss.knn(queries, vectors, K, metric=faiss.METRIC_INNER_PRODUCT)[1]
    cells = cells_for(n)
    kinds = {
        "exact": "Flat",
        "cells, float32": f"IVF{cells},Flat",
        "cells, float16": f"IVF{cells},SQfp16",
        "cells, int8": f"IVF{cells},SQ8",
        "cells, int8, residuals": f"IVF{cells},SQ8",
        "cells, int4": f"IVF{cells},SQ4",
        "cells, products, 96 bytes": f"IVF{cells},PQ96x8",
        "cells, products, 48 bytes": f"IVF{cells},PQ48x8",
        "HNSW 32, float16": "HNSW32,SQfp16",
    }
    rows: list[dict[str, object]] = []
    for name, kind in kinds.items():
        began = time.perf_counter()
        index = faiss.index_factory(DIMENSIONS, kind, faiss.METRIC_INNER_PRODUCT)
        if kind.startswith("IVF"):
            index.cp.niter, index.cp.max_points_per_centroid = 10, 64
            index.by_residual = "residuals" in name
            if "products" in name:
                index.pq.cp.niter, index.pq.cp.max_points_per_centroid = 10, 64
        index.train(vectors[np.random.default_rng(0).permutation(n)[: 64 * cells]])
        index.add(vectors)
        built = time.perf_counter() - began
        size = len(faiss.serialize_index(index))
        for effort in (0,) if kind == "Flat" else (8, 16, 32) if kind[0] == "I" else (32, 64, 128):
            if kind[0] == "I":
                index.nprobe = effort
            elif kind[0] == "H":
                index.hnsw.efSearch = effort
            numbers = index.search(queries, K)[1]
            some = queries[:100] if kind == "Flat" else queries
            (one,) = in_turns([partial(index.search, k=K)], some, 1)
            p50, p99 = quantiles(one)
            row: dict[str, object] = {
                "kind": name,
                "looked into": effort,
                "recall@10": round(recall(numbers.tolist(), truth.tolist()), 4),
                "p50, ms": p50,
                "p99, ms": p99,
                "built, s": round(built, 1),
                "memory, MB": round(size / 1e6),
            }
            rows.append(row)
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument("--precision", default="float16", choices=["float16", "int8"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--alternatives", action="store_true")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    faiss.omp_set_num_threads(1)
    facts = machine()
    print_machine(facts)
    results: list[dict[str, object]] = []
    for n in map(int, asked.sizes.split(",")):
        print()
        if asked.alternatives:
            results += alternatives(n)
            continue
        results.append(measure(n, asked.precision, asked.device))
        for name, value in results[-1].items():
            print(f"{name:>30}  {value:,}", flush=True)
    if asked.json:
        asked.json.write_text(json.dumps({"machine": facts, "results": results}, indent=1))


if __name__ == "__main__":
    main()
