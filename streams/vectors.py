"""The record of an item's vector on `vectors`, Freshet's own topic."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray


class Vector(msgspec.Struct, frozen=True, array_like=True):
    """encoder: what made it. content: `models.content.text.content_key` of what was encoded.
    values: the vector as float16, little-endian."""

    encoder: str
    content: bytes
    values: bytes


def pack(encoder: str, content: bytes, vector: NDArray[np.float32]) -> bytes:
    """The record's value. float16 changes a cosine by less than 0.001 and halves the topic."""
    return _ENCODER.encode(Vector(encoder, content, vector.astype("<f2").tobytes()))


def unpack(value: bytes) -> tuple[str, bytes, NDArray[np.float32]]:
    """Encoder, content key and vector, float32 [dimensions].

    Raises:
        msgspec.MsgspecError: the record is none of Freshet's.
    """
    found = _DECODER.decode(value)
    if not found.values or len(found.values) % 2:
        raise msgspec.ValidationError(f"{len(found.values)} bytes are no vector of float16")
    vector = np.frombuffer(found.values, "<f2").astype(np.float32)
    # One that is longer outweighs all others in their mean, and NaN, which is not less, undoes it.
    if not np.linalg.norm(vector) < _MOST_LENGTH:
        raise msgspec.ValidationError("the vector is longer than 1, or holds what is no number")
    return found.encoder, found.content, vector


#: Of a vector of length 1, what rounding adds.
_MOST_LENGTH = 1.01

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Vector)
