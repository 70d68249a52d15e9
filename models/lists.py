"""Very many short lists in one block of memory, each as long as it needs to be.

An item with three neighbours must not own a row of four hundred. A list starts with 4 places and
grows by a third when full; the places it leaves go to the next list that grows to that size. Where
all lists grow, nobody comes for those places: `compact` moves the lists together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.jit import bare_kernel, inlined

SMALLEST = 4
"""Places of the smallest list; all others have a multiple of it."""

_SIZES = 64


class Lists(NamedTuple):
    """words: int32 [places, width] and halves: uint16 [places, width'], the block; an entry is a
    row of both. start: int64, size and room: int32, by list.

    free: int64 [sizes], the first abandoned stretch of each size (`_roomier`), smallest first, or
    -1; each names the next in its first word. top: int64 [1], places handed out so far.
    """

    words: NDArray[np.int32]
    halves: NDArray[np.uint16]
    start: NDArray[np.int64]
    size: NDArray[np.int32]
    room: NDArray[np.int32]
    free: NDArray[np.int64]
    top: NDArray[np.int64]


def new_lists(lists: int, width: int, halves: int = 0) -> Lists:
    """Empty lists whose entries are `width` words (4 bytes each) and so many halves wide."""
    return Lists(
        words=np.zeros((1024, width), np.int32),
        halves=np.zeros((1024, halves), np.uint16),
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
def _roomier(room):  # type: ignore[no-untyped-def]
    """The next size: a third more, in whole SMALLEST; 4, 8, … 24, 32, 40, 52, 68, 88, 116, …"""
    return room + max(SMALLEST, room // (3 * SMALLEST) * SMALLEST)


@inlined
def _size_class(room):  # type: ignore[no-untyped-def]
    k, size = 0, SMALLEST
    while size < room:
        size = _roomier(size)
        k += 1
    return k


@inlined
def _move(lists, old, new, size):  # type: ignore[no-untyped-def]
    """Copy entries to other places, which may overlap if these lie before."""
    words, halves = lists.words, lists.halves
    for x in range(size):
        for c in range(words.shape[1]):
            words[new + x, c] = words[old + x, c]
        for c in range(halves.shape[1]):
            halves[new + x, c] = halves[old + x, c]


@inlined
def _erase(lists, begin, end):  # type: ignore[no-untyped-def]
    """Nothing of what was forgotten stays in memory or gets into snapshots."""
    for x in range(begin, end):
        for c in range(lists.words.shape[1]):
            lists.words[x, c] = 0
        for c in range(lists.halves.shape[1]):
            lists.halves[x, c] = 0


@inlined
def _abandon(lists, at, room):  # type: ignore[no-untyped-def]
    """Let the next list that wants so much room have these places."""
    _erase(lists, at, at + room)
    k = _size_class(room)
    following = lists.free[k]
    lists.words[at, 0] = np.int32(-1 if following < 0 else following // SMALLEST)
    lists.free[k] = at


@bare_kernel
def release(lists, key):  # type: ignore[no-untyped-def]
    """Empty a list and give its places back."""
    if lists.room[key] > 0:
        _abandon(lists, lists.start[key], lists.room[key])
    lists.size[key] = 0
    lists.room[key] = 0


@bare_kernel
def purge(lists, gone):  # type: ignore[no-untyped-def]
    """Strike every entry whose first word is a number of which `gone`, bool [numbers], is true."""
    for key in range(lists.size.shape[0]):
        at, kept = lists.start[key], np.int64(0)
        for x in range(at, at + lists.size[key]):
            if not gone[lists.words[x, 0]]:
                _move(lists, x, at + kept, 1)
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
    """A list's next size; the caller has made sure that the block has places to spare."""
    old, room = lists.start[key], np.int64(lists.room[key])
    wanted = np.int64(SMALLEST) if room == 0 else _roomier(room)
    k = _size_class(wanted)
    at = lists.free[k]
    if at >= 0:
        following = lists.words[at, 0]
        lists.free[k] = -1 if following < 0 else np.int64(following) * SMALLEST
    else:
        at = lists.top[0]
        lists.top[0] = at + wanted
    _move(lists, old, at, lists.size[key])
    if room > 0:
        _abandon(lists, old, room)
    lists.start[key] = at
    lists.room[key] = wanted


@bare_kernel
def _compact(lists, order):  # type: ignore[no-untyped-def]
    top = np.int64(0)
    for k in range(order.shape[0]):
        key = order[k]
        size, room = lists.size[key], lists.room[key]
        if lists.start[key] != top:
            _move(lists, lists.start[key], top, size)
            lists.start[key] = top
            _erase(lists, top + size, top + room)
        top += room
    _erase(lists, top, lists.top[0])
    for k in range(lists.free.shape[0]):
        lists.free[k] = -1
    lists.top[0] = top


def compact(lists: Lists) -> None:
    """Move all lists to the beginning of the block, so that no place among them is abandoned."""
    # Those without room stay as they are: which there are depends on how events came in chunks.
    held = np.flatnonzero(lists.room)
    _compact(lists, held[np.argsort(lists.start[held])])


def repacked(
    words: NDArray[np.int32],
    halves: NDArray[np.uint16],
    start: NDArray[np.int64],
    size: NDArray[np.int32],
    room: NDArray[np.int32],
) -> Lists:
    """Lists of these entries, each with at least as much room, whatever sizes there were before."""
    sizes = [SMALLEST]
    while sizes[-1] < room.max(initial=0):
        sizes.append(_roomier.py_func(sizes[-1]))
    rooms = np.where(room > 0, np.array(sizes, np.int32)[np.searchsorted(sizes, room)], 0)
    starts = np.cumsum(rooms, dtype=np.int64) - rooms
    places = int(rooms.sum())
    within = np.arange(int(size.sum())) - np.repeat(np.cumsum(size) - size, size)
    lists = new_lists(0, words.shape[1], halves.shape[1])._replace(
        words=np.zeros((places, words.shape[1]), np.int32),
        halves=np.zeros((places, halves.shape[1]), np.uint16),
        start=starts,
        size=size,
        room=rooms.astype(np.int32),
        top=np.array([places], np.int64),
    )
    old, new = np.repeat(start, size) + within, np.repeat(starts, size) + within
    lists.words[new], lists.halves[new] = words[old], halves[old]
    return lists
