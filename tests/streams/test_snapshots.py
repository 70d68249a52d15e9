"""Snapshots: whole or absent, verified when read, and no more of them than wanted."""

import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from models.saved import Arrays
from streams.settings import Settings
from streams.snapshots import SnapshotError, SnapshotStore

ARRAYS = {"a": np.arange(1000), "state.b.c": np.ones((3, 4), np.float32)}


def store(folder: Path | str, **more: object) -> SnapshotStore:
    return SnapshotStore(Settings(snapshots=str(folder), **more))  # type: ignore[arg-type]


def save(into: SnapshotStore, created_ms: int, arrays: Arrays = ARRAYS) -> str:
    with into.new_file() as file:
        into.write(file, arrays)
        return into.publish(file, created_ms).path


@pytest.mark.parametrize("place", ["{}/snapshots", "memory://{}/snapshots"])
def test_what_is_written_is_read_and_the_newest_are_kept(tmp_path: Path, place: str) -> None:
    snapshots = store(place.format(tmp_path), snapshots_kept=2)
    assert snapshots.newest_first() == []
    for created_ms in (5, 3, 9, 7):
        save(snapshots, created_ms)
    assert [snapshot.created_ms for snapshot in snapshots.newest_first()] == [10, 9]
    _, arrays = next(snapshots.readable())
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.parametrize("place", ["{}/snapshots", "memory://{}/snapshots"])
def test_a_folder_named_like_a_snapshot_is_none(tmp_path: Path, place: str) -> None:
    snapshots = store(place.format(tmp_path), snapshots_kept=1)
    snapshots._files.makedirs(f"{snapshots.root}/0000000000009-aa-events.freshet/inside")
    save(snapshots, 1)
    save(snapshots, 2)
    assert [snapshot.created_ms for snapshot in snapshots.newest_first()] == [2]


def test_a_snapshot_may_be_a_link(tmp_path: Path) -> None:
    elsewhere = Path(save(store(tmp_path / "elsewhere"), 1))
    snapshots = store(tmp_path / "here")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / elsewhere.name).symlink_to(elsewhere)
    assert [snapshot.created_ms for snapshot, _ in snapshots.readable()] == [1]


@pytest.mark.parametrize("damage", ["a flipped bit", "cut short", "empty", "something else"])
def test_a_damaged_one_is_told_from_a_sound_one(tmp_path: Path, damage: str) -> None:
    snapshots = store(tmp_path)
    save(snapshots, 1)
    newest = Path(save(snapshots, 2))
    content = bytearray(newest.read_bytes())
    if damage == "a flipped bit":
        content[len(content) // 3] ^= 1
    newest.write_bytes(
        {"cut short": bytes(content[:-200]), "empty": b"", "something else": b"{}" * 500}.get(
            damage, bytes(content)
        )
    )
    with pytest.raises(SnapshotError, match="damaged"):
        snapshots.read(snapshots.newest_first()[0])
    assert [snapshot.created_ms for snapshot, _ in snapshots.readable()] == [1]


def test_whatever_is_damaged_the_one_before_is_taken(tmp_path: Path) -> None:
    # Most of so small a file is what ZIP and NumPy say around the arrays.
    arrays: Arrays = {"a": np.arange(10), "b": np.zeros(3, np.int8)}
    snapshots, rng = store(tmp_path), random.Random(1)
    save(snapshots, 1, arrays)
    newest = Path(save(snapshots, 2, arrays))
    whole = newest.read_bytes()
    taken = Counter[int]()
    for n in range(600):
        content = bytearray(whole)
        if n % 6:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        else:
            del content[rng.randrange(len(content)) :]
        newest.write_bytes(content)
        snapshot, found = next(snapshots.readable())
        taken[snapshot.created_ms] += 1
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
    assert taken[1] > 400


@pytest.mark.parametrize("named", [True, False], ids=["now", "before names told the topic"])
def test_who_saves_in_the_same_place_removes_nothing_of_others(tmp_path: Path, named: bool) -> None:
    ours, theirs = store(tmp_path), store(tmp_path, topic_prefix="other-", snapshots_kept=1)
    for created_ms in (1, 2, 3):
        path = Path(save(ours, created_ms))
        if not named:
            path.rename(tmp_path / f"{created_ms:013d}-0a1b2c3d.freshet")
    assert theirs.newest_first() == []
    for created_ms in (4, 5):
        save(theirs, created_ms)
    assert [snapshot.created_ms for snapshot in theirs.newest_first()] == [5]
    assert [snapshot.created_ms for snapshot, _ in ours.readable()] == [3, 2, 1]
    save(ours, 6)
    assert [snapshot.created_ms for snapshot in ours.newest_first()] == [6, 3, 2]
    assert len(list(tmp_path.iterdir())) == 4


def test_a_snapshot_of_which_it_cannot_be_told_whose_it_is_is_let_be(tmp_path: Path) -> None:
    unreadable = tmp_path / f"{1:013d}-0a1b2c3d.freshet"
    unreadable.write_bytes(b"{}")
    snapshots = store(tmp_path, snapshots_kept=1)
    for created_ms in (2, 3):
        save(snapshots, created_ms)
    assert [snapshot.created_ms for snapshot in snapshots.newest_first()] == [3]
    assert unreadable.exists()


def test_a_snapshot_that_was_renamed_is_not_taken_for_ours(tmp_path: Path) -> None:
    path = Path(save(store(tmp_path, topic_prefix="other-"), 1))
    path.rename(path.with_name(path.name.replace("other-", "")))
    snapshots = store(tmp_path)
    with pytest.raises(SnapshotError, match="the topic other-events, not events"):
        snapshots.read(snapshots.newest_first()[0])
    assert list(snapshots.readable()) == []


def test_a_clock_that_once_went_ahead_does_not_make_old_ones_the_newest(tmp_path: Path) -> None:
    snapshots = store(tmp_path, snapshots_kept=2)
    ahead_ms = 10**15
    for _ in range(2):
        save(snapshots, ahead_ms)
    for created_ms in (5, 6, 7):
        assert save(snapshots, created_ms) == snapshots.newest_first()[0].path
    assert [snapshot.created_ms - ahead_ms for snapshot in snapshots.newest_first()] == [4, 3]


KILLED = """
import os, sys
from pathlib import Path
from streams.settings import Settings
from streams.snapshots import SnapshotStore

with SnapshotStore(Settings(snapshots=sys.argv[1])).new_file() as file:
    file.write_bytes(b"half of it")
    os._exit(1)
"""


def test_what_a_killed_process_of_this_host_left_goes_before_the_next_is_written(
    tmp_path: Path,
) -> None:
    """And nothing that somebody still writes, or may write on another host."""
    snapshots = store(tmp_path)
    with snapshots.new_file() as writing:
        writing.write_bytes(b"?")
        subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
        elsewhere, abandoned = tmp_path / ".part-0a1b-elsewhere", tmp_path / ".part-0a1b-there"
        for file in (elsewhere, abandoned):
            file.write_bytes(b"?")
        os.utime(abandoned, (0, 0))
        assert len([*tmp_path.iterdir()]) == 4
        with snapshots.new_file() as another:
            assert {*tmp_path.iterdir()} == {writing, elsewhere, another}
    assert [*tmp_path.iterdir()] == [elsewhere]


def test_files_that_are_no_snapshots_are_let_be(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "not-a-number.freshet").write_text("mine too")
    snapshots = store(tmp_path, snapshots_kept=1)
    save(snapshots, 1)
    save(snapshots, 2)
    assert [snapshot.created_ms for snapshot in snapshots.newest_first()] == [2]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_place_that_fsspec_cannot_reach_is_named() -> None:
    with pytest.raises(SnapshotError, match=r"nowhere://.*FRESHET_SNAPSHOTS"):
        store("nowhere://bucket")
