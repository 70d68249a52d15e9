"""Very many short lists in one block of memory, each as long as it needs to be.

An item with three neighbours must not own a row of four hundred. A list starts with 4 places and
doubles when full; the places it leaves go to the next list that grows to that size.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.jit import bare_kernel, inlined

SMALLEST = 4
_SIZES = 24

Words = NDArray[np.int32]


class Lists(NamedTuple):
    """words: int32 [places, width], the block. start: int64, size and room: int32, by list.

    free: int64 [sizes], the first abandoned stretch of SMALLEST·2^k places or -1; each names the
    next in its first word. top: int64 [1], places handed out so far.
    """

    words: Words
    start: NDArray[np.int64]
    size: NDArray[np.int32]
    room: NDArray[np.int32]
    free: NDArray[np.int64]
    top: NDArray[np.int64]


def new_lists(lists: int, width: int) -> Lists:
    """Empty lists whose entries are `width` words (4 bytes each) wide."""
    return Lists(
        words=np.zeros((1024, width), np.int32),
        start=np.zeros(lists, np.int64),
        size=np.zeros(lists, np.int32),
        room=np.zeros(lists, np.int32),
        free=np.full(_SIZES, -1, np.int64),
        top=np.zeros(1, np.int64),
    )


@inlined
def spare(lists):  # type: ignore[no-untyped-def]
    """Places not yet handed out."""
    return lists.words.shape[0] - lists.top[0]


@inlined
def _size_class(room):  # type: ignore[no-untyped-def]
    k = 0
    while (SMALLEST << k) < room:
        k += 1
    return k


@bare_kernel
def release(lists, key):  # type: ignore[no-untyped-def]
    """Empty a list and give its places back."""
    if lists.room[key] > 0:
        k = _size_class(lists.room[key])
        at = lists.start[key]
        lists.words[at, 0] = np.int32(-1 if lists.free[k] < 0 else lists.free[k] // SMALLEST)
        lists.free[k] = at
    lists.size[key] = 0
    lists.room[key] = 0


@bare_kernel
def purge(lists, gone):  # type: ignore[no-untyped-def]
    """Strike every entry whose first word is a number of which `gone`, bool [numbers], is true."""
    words = lists.words
    for key in range(lists.size.shape[0]):
        at, kept = lists.start[key], np.int64(0)
        for x in range(at, at + lists.size[key]):
            if not gone[words[x, 0]]:
                for c in range(words.shape[1]):
                    words[at + kept, c] = words[x, c]
                kept += 1
        lists.size[key] = kept


@bare_kernel
def blank(lists, gone):  # type: ignore[no-untyped-def]
    """Put -1 for every entry whose first word is a number of which `gone` is true, so that the
    others keep their places."""
    words = lists.words
    for key in range(lists.size.shape[0]):
        at = lists.start[key]
        for x in range(at, at + lists.size[key]):
            if words[x, 0] >= 0 and gone[words[x, 0]]:
                words[x, 0] = -1


@bare_kernel
def grow(lists, key):  # type: ignore[no-untyped-def]
    """Double the room of a list; the caller has made sure that the block has places to spare."""
    old, room, size = lists.start[key], lists.room[key], lists.size[key]
    wanted = SMALLEST if room == 0 else 2 * room
    k = _size_class(wanted)
    at = lists.free[k]
    if at >= 0:
        following = lists.words[at, 0]
        lists.free[k] = -1 if following < 0 else np.int64(following) * SMALLEST
    else:
        at = lists.top[0]
        lists.top[0] = at + wanted
    for x in range(size):
        for c in range(lists.words.shape[1]):
            lists.words[at + x, c] = lists.words[old + x, c]
    if room > 0:
        k = _size_class(room)
        lists.words[old, 0] = (
            np.int32(-1) if lists.free[k] < 0 else np.int32(lists.free[k] // SMALLEST)
        )
        lists.free[k] = old
    lists.start[key] = at
    lists.room[key] = wanted
