"""Many lists in one block hold what was put into them, in not much more room than that."""

from __future__ import annotations

import numpy as np

from models.lists import Lists, grow, new_lists, release

LISTS, STEPS = 40, 4_000


def append(lists: Lists, key: int, number: int) -> Lists:
    """The same with a number at the end of one list; the block enlarged if need be."""
    if lists.size[key] == lists.room[key]:
        if len(lists.words) - lists.top[0] < 2 * lists.room[key] + 4:
            words = np.zeros((2 * len(lists.words), lists.words.shape[1]), np.int32)
            words[: len(lists.words)] = lists.words
            lists = lists._replace(words=words)
        grow(lists, key)
    lists.words[lists.start[key] + lists.size[key], 0] = number
    lists.size[key] += 1
    return lists


def test_lists_hold_what_was_put_into_them_whatever_grows_and_goes_beside_them() -> None:
    random = np.random.default_rng(0)
    lists, expected = new_lists(LISTS, 2), [list[int]() for _ in range(LISTS)]
    for number in range(STEPS):
        key = int(random.zipf(1.3)) % LISTS
        lists = append(lists, key, number)
        expected[key].append(number)
        if random.random() < 0.01:
            gone = int(random.integers(LISTS))
            release(lists, gone)
            expected[gone] = []
    starts = zip(lists.start.tolist(), lists.size.tolist(), strict=True)
    assert [lists.words[at : at + n, 0].tolist() for at, n in starts] == expected
    assert max(map(len, expected)) > 200


def test_a_list_has_at_most_twice_as_much_room_as_it_needs() -> None:
    lists = new_lists(1, 2)
    for number in range(3_000):
        lists = append(lists, 0, number)
        assert lists.room[0] <= max(4, 2 * lists.size[0])


def test_places_that_a_list_left_are_used_again() -> None:
    lists = new_lists(LISTS, 2)
    for round_ in range(50):
        for key in range(LISTS):
            for number in range(20):
                lists = append(lists, key, number)
        if round_ == 0:
            used = int(lists.top[0])
        for key in range(LISTS):
            release(lists, key)
    assert lists.top[0] == used
