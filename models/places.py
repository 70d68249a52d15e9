"""Finding a number among others, and making a place for one."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from models.jit import bare_kernel

_AT_ONCE = 64
"""Numbers that are looked at together, without a branch."""


@bare_kernel
def place_of(numbers, number):  # type: ignore[no-untyped-def]
    """Where a number, an int32, stands among others, or -1."""
    for begin in range(0, numbers.shape[0], _AT_ONCE):
        part = numbers[begin : begin + _AT_ONCE]
        found = np.int32(-1)
        for x in range(part.shape[0]):
            found = max(found, np.int32(x) if part[x] == number else np.int32(-1))
        if found >= 0:
            return begin + np.int64(found)
    return np.int64(-1)


@intrinsic
def shift(_context: Any, array: Any, begin: Any, count: Any) -> Any:
    """Move `count` numbers of an array, from `begin` on, one place on; they lie one by one."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        held = make_array(signature.args[0])(context, builder, args[0])
        at, number = (context.cast(builder, args[k], signature.args[k], types.intp) for k in (1, 2))
        source = builder.gep(held.data, [at])
        target = builder.gep(source, [ir.IntType(64)(1)])
        cgutils.raw_memmove(builder, target, source, number, held.itemsize)
        return context.get_dummy_value()

    return types.void(array, begin, count), generate
