"""Items by their vectors: a search for the nearest of a catalogue that changes all the time.

Few items are compared one by one. Many lie in cells around centroids found by k-means (an inverted
file; Jégou et al. 2011), of which a search looks into the nearest. How many those are is measured
at each build: as many as hold RECALL of what a comparison with all items finds, unless that is too
many to be fast. Once as much has changed as an index was built of, another is built of what there
is by then, beside the searches.
`docs/decisions/0006-item-index.md` has the figures behind all numbers here.
"""

from __future__ import annotations

import ctypes
import importlib
import math
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import faiss
import numpy as np
from numpy.typing import NDArray

from models.ids import Ids

Vectors = NDArray[np.float32]
"""float32 [n, dimensions]."""
Numbers = NDArray[np.int64]
Nearest = list[tuple[str, float]]
"""Items and their inner products with what was searched for, the highest first."""

Precision = Literal["float16", "int8"]
Device = Literal["auto", "cpu", "cuda"]

EXACT_UP_TO = 20_000
RECALL = 0.99
FEWEST_CELLS = 8
"""Cells looked into at least: what is searched for may lie off where items lie."""
MOST_COMPARED = 32_768
"""Items compared in a search, about, at most: two or three milliseconds."""

_COMPARED_A_FOUND = 8
"""Items compared for each one asked for, at least."""
_TRAINED_ON = 64
"""Vectors per cell that k-means sees, at most."""
_ASKED, _FOUND = 100, 10
_READ_AT_ONCE = 4096
_SEARCHED_AT_ONCE = 32
_CHANGED_AT_ONCE = 64
"""Bounds of how long one who searches or changes keeps the others waiting."""
_GATHERED = 4096
"""So few items are compared one by one, wherever they lie."""
_FAISS_GPU_FINDS = 2048
"""FAISS finds so many at most on a GPU."""


def gpu_is_there() -> bool:
    """Whether vectors can be searched on a GPU: torch is installed and sees one, of whichever make
    it was built for."""
    try:
        import torch
    except (ImportError, OSError):
        return False
    return bool(torch.cuda.is_available())


def _driver_is_there() -> bool:
    """Whether torch may see a GPU, for who has not asked for one: to load torch takes seconds and
    memory, which only a machine with a driver need spend."""
    if Path("/dev/kfd").exists():  # of AMD's, for torch built with ROCm
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


class ItemIndex:
    """The vectors of a catalogue, searched by inner product. All methods may be called from any
    thread; a search waits for no build, and milliseconds at most for a change.

    dimensions   of the vectors, whose components float16 can take
    exact_up_to  items up to which every search compares all
    precision    in which vectors in cells are kept: `int8` takes half the memory of `float16` and
                 loses a little
    device       `cuda`: compare all, however many, on the GPU; `auto`: where there is one
    """

    def __init__(
        self,
        dimensions: int,
        *,
        exact_up_to: int = EXACT_UP_TO,
        precision: Precision = "float16",
        device: Device = "cpu",
    ) -> None:
        self.dimensions = dimensions
        on_gpu = device == "cuda" or (device == "auto" and _driver_is_there() and gpu_is_there())
        self._exact_up_to = math.inf if on_gpu else exact_up_to
        self._precision: Precision = precision
        self._none = np.zeros((0, dimensions), np.float32)
        self._book = Ids()
        #: bool by number: whether it has a vector.
        self._held = np.zeros(1024, np.bool_)
        #: str by number. An array hands out many names at once, which lie far apart in memory: from
        #: a list, one by one, it takes twelve times as long.
        self._names: NDArray[np.object_] = np.full(1024, "", np.object_)
        self._store: _Store = _OnGpu(dimensions) if on_gpu else _Flat(dimensions)
        self._gate = _Gate()
        self._changes, self._built_of = 0, 0
        #: Numbers changed since the build in progress began; None while there is none.
        self._changed: set[int] | None = None
        self._build_thread: threading.Thread | None = None

    def __len__(self) -> int:
        """Items that have a vector."""
        return len(self._book)

    def __contains__(self, item: str) -> bool:
        return item in self._book

    @property
    def cells(self) -> int:
        """Cells that the items lie in; 0 while every search compares all."""
        return self._store.cells

    def upsert(self, items: Sequence[str], vectors: Vectors) -> None:
        """Take or replace the vectors of these items; of one named twice, the last."""
        last = dict(zip(items, range(len(items)), strict=True))
        names, rows = [*last], _as_rows(vectors, self.dimensions)[[*last.values()]]
        for at in range(0, len(names), _CHANGED_AT_ONCE):
            with self._gate.writing():
                some = names[at : at + _CHANGED_AT_ONCE]
                numbers = np.fromiter(map(self._book.add, some), np.int64, len(some))
                self._held = _reaching(self._held, self._book.reach)
                self._names = _reaching(self._names, self._book.reach, "")
                self._held[numbers], self._names[numbers] = True, some
                self._store.put(numbers, rows[at : at + _CHANGED_AT_ONCE])
                self._note(numbers)

    def delete(self, items: Collection[str]) -> None:
        """These are not found any more; one that is not here is no fault."""
        names = [item for item in dict.fromkeys(items) if item in self]
        for at in range(0, len(names), _CHANGED_AT_ONCE):
            with self._gate.writing():
                # Others may have deleted some since.
                some = [item for item in names[at : at + _CHANGED_AT_ONCE] if item in self]
                numbers = self._numbers(some)
                self._store.remove(numbers)
                self._held[numbers], self._names[numbers] = False, ""
                self._book.free(numbers.tolist())
                self._note(numbers)

    def vectors(self, items: Sequence[str]) -> Vectors:
        """What is kept of these items' vectors; zeros for an item that is not here."""
        found = np.zeros((len(items), self.dimensions), np.float32)
        with self._gate.reading():
            rows = [k for k, item in enumerate(items) if item in self._book]
            found[rows] = self._store.vectors(self._numbers([items[k] for k in rows]))
        return found

    def search(
        self,
        vectors: Vectors,
        k: int,
        *,
        exclude: Collection[str] = (),
        only: Collection[str] | None = None,
    ) -> list[Nearest]:
        """The `k` nearest items to each of these vectors, the nearest first.

        exclude: items left out. only: the items to choose from.
        """
        queries = _as_rows(vectors, self.dimensions)
        found: list[Nearest] = []
        for at in range(0, len(queries), _SEARCHED_AT_ONCE):
            with self._gate.reading():
                some = queries[at : at + _SEARCHED_AT_ONCE]
                found += self._search(some, k, {*exclude}, only)
        return found

    def rebuild(self) -> None:
        """Begin to build anew of what there is now, if no build is in progress; on a GPU, there is
        nothing to build."""
        with self._gate.writing():
            if self._changed is None and not isinstance(self._store, _OnGpu):
                self._begin_to_build()

    def settle(self) -> None:
        """Wait until no build is in progress."""
        while True:
            with self._gate.reading():
                thread = self._build_thread
            if thread is None:
                return
            thread.join()

    def _search(
        self, queries: Vectors, k: int, exclude: set[str], only: Collection[str] | None
    ) -> list[Nearest]:
        if only is not None:
            among = self._numbers([item for item in {*only} - exclude if item in self._book])
            scores, numbers = self._search_among(queries, k, among)
        else:
            scores, numbers = self._store.search(queries, min(k + len(exclude), len(self._book)))
        found = self._named(numbers, scores)
        if not exclude:
            return found
        return [[near for near in row if near[0] not in exclude][:k] for row in found]

    def _named(self, numbers: Numbers, scores: NDArray[np.float32]) -> list[Nearest]:
        """A list for each row; -1 stands for none, and after it come no others."""
        k, flat = numbers.shape[1], numbers.ravel()
        near = [*zip(self._names.take(flat).tolist(), scores.ravel().tolist(), strict=True)]
        rows = [near[at * k : at * k + k] for at in range(len(numbers))]
        if -1 not in flat.tolist():
            return rows
        found = np.count_nonzero(numbers >= 0, axis=1).tolist()
        return [row[:n] for row, n in zip(rows, found, strict=True)]

    def _search_among(
        self, queries: Vectors, k: int, among: Numbers
    ) -> tuple[NDArray[np.float32], Numbers]:
        if isinstance(self._store, _Cells) and len(among) > _GATHERED:
            return self._store.search(queries, min(k, len(among)), among)
        scores, rows = _compare(queries, self._store.vectors(among), min(k, len(among)))
        return scores, among[rows]

    def _numbers(self, items: Sequence[str]) -> Numbers:
        return np.array([self._book.get(item) for item in items], np.int64)

    # Building. Who changes something notes it; the thread that builds looks at the notes last.

    def _note(self, numbers: Numbers) -> None:
        """While writing."""
        self._changes += len(numbers)
        if self._changed is not None:
            self._changed.update(numbers.tolist())
        else:
            self._build_if_due()

    def _build_if_due(self) -> None:
        """While writing."""
        least = min(self._built_of, len(self))
        if self._changes > least and (self.cells or len(self) > self._exact_up_to):
            self._begin_to_build()

    def _begin_to_build(self) -> None:
        """While writing."""
        self._changed, self._changes, self._built_of = set(), 0, len(self)
        self._build_thread = threading.Thread(target=self._build, name="index", daemon=True)
        self._build_thread.start()

    def _build(self) -> None:
        """1. Sort what is here into new cells. 2. Do there what was changed meanwhile, until little
        is left. 3. Do the rest and put the new in the place of the old, in one go."""
        # On one core, at no lower priority: who waits for the interpreter's lock would wait for it.
        faiss.omp_set_num_threads(1)
        try:
            with self._gate.reading():
                numbers = np.flatnonzero(self._held)
            new = self._sorted(numbers)
            while True:
                with self._gate.writing():
                    changed, self._changed = self._changed or set(), set()
                    if len(changed) <= _CHANGED_AT_ONCE:
                        self._renew(new, changed)
                        # The old one goes when all may search again: it takes a while to free.
                        old, self._store = self._store, new
                        self._changed, self._build_thread = None, None
                        self._build_if_due()
                        break
                for at in range(0, len(changed), _READ_AT_ONCE):
                    some = [*changed][at : at + _READ_AT_ONCE]
                    with self._gate.reading():
                        self._renew(new, some)
            old.free()
        except BaseException:
            with self._gate.writing():  # searches go on as they are, until as much changes again
                self._changed, self._build_thread = None, None
            raise

    def _renew(self, new: _Store, changed: Collection[int]) -> None:
        """While reading or writing: bring what `new` has of these to what there is."""
        numbers = np.fromiter(changed, np.int64, len(changed))
        new.remove(numbers)
        numbers = numbers[self._held[numbers]]
        new.put(numbers, self._store.vectors(numbers))

    def _sorted(self, numbers: Numbers) -> _Store:
        """What there is of these, but for those changed since the build began, in a new store."""
        random = np.random.default_rng(0)
        count = cells_for(len(numbers))
        drawn = np.unique(random.choice(numbers, min(len(numbers), _TRAINED_ON * count)))
        sample = np.concatenate([self._none, *(vectors for _, vectors in self._read(drawn))])
        if len(numbers) <= self._exact_up_to or len(sample) < count:
            flat = _Flat(self.dimensions)
            for some, vectors in self._read(numbers):
                flat.put(some, vectors)
            return flat
        like = self._store if isinstance(self._store, _Cells) else None
        new = _Cells(self._precision, count, sample, like)
        asked = sample[random.permutation(len(sample))[:_ASKED]]
        nearest = _Kept(asked)
        for some, vectors in self._read(numbers):
            new.put(some, vectors)
            nearest.see(vectors)
        new.look_into(RECALL, asked, nearest.vectors)
        return new

    def _read(self, numbers: Numbers) -> Iterator[tuple[Numbers, Vectors]]:
        """Numbers and vectors, a piece at a time, of those not changed since the build began."""
        for at in range(0, len(numbers), _READ_AT_ONCE):
            with self._gate.reading():
                changed = self._changed or ()
                some = numbers[at : at + _READ_AT_ONCE]
                some = some[[number not in changed for number in some.tolist()]]
                vectors = self._store.vectors(some)
            yield some, vectors


def cells_for(items: int) -> int:
    """About 2√items, a power of two."""
    return int(2 ** round(math.log2(2 * math.sqrt(max(1, items)))))


class _Store(Protocol):
    """Vectors by number, and the search through them."""

    cells: int

    def put(self, numbers: Numbers, vectors: Vectors) -> None:
        """Take or replace; no number twice."""

    def remove(self, numbers: Numbers) -> None:
        """Those that are here."""

    def vectors(self, numbers: Numbers) -> Vectors:
        """What is kept; all are here."""
        ...

    def free(self) -> None:
        """Give back the memory; it is not used any more."""

    def search(self, queries: Vectors, k: int) -> tuple[NDArray[np.float32], Numbers]:
        """Scores and numbers [queries, k]; -1 beyond the last number."""
        ...


class _Flat:
    """All vectors in one array, without gaps."""

    cells = 0

    def __init__(self, dimensions: int) -> None:
        self._size = 0
        self._rows: Any = self._new_rows(1024, dimensions)
        self._number = np.zeros(1024, np.int64)
        #: By number, its row or -1.
        self._row = np.full(1024, -1, np.int64)

    def put(self, numbers: Numbers, vectors: Vectors) -> None:
        if not len(numbers):
            return
        self._row = _reaching(self._row, int(numbers.max()) + 1, -1)
        new = numbers[self._row[numbers] < 0]
        size = self._size + len(new)
        if size > len(self._rows):
            rows = self._new_rows(2 * size, self._rows.shape[1])
            rows[: self._size] = self._rows[: self._size]
            self._rows = rows
            self._number = _reaching(self._number, 2 * size)
        self._row[new] = np.arange(self._size, size)
        self._number[self._size : size] = new
        self._size = size
        self._write(self._row[numbers], vectors)

    def remove(self, numbers: Numbers) -> None:
        for number in numbers[numbers < len(self._row)].tolist():
            hole = self._row[number]
            if hole >= 0:
                self._size -= 1
                last = self._number[self._size]
                self._rows[hole] = self._rows[self._size]
                self._number[hole], self._row[last], self._row[number] = last, hole, -1

    def vectors(self, numbers: Numbers) -> Vectors:
        found: Vectors = self._rows[self._row[numbers]]
        return found

    def search(self, queries: Vectors, k: int) -> tuple[NDArray[np.float32], Numbers]:
        scores, rows = _compare(queries, self._rows[: self._size], k)
        return scores, self._number[rows]

    def free(self) -> None:
        pass

    def _new_rows(self, rows: int, dimensions: int) -> Any:
        return np.empty((rows, dimensions), np.float32)

    def _write(self, rows: Numbers, vectors: Vectors) -> None:
        self._rows[rows] = vectors


class _OnGpu(_Flat):
    """The array lies in the memory of a GPU, where faiss-gpu searches it, or torch where that is
    not installed or finds too few."""

    _device = "cuda"

    def __init__(self, dimensions: int) -> None:
        import torch

        self._torch: Any = torch
        self._faiss: Any = None
        if hasattr(faiss, "StandardGpuResources"):
            importlib.import_module("faiss.contrib.torch_utils")  # teaches FAISS torch's arrays
            self._faiss = faiss.StandardGpuResources()
        #: The scratch memory of `_faiss` serves one search at a time.
        self._turn = threading.Lock()
        super().__init__(dimensions)

    def vectors(self, numbers: Numbers) -> Vectors:
        found: Vectors = self._rows[self._there(self._row[numbers])].cpu().numpy()
        return found

    def search(self, queries: Vectors, k: int) -> tuple[NDArray[np.float32], Numbers]:
        if not k:
            return _compare(queries, queries[:0], 0)
        asked, rows = self._there(queries), self._rows[: self._size]
        with self._turn:
            if self._faiss is None or k > _FAISS_GPU_FINDS:
                scores, found = self._torch.topk(asked @ rows.T, k)
            else:
                scores, found = faiss.knn_gpu(
                    self._faiss, asked, rows, k, metric=faiss.METRIC_INNER_PRODUCT
                )
            return scores.cpu().numpy(), self._number[found.cpu().numpy()]

    def _new_rows(self, rows: int, dimensions: int) -> Any:
        return self._torch.empty((rows, dimensions), device=self._device)

    def _write(self, rows: Numbers, vectors: Vectors) -> None:
        self._rows[self._there(rows)] = self._there(vectors)

    def _there(self, array: NDArray[Any]) -> Any:
        return self._torch.from_numpy(np.ascontiguousarray(array)).to(self._device)


class _Cells:
    """Vectors in cells, in float16 or int8; what a build reads here it writes unchanged.

    like: cells whose steps of int8 are taken over, so that no build rounds again.
    """

    def __init__(
        self, precision: Precision, cells: int, sample: Vectors, like: _Cells | None
    ) -> None:
        self.cells = cells
        dimensions = sample.shape[1]
        kind = {"float16": faiss.ScalarQuantizer.QT_fp16, "int8": faiss.ScalarQuantizer.QT_8bit}
        self._centroids = faiss.IndexFlatIP(dimensions)
        self._index: Any = faiss.IndexIVFScalarQuantizer(
            self._centroids, dimensions, cells, kind[precision], faiss.METRIC_INNER_PRODUCT
        )
        # Residuals of centroids would be other numbers in the next build.
        self._index.by_residual = False
        self._index.cp.niter = 10
        self._index.cp.max_points_per_centroid = _TRAINED_ON
        self._index.cp.min_points_per_centroid = 1
        self._index.train(sample)
        if like is not None:
            self._index.sq.trained = like._index.sq.trained
        self._index.set_direct_map_type(faiss.DirectMap.Hashtable)

    def look_into(self, recall: float, asked: Vectors, nearest: NDArray[np.float32]) -> None:
        """Let searches look into so many cells that they find this share of what is nearest, as
        far as MOST_COMPARED allows.

        asked: [n, d]. nearest: [n, m, d], what is nearest to each.
        """
        n, m, d = nearest.shape
        _, order = self._centroids.search(asked, self.cells)
        cell = self._centroids.search(nearest.reshape(n * m, d), 1)[1].reshape(n, m, 1)
        needed = np.sort(np.argmax(order[:, None, :] == cell, axis=2), axis=None)
        at = min(len(needed) - 1, math.ceil(recall * len(needed)) - 1)
        most = MOST_COMPARED * self.cells // max(1, self._index.ntotal)
        wanted = min(int(needed[at]) + 1, most)
        self._index.nprobe = min(self.cells, max(FEWEST_CELLS, wanted))

    def put(self, numbers: Numbers, vectors: Vectors) -> None:
        if len(numbers):
            self.remove(numbers)
            self._index.add_with_ids(vectors, numbers)

    def remove(self, numbers: Numbers) -> None:
        if len(numbers):
            self._index.remove_ids(numbers)

    def vectors(self, numbers: Numbers) -> Vectors:
        if not len(numbers):
            return np.zeros((0, self._index.d), np.float32)
        found: Vectors = self._index.reconstruct_batch(numbers)
        return found

    def search(
        self, queries: Vectors, k: int, among: Numbers | None = None
    ) -> tuple[NDArray[np.float32], Numbers]:
        """among: the numbers to choose from; the fewer, the more cells are looked into. So are
        they for a `k` of many."""
        if not k:
            return _compare(queries, queries[:0], 0)
        if among is None:
            probed = math.ceil(_COMPARED_A_FOUND * k * self.cells / self._index.ntotal)
            more = probed > self._index.nprobe
            wide = faiss.SearchParametersIVF(nprobe=min(self.cells, probed)) if more else None
            found: tuple[NDArray[np.float32], Numbers] = self._index.search(queries, k, params=wide)
            return found
        wider = self._index.nprobe * self._index.ntotal // len(among)
        bits = np.zeros(int(among.max()) // 8 * 8 + 8, np.bool_)
        bits[among] = True
        packed = np.packbits(bits, bitorder="little")
        parameters = faiss.SearchParametersIVF(
            sel=faiss.IDSelectorBitmap(packed), nprobe=min(self.cells, wider)
        )
        found = self._index.search(queries, k, params=parameters)
        return found[0], found[1]

    def free(self) -> None:
        # Deleting the index would hold the interpreter's lock meanwhile; these calls let it go.
        self._index.set_direct_map_type(faiss.DirectMap.NoMap)
        self._index.replace_invlists(faiss.ArrayInvertedLists(self.cells, self._index.code_size))


class _Kept:
    """Of vectors that pass by, those nearest to each of `asked`, beside itself."""

    def __init__(self, asked: Vectors) -> None:
        n, d = asked.shape
        self._asked = asked
        self._scores = np.full((n, _FOUND + 1), -np.inf, np.float32)
        self._vectors = np.zeros((n, _FOUND + 1, d), np.float32)

    def see(self, vectors: Vectors) -> None:
        scores, rows = _compare(self._asked, vectors, min(_FOUND + 1, len(vectors)))
        scores = np.concatenate((self._scores, scores), axis=1)
        candidates = np.concatenate((self._vectors, vectors[rows]), axis=1)
        best = np.argsort(-scores, axis=1)[:, : _FOUND + 1]
        self._scores = np.take_along_axis(scores, best, 1)
        self._vectors = np.take_along_axis(candidates, best[:, :, None], 1)

    @property
    def vectors(self) -> NDArray[np.float32]:
        """float32 [asked, _FOUND, d]."""
        return self._vectors[:, 1:]


class _Gate:
    """Many may read together; who writes is alone, and goes before those who come later to read.

    `reading()` is the gate itself: a generator for each search would take as long as all the rest
    that a search adds to FAISS's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._reading = self._to_write = 0
        self._writing = False

    def reading(self) -> Self:
        return self

    def __enter__(self) -> None:
        with self._lock:
            while self._to_write:
                self._changed.wait()
            self._reading += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._reading -= 1
            if self._to_write and not self._reading:
                self._changed.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        with self._changed:
            self._to_write += 1
            while self._reading or self._writing:
                self._changed.wait()
            self._writing = True
        try:
            yield
        finally:
            with self._changed:
                self._to_write -= 1
                self._writing = False
                self._changed.notify_all()


def _compare(queries: Vectors, vectors: Vectors, k: int) -> tuple[NDArray[np.float32], Numbers]:
    if not k:
        return np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64)
    found: tuple[NDArray[np.float32], Numbers] = faiss.knn(
        queries, vectors, k, metric=faiss.METRIC_INNER_PRODUCT
    )
    return found


def _as_rows(vectors: Vectors, dimensions: int) -> Vectors:
    rows = np.ascontiguousarray(vectors, np.float32)
    if rows.ndim != 2 or rows.shape[1] != dimensions:
        raise ValueError(f"vectors must be [n, {dimensions}], not {list(rows.shape)}")
    return rows


def _reaching(array: Any, size: int, fill: object = 0) -> Any:
    """The array, longer if it does not reach so far."""
    if size <= len(array):
        return array
    more = np.full(2 * size - len(array), fill, array.dtype)
    return np.concatenate((array, more))
