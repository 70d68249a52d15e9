"""Engines that earlier versions saved, as they wrote them, are taken up by this one."""

import json
from pathlib import Path

import numpy as np
import pytest
from stored_engines import FOLDER, lists, made

from models.formats import FORMAT
from models.interactions import Interactions, Kind
from models.recommender import Recommender
from models.settings import EngineSettings


def test_an_engine_of_the_present_format_is_stored() -> None:
    assert (FOLDER / f"format-{FORMAT}.npz").exists(), "run tests/models/stored_engines.py"


def hold_together(recommender: Recommender) -> None:
    """Lists lie apart in their block, and those of trends keep the counts of what they list."""
    state = recommender._state
    for lists_ in (state.users.history, state.users.refused, state.covisitation.rows):
        held = np.flatnonzero(lists_.room)
        held = held[np.argsort(lists_.start[held])]
        ends = lists_.start[held] + lists_.room[held]
        assert (lists_.start[held][1:] >= ends[:-1]).all()
        assert ends.max(initial=0) <= lists_.top[0] <= len(lists_.words)
        assert (lists_.size <= lists_.room).all()
    for k, length in enumerate(state.trends.length):
        listed = state.trends.listed[k, :length]
        assert np.array_equal(state.trends.level[k, :length], state.trends.decayed[listed, k])


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.npz")), ids=lambda file: file.stem)
def test_a_stored_engine_recommends_what_it_did_and_learns_on(file: Path) -> None:
    with np.load(file) as archive:
        arrays = dict(archive)
    recommended = json.loads(arrays.pop("answers").tobytes())
    recommender = Recommender.of_arrays(arrays, EngineSettings())
    assert recommender.events == made().events
    assert lists(recommender) == recommended
    hold_together(recommender)
    assert recommender.linked(["i2"], [b"12345678"]) == [True]
    again = Interactions.of([("u7", "i1", Kind.VIEW, None, 1e9 + 1e5 + k) for k in range(5)])
    recommender.learn(again)
    assert recommender.events == made().events + 5
