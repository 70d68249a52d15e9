"""Small numeric tools of the kernels: fast logarithm and exponential, and a random sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from models.jit import small

F = np.float32

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


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
    random[0] += _GOLDEN
    z = random[0]
    z = (z ^ (z >> _30)) * _MIX_1
    z = (z ^ (z >> _27)) * _MIX_2
    z = z ^ (z >> _31)
    return np.float64(z >> _11) * 1.1102230246251565e-16
