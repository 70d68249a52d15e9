"""The engine as plain arrays by name, and back: what a snapshot of it consists of.

The state is a tree of named tuples with arrays as leaves; a leaf's name is its path, as in
`state.covisitation.rows.words`. Leaves that are views of others, and the board, which is scratch,
are left out and made anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.ids import Ids

Arrays = dict[str, NDArray[Any]]

_SCRATCH = "state.board."


class LayoutError(ValueError):
    """The arrays are not those of this version of the engine; the text says which differs."""


def leaves(node: Any, path: str = "state") -> Arrays:
    """The arrays of a tree of named tuples that own their memory, by path; nothing is copied."""
    found: Arrays = {}
    for name, child in zip(node._fields, node, strict=True):
        at = f"{path}.{name}"
        if at.startswith(_SCRATCH[:-1]):
            continue
        if isinstance(child, tuple):
            found |= leaves(child, at)
        elif child.base is None:
            found[at] = child
    return found


def grafted(node: Any, arrays: Mapping[str, NDArray[Any]], path: str = "state") -> Any:
    """The same tree with these arrays for leaves.

    Raises:
        LayoutError: a leaf is missing, or differs in type or width.
    """
    changed: dict[str, Any] = {}
    for name, child in zip(node._fields, node, strict=True):
        at = f"{path}.{name}"
        if at.startswith(_SCRATCH[:-1]):
            continue
        if isinstance(child, tuple):
            changed[name] = grafted(child, arrays, at)
        elif child.base is None:
            found = arrays.get(at)
            if found is None:
                raise LayoutError(f"{at} is missing")
            if found.dtype != child.dtype or found.shape[1:] != child.shape[1:]:
                raise LayoutError(
                    f"{at} is {found.dtype}{list(found.shape[1:])}, not "
                    f"{child.dtype}{list(child.shape[1:])}"
                )
            changed[name] = np.require(found, requirements=["C", "W", "O"])
    return node._replace(**changed)


def texts(name: str, values: Sequence[str]) -> Arrays:
    """Strings as two arrays: their UTF-8 bytes in one row, and the length of each, int32."""
    encoded = [value.encode(errors="surrogatepass") for value in values]
    return {
        f"{name}.bytes": np.frombuffer(b"".join(encoded), np.uint8),
        f"{name}.lengths": np.fromiter(map(len, encoded), np.int32, len(encoded)),
    }


def texts_of(name: str, arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    """The strings that `texts` was given."""
    together = arrays[f"{name}.bytes"].tobytes()
    ends = accumulate(arrays[f"{name}.lengths"].tolist(), initial=0)
    return [together[a:b].decode(errors="surrogatepass") for a, b in pairwise(ends)]


def ids(name: str, book: Ids) -> Arrays:
    """A book of names and numbers."""
    return {**texts(name, book.names), f"{name}.free": np.array(book.freed, np.int64)}


def ids_of(name: str, arrays: Mapping[str, NDArray[Any]], reserved: int) -> Ids:
    """The book that `ids` was given."""
    return Ids.of(texts_of(name, arrays), arrays[f"{name}.free"].tolist(), reserved)
