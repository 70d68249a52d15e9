"""An event that arrives twice counts once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.duplicates import Duplicates


def test_an_id_is_a_duplicate_within_the_users_own_window_only() -> None:
    duplicates = Duplicates(window=3, most_users=10)
    assert not duplicates.seen("ann", "1")
    assert duplicates.seen("ann", "1")
    assert not duplicates.seen("bob", "1")
    assert not any(duplicates.seen("ann", event_id) for event_id in "234")
    assert not duplicates.seen("ann", "1")


def test_events_without_an_id_are_all_new() -> None:
    duplicates = Duplicates(window=3, most_users=10)
    assert not any(duplicates.seen("ann", None) for _ in range(3))
    assert len(duplicates) == 0


def test_a_window_of_nothing_keeps_nothing() -> None:
    duplicates = Duplicates(window=0, most_users=10)
    assert not any(duplicates.seen("ann", "1") for _ in range(3))


def test_users_who_have_been_silent_longest_make_room() -> None:
    duplicates = Duplicates(window=3, most_users=2)
    for user in ("ann", "bob", "ann", "cid"):
        duplicates.seen(user, "1")
    assert len(duplicates) == 2
    assert duplicates.seen("ann", "1")
    assert not duplicates.seen("bob", "1")


def test_what_is_tried_on_a_copy_is_not_kept() -> None:
    duplicates = Duplicates(window=3, most_users=10)
    duplicates.seen("ann", "1")
    tried = duplicates.of(["ann", "bob"])
    assert [tried.seen("ann", "1"), tried.seen("ann", "2"), tried.seen("bob", "1")] == [
        True,
        False,
        False,
    ]
    assert not duplicates.seen("ann", "2")
    assert not duplicates.seen("bob", "1")


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("123456")), max_size=60))
def test_what_is_tried_and_kept_is_what_would_have_been_kept_at_once(
    sent: list[tuple[str, str]],
) -> None:
    at_once, in_parts = (Duplicates(window=3, most_users=10) for _ in range(2))
    for begin in range(0, len(sent), 7):
        part = sent[begin : begin + 7]
        tried = in_parts.of({user for user, _ in part})
        assert [tried.seen(*each) for each in part] == [at_once.seen(*each) for each in part]
        in_parts.keep(tried)
    ours, theirs = in_parts.arrays(), at_once.arrays()
    assert all(np.array_equal(array, theirs[name]) for name, array in ours.items())


def test_users_who_were_tried_make_room_as_others_do() -> None:
    duplicates = Duplicates(window=3, most_users=2)
    duplicates.seen("ann", "1")
    tried = duplicates.of(["bob", "cid"])
    assert not any(tried.seen(user, "1") for user in ("bob", "cid"))
    duplicates.keep(tried)
    assert len(duplicates) == 2
    assert not duplicates.seen("ann", "1")


def test_what_is_saved_and_loaded_is_the_same() -> None:
    first, second = (Duplicates(window=3, most_users=10) for _ in range(2))
    for user, event_id in (("ann", "1"), ("bob", "1"), ("ann", "2")):
        first.seen(user, event_id)
    second.load(first.arrays())
    assert all(second.seen(*pair) for pair in (("ann", "1"), ("ann", "2"), ("bob", "1")))
    first.forget("ann")
    second.load(first.arrays())
    assert not second.seen("ann", "1")
    second.load(Duplicates(3, 10).arrays())
    assert len(second) == 0
