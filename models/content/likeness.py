"""Which items are most alike in what they say."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from models.index import EXACT_UP_TO, Device, ItemIndex, Precision

Alike = list[tuple[str, float]]
"""Items and how alike they are, most alike first: above 0, at most 1."""


class Likeness:
    """The vectors of the catalogue, and a search for the nearest.

    Sentences of one kind (titles of films, names of groceries) are all somewhat alike to a model
    of language in general. What counts is how much more than usual: with the mean vector m of the
    catalogue, the likeness of a and b is

        s(a, b) = (a·b − m·m) / (1 − m·m)

    where a·b is their cosine and m·m the mean cosine of all pairs. One thread at a time may change
    it; any may search.

    dimensions: of the vectors, which have length 1. exact_up_to, precision, device: of its
    `ItemIndex`.
    """

    def __init__(
        self,
        dimensions: int,
        *,
        exact_up_to: int = EXACT_UP_TO,
        precision: Precision = "float16",
        device: Device = "cpu",
    ) -> None:
        self._index = ItemIndex(
            dimensions, exact_up_to=exact_up_to, precision=precision, device=device
        )
        self._sum = np.zeros(dimensions)

    def __len__(self) -> int:
        """Items that have a vector."""
        return len(self._index)

    def __contains__(self, item: str) -> bool:
        return item in self._index

    @property
    def usual(self) -> float:
        """m·m, the mean cosine of two items."""
        mean = self._sum / max(1, len(self))
        return min(0.99, float(mean @ mean))

    def upsert(self, items: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Take or replace the vectors, float32 [items, dimensions], of these items."""
        changed = [*dict.fromkeys(items)]
        before = self._total(changed)
        self._index.upsert(items, vectors)
        self._sum += self._total(changed) - before

    def delete(self, items: Sequence[str]) -> None:
        """These are not found any more."""
        self._sum -= self._total([*dict.fromkeys(items)])
        self._index.delete(items)

    def of(self, items: Sequence[str], most: int) -> list[Alike]:
        """What each of these items is most like: at most `most` others, most alike first."""
        known = [item for item in items if item in self]
        found = dict(zip(known, self.near(self._index.vectors(known), most + 1), strict=True))
        return [[(o, s) for o, s in found.get(item, []) if o != item][:most] for item in items]

    def vectors(self, items: Sequence[str]) -> NDArray[np.float32]:
        """These items' vectors, float32 [items, dimensions]; zeros where there is none."""
        return self._index.vectors(items)

    @property
    def mean(self) -> NDArray[np.float32]:
        """m, the mean vector, float32 [dimensions]."""
        mean: NDArray[np.float32] = (self._sum / max(1, len(self))).astype(np.float32)
        return mean

    def near(
        self,
        vectors: NDArray[np.float32],
        most: int,
        *,
        exclude: Collection[str] = (),
        only: Collection[str] | None = None,
    ) -> list[Alike]:
        """What is nearest to each of these vectors, float32 [n, dimensions].

        exclude: items left out. only: the items to choose from.
        """
        usual = self.usual
        return [
            [(item, (cosine - usual) / (1 - usual)) for item, cosine in row if cosine > usual]
            for row in self.nearest(vectors, most, exclude=exclude, only=only)
        ]

    def nearest(
        self,
        vectors: NDArray[np.float32],
        most: int,
        *,
        exclude: Collection[str] = (),
        only: Collection[str] | None = None,
    ) -> list[list[tuple[str, float]]]:
        """The same with their cosines: for what is no item, such as a question."""
        return self._index.search(vectors, most, exclude=exclude, only=only)

    def _total(self, items: Sequence[str]) -> NDArray[np.float64]:
        total: NDArray[np.float64] = self._index.vectors(items).sum(axis=0, dtype=np.float64)
        return total
