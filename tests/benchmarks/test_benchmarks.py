"""Benchmarks are run by hand, and seldom: at least each can be started."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path("benchmarks")
#: These need what set-up does not bring: the frameworks and libraries that they are about.
ELSEWHERE = {"with_bytewax", "with_quixstreams", "factors", "neighbours"}


@pytest.mark.parametrize(
    "file",
    [
        str(file.relative_to(BENCHMARKS))
        for file in sorted(BENCHMARKS.rglob("*.py"))
        if file.stem not in ELSEWHERE | {"__init__", "__main__"}
    ],
)
def test_a_benchmark_finds_all_that_it_needs(file: str) -> None:
    module = ".".join(("benchmarks", *Path(file).with_suffix("").parts))
    assert importlib.import_module(module).__doc__
