"""Many lists in one block hold what was put into them, in not much more room than that."""

from __future__ import annotations

import numpy as np

from models.lists import Lists, compact, grow, new_lists, release, repacked

LISTS, STEPS = 40, 4_000


def append(lists: Lists, key: int, number: int) -> Lists:
    """The same with a number at the end of one list; the block enlarged if need be."""
    if lists.size[key] == lists.room[key]:
        if len(lists.words) - lists.top[0] < 2 * lists.room[key] + 4:
            lists = lists._replace(
                words=np.concatenate((lists.words, np.zeros((4096, 2), np.int32))),
                halves=np.concatenate((lists.halves, np.zeros((4096, 2), np.uint16))),
            )
        grow(lists, key)
    lists.words[lists.start[key] + lists.size[key], 0] = number
    lists.halves[lists.start[key] + lists.size[key]] = number, number + 1
    lists.size[key] += 1
    return lists


def held(lists: Lists) -> list[list[int]]:
    """What each list holds; an entry's parts are still together."""
    rows = [slice(at, at + n) for at, n in zip(lists.start, lists.size, strict=True)]
    for row in rows:
        first = lists.words[row, 0]
        assert np.array_equal(lists.halves[row], np.stack((first, first + 1), axis=1))
    return [lists.words[row, 0].tolist() for row in rows]


def test_lists_hold_what_was_put_into_them_whatever_grows_and_goes_beside_them() -> None:
    random = np.random.default_rng(0)
    lists, expected = new_lists(LISTS, 2, 2), [list[int]() for _ in range(LISTS)]
    for number in range(STEPS):
        key = int(random.zipf(1.3)) % LISTS
        lists = append(lists, key, number)
        expected[key].append(number)
        if random.random() < 0.01:
            gone = int(random.integers(LISTS))
            release(lists, gone)
            expected[gone] = []
        if random.random() < 0.005:
            compact(lists)
            assert lists.top[0] == lists.room.sum()
    assert held(lists) == expected
    assert max(map(len, expected)) > 200


def test_a_list_has_at_most_a_third_more_room_than_it_needs() -> None:
    lists = new_lists(1, 2, 2)
    for number in range(3_000):
        lists = append(lists, 0, number)
        assert lists.room[0] <= max(lists.size[0] + 3, lists.size[0] * 4 / 3)


def test_lists_of_other_sizes_are_packed_anew() -> None:
    lists, key = new_lists(LISTS, 2, 2), 7
    for number in range(100):
        lists = append(lists, key, number)
        lists = append(lists, key + 1, number)
    room = lists.room.copy()
    room[key] = 1_000  # as one that doubled might have
    again = repacked(lists.words, lists.halves, lists.start, lists.size, room)
    assert held(again) == held(lists)
    assert again.room[key] >= 1_000
    assert again.top[0] == again.room.sum() == len(again.words)
    for number in range(2_000):
        again = append(again, key, number)
    assert held(again)[key] == [*range(100), *range(2_000)]
    assert held(again)[key + 1] == [*range(100)]


def test_places_that_a_list_left_are_used_again() -> None:
    lists = new_lists(LISTS, 2, 2)
    for round_ in range(50):
        for key in range(LISTS):
            for number in range(20):
                lists = append(lists, key, number)
        if round_ == 0:
            used = int(lists.top[0])
        for key in range(LISTS):
            release(lists, key)
    assert lists.top[0] == used
