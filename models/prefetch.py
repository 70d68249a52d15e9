"""Telling the processor what will be read soon.

Worth it where the next step depends on what is read, as in "has this item a line yet?": a wrong
guess there cannot be taken back before the number has come from memory, which for a catalogue of
a million items takes a hundred times as long as the step itself.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

AHEAD = 16
"""How many entries of a list ahead of the one at hand."""


@intrinsic
def prefetch(_context: Any, array: Any, row: Any) -> Any:
    """Fetch the beginning of array[row] towards the processor; `row` must exist."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        held = make_array(signature.args[0])(context, builder, args[0])
        place = context.cast(builder, args[1], signature.args[1], types.intp)
        step = builder.extract_value(held.strides, 0)
        byte, number = ir.IntType(8), ir.IntType(32)
        address = cgutils.pointer_add(builder, held.data, builder.mul(place, step))
        address = builder.bitcast(address, byte.as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [byte.as_pointer(), number, number, number])
        fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        to_read, nearest_cache, data = number(0), number(3), number(1)
        builder.call(fetch, [address, to_read, nearest_cache, data])
        return context.get_dummy_value()

    return types.void(array, row), generate
