"""Small numeric tools of the kernels: fast logarithm and exponential, a random sequence, and
numbers of half the width."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from models.jit import small

F = np.float32

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""The step of `uniform`'s sequence."""

_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_48 = np.uint64(48)


@intrinsic
def _bits(_context: Any, _number: Any) -> Any:
    """The bits of a float32 as an int32."""

    def generate(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), generate


@intrinsic
def _from_bits(_context: Any, _number: Any) -> Any:
    """The float32 of these bits."""

    def generate(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), generate


@small
def log(x):  # type: ignore[no-untyped-def]
    """Natural logarithm of a positive normal float32, to about 1e-4: exponent + cubic."""
    bits = _bits(F(x))
    exponent = F((bits >> np.int32(23)) - np.int32(127))
    m = _from_bits((bits & np.int32(0x7FFFFF)) | np.int32(0x3F800000))
    poly = F(-1.7417939) + m * (
        F(2.8212026) + m * (F(-1.4699568) + m * (F(0.44717955) - m * F(0.056570851)))
    )
    return F(0.69314718) * exponent + poly


@small
def exp(x):  # type: ignore[no-untyped-def]
    """e to the x for x ≤ 0 (and moderately above), to about 1e-4; 0 below -80."""
    y = F(max(F(x), F(-80.0))) * F(1.442695041)
    k = np.int32(y - F(0.5)) if y < 0 else np.int32(y + F(0.5))
    f = y - F(k)
    poly = F(1) + f * (
        F(0.69314718) + f * (F(0.24022651) + f * (F(0.05550411) + f * F(0.00961813)))
    )
    return _from_bits((k + np.int32(127)) << np.int32(23)) * poly


@small
def uniform(random):  # type: ignore[no-untyped-def]
    """The next number in [0, 1) of the sequence at `random`, uint64 [1] (splitmix64)."""
    random[0] += GOLDEN
    z = random[0]
    z = (z ^ (z >> _30)) * _MIX_1
    z = (z ^ (z >> _27)) * _MIX_2
    z = z ^ (z >> _31)
    return np.float64(z >> _11) * 1.1102230246251565e-16


NEAREST = np.int32(0x8000)
"""In place of chance: the nearest half."""

SPREAD = np.int32(40_503)
"""65,536 divided by the golden ratio: multiples of it, added to one dither, are spread evenly."""


@small
def dither(a, b):  # type: ignore[no-untyped-def]
    """16 bits by chance, int32, that depend on two whole numbers alone."""
    z = (np.uint64(a) + GOLDEN) * _MIX_1 + np.uint64(b)
    z = (z ^ (z >> _30)) * _MIX_2
    return np.int32(z >> _48)


@intrinsic
def _narrowed(_context: Any, _number: Any, _chance: Any) -> Any:
    """The upper half of a float32's bits, after the lower half of `chance` was added to them."""

    def generate(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
        whole, half = ir.IntType(32), ir.IntType(16)
        bits = builder.bitcast(args[0], whole)
        bits = builder.add(bits, builder.and_(args[1], whole(0xFFFF)))
        return builder.trunc(builder.lshr(bits, whole(16)), half)

    return types.uint16(types.float32, types.int32), generate


@intrinsic
def _widened(_context: Any, _half: Any) -> Any:
    """The float32 whose upper half these bits are."""

    def generate(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
        whole = ir.IntType(32)
        return builder.bitcast(builder.shl(builder.zext(args[0], whole), whole(16)), ir.FloatType())

    return types.float32(types.uint16), generate


@small
def narrow(x, chance):  # type: ignore[no-untyped-def]
    """A float32's upper half, uint16 (bfloat16), rounded up or down by the lower 16 bits of
    `chance`: what is added in steps too small for 8 bits of precision adds up nevertheless, on
    average (stochastic rounding; Gupta et al. 2015)."""
    return _narrowed(F(x), np.int32(chance))


@small
def wide(half):  # type: ignore[no-untyped-def]
    """The float32 that has this upper half."""
    return _widened(half)


@small
def step_down(vector, step, direction, chance):  # type: ignore[no-untyped-def]
    """vector -= step · direction, the vector's numbers being halves."""
    for f in range(vector.shape[0]):
        moved = wide(vector[f]) - step * direction[f]
        vector[f] = narrow(moved, chance + np.int32(f) * SPREAD)


def widened(halves: NDArray[np.uint16]) -> NDArray[np.float32]:
    """`wide` of an array."""
    return (halves.astype(np.uint32) << np.uint32(16)).view(np.float32)


def narrowed(numbers: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The nearest halves of an array."""
    return ((numbers.view(np.uint32) + np.uint32(0x8000)) >> np.uint32(16)).astype(np.uint16)
