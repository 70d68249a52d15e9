"""Which items are most alike in what they say."""

from __future__ import annotations

from collections.abc import Sequence

import faiss
import numpy as np
from numpy.typing import NDArray

from models.ids import Ids

Alike = list[tuple[str, float]]
"""Items and how alike they are, most alike first: above 0, at most 1."""


class Likeness:
    """The vectors of the catalogue, and a search for the nearest.

    Sentences of one kind (titles of films, names of groceries) are all somewhat alike to a model
    of language in general. What counts is how much more than usual: with the mean vector m of the
    catalogue, the likeness of a and b is

        s(a, b) = (a·b − m·m) / (1 − m·m)

    where a·b is their cosine and m·m the mean cosine of all pairs. Not thread-safe.

    dimensions: of the vectors, which have length 1.
    """

    def __init__(self, dimensions: int) -> None:
        self._book = Ids()
        self._vectors = np.zeros((1024, dimensions), np.float32)
        self._sum = np.zeros(dimensions)

    def __len__(self) -> int:
        """Items that have a vector."""
        return len(self._book)

    def __contains__(self, item: str) -> bool:
        return item in self._book

    @property
    def usual(self) -> float:
        """m·m, the mean cosine of two items."""
        mean = self._sum / max(1, len(self))
        return min(0.99, float(mean @ mean))

    def upsert(self, items: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Take or replace the vectors, float32 [items, dimensions], of these items."""
        for item, vector in zip(items, vectors, strict=True):
            number = self._book.add(item)
            if number >= len(self._vectors):
                more = np.zeros_like(self._vectors)
                self._vectors = np.concatenate((self._vectors, more))
            self._sum += vector.astype(np.float64) - self._vectors[number]
            self._vectors[number] = vector

    def delete(self, items: Sequence[str]) -> None:
        """These are not found any more."""
        numbers = [self._book.get(item) for item in items]
        known = [number for number in numbers if number is not None]
        for number in known:
            self._sum -= self._vectors[number]
            self._vectors[number] = 0
        self._book.free(known)

    def of(self, items: Sequence[str], most: int) -> list[Alike]:
        """What each of these items is most like: at most `most` others, most alike first."""
        rows = [self._book.get(item) for item in items]
        known = [row for row in rows if row is not None]
        found = iter(self.near(self._vectors[known], most + 1))
        return [
            [] if row is None else [(o, s) for o, s in next(found) if o != item][:most]
            for item, row in zip(items, rows, strict=True)
        ]

    def near(self, vectors: NDArray[np.float32], most: int) -> list[Alike]:
        """What is nearest to each of these vectors, float32 [n, dimensions]."""
        reach = self._book.reach
        if not reach or not len(vectors):
            return [[] for _ in vectors]
        k = min(most, reach)
        cosines, numbers = faiss.knn(
            np.ascontiguousarray(vectors),
            self._vectors[:reach],
            k,
            metric=faiss.METRIC_INNER_PRODUCT,
        )
        usual = self.usual
        return [
            [
                (self._book.name(number), (cosine - usual) / (1 - usual))
                for cosine, number in zip(*row, strict=True)
                if number >= 0 and cosine > usual
            ]
            for row in zip(cosines.tolist(), numbers.tolist(), strict=True)
        ]
