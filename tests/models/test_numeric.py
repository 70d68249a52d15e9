"""Numbers of half the width are near what they stand for, and adding small steps adds up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.jit import small
from models.numeric import F, dither, narrow, narrowed, step_down, wide, widened

NUMBERS = np.random.default_rng(0).normal(0, 1, 1_000).astype(np.float32) ** 9


@small
def narrow_all(numbers, chance, halves):  # type: ignore[no-untyped-def]
    for x in range(numbers.shape[0]):
        halves[x] = narrow(numbers[x], chance)


def halves_of(numbers: NDArray[np.float32], chance: int) -> NDArray[np.uint16]:
    halves = np.zeros(numbers.shape[0], np.uint16)
    narrow_all(numbers, chance, halves)
    return halves


@small
def counted(steps, step):  # type: ignore[no-untyped-def]
    count = narrow(F(0), 0)
    for k in range(steps):
        count = narrow(wide(count) + step, dither(k, 3))
    return wide(count)


@small
def walked(vector, direction, steps):  # type: ignore[no-untyped-def]
    for k in range(steps):
        step_down(vector, F(0.01), direction, dither(k, 5))


def test_halves_are_the_nearest_or_next_to_it_and_nothing_is_nothing() -> None:
    assert np.abs(widened(narrowed(NUMBERS)) / NUMBERS - 1).max() < 2**-8
    for chance in (0, 0x8000, 0xFFFF, 123_456_789):
        assert np.abs(widened(halves_of(NUMBERS, chance)) / NUMBERS - 1).max() < 2**-7
    assert np.array_equal(halves_of(NUMBERS, 0x8000), narrowed(NUMBERS))
    assert not halves_of(np.zeros(3, np.float32), 0xFFFF).any()


def test_steps_beneath_the_precision_add_up() -> None:
    assert abs(counted(20_000, F(1)) / 20_000 - 1) < 0.1  # 8 bits alone stop at 256
    direction = np.array([1, -1, 0.5, 0], np.float32)
    vector = narrowed(np.array([9, -9, 9, 9], np.float32))
    walked(vector, direction, 400)
    assert np.allclose(widened(vector), [5, -5, 7, 9], atol=0.3)
