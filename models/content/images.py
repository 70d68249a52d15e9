"""What items look like: pictures through a model of the CLIP kind, beside what their text says."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.content.encoder import EncoderUnavailable, SentenceEncoder, loaded

MOST_PIXELS = 50_000_000
"""A picture of more is not unpacked: a file of some kilobytes can claim billions of them."""

MOST_PIXELS_A_SIDE = 65_535
"""As in a JPEG or GIF. A PNG may claim more, and a picture of one column and fifty million rows
takes four gigabytes, as every row has memory of its own."""

_MOST_SCANS = 500
"""Of a JPEG. Those made for the web have about ten, and every one costs as much as the whole
picture has pixels, however few bytes it has."""

_JPEG, _JPEG_SCAN = b"\xff\xd8\xff", b"\xff\xda"
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
_LONGER_SIDE = 512
"""Models of this kind look at 224 to 384 pixels a side."""

IMAGE_PART = 0.5
"""The picture's part of how alike two items are that have both a text and a picture."""


class NoPicture(ValueError):
    """These bytes are no picture that can be read; the text says why."""


def why_no_images(model: str) -> str | None:
    """A sentence about what is missing to encode pictures with `model`, None where nothing is."""
    if importlib.util.find_spec("PIL") is None:
        return (
            "pictures need pillow: pip install -e '.[images]' in Freshet's folder, or set "
            "FRESHET_IMAGES=off"
        )
    if not model:
        return (
            "pictures need a model: FRESHET_IMAGE_ENCODER names a sentence-transformers model of "
            "the CLIP kind, a folder or one downloaded before; or set FRESHET_IMAGES=off"
        )
    return None


def picture_of(data: bytes) -> Any:
    """The picture (PIL, RGB, at most some hundred pixels a side) in a JPEG, PNG, WebP or GIF file.

    Raises:
        NoPicture: it is none, is damaged, or would take too much to unpack.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as file:
            long = max(file.size) > MOST_PIXELS_A_SIDE
            if long or file.width * file.height > MOST_PIXELS:
                raise NoPicture(f"{file.width} × {file.height} pixels are too many")
            if data.startswith(_JPEG) and data.count(_JPEG_SCAN) > _MOST_SCANS:
                raise NoPicture(f"it has more than {_MOST_SCANS} scans")
            file.draft("RGB", (_LONGER_SIDE, _LONGER_SIDE))  # a JPEG is unpacked no larger
            # What can be made smaller as it is needs no copy of 200 MB before.
            picture = file if file.mode in ("RGB", "L") else file.convert("RGB")
            picture.thumbnail((_LONGER_SIDE, _LONGER_SIDE))
            return picture.convert("RGB")
    except NoPicture:
        raise
    except Exception as fault:  # decoders raise all kinds of things on what was made to harm
        raise NoPicture(repr(fault)[:200]) from None


class PicturedEncoder:
    """Texts by one model and pictures by another, as one vector.

    With t the vector of the text and v that of the picture, both of length 1, an item with both is

        (√(1 − w) t, √w v)        w = IMAGE_PART

    so that the cosine of two such items is the mean (1 − w) t·t' + w v·v' of both cosines; what an
    item lacks is zeros, and what it has fills the length. Side by side rather than summed, as a sum
    needs both in one space: then CLIP would have to read the texts, of which it takes 77 tokens and
    was not made for, and its texts and pictures lie apart even there (Liang et al. 2022).

    Raises:
        EncoderUnavailable: pillow or one of the models is not there, or knows no pictures.
    """

    def __init__(self, texts: SentenceEncoder, model: str, *, device: str = "auto") -> None:
        if reason := why_no_images(model):
            raise EncoderUnavailable(reason)
        self._texts = texts
        self._model = loaded(model, device, setting="FRESHET_IMAGE_ENCODER")
        self.name = pictured_name(texts.name, model)
        if "image" not in getattr(self._model, "modalities", ()):
            raise EncoderUnavailable(
                f"the encoder {model!r} knows no pictures; FRESHET_IMAGE_ENCODER names a "
                "sentence-transformers model of the CLIP kind"
            )

    @property
    def dimensions(self) -> int:
        return self._texts.dimensions + int(self._model.get_embedding_dimension())

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [texts, dimensions], as of items without a picture."""
        return self.encode_items(texts, [b""] * len(texts))[0]

    def encode_items(
        self, texts: Sequence[str], images: Sequence[bytes]
    ) -> tuple[NDArray[np.float32], list[int]]:
        """float32 [items, dimensions], rows of length 1, zeros for what has neither; and which
        images could not be read. images: files, empty where there is none."""
        pictures: dict[int, Any] = {}
        unreadable: list[int] = []
        for k, data in enumerate(images):
            if data:
                try:
                    pictures[k] = picture_of(data)
                except NoPicture:
                    unreadable.append(k)
        texts_dimensions = self._texts.dimensions
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        vectors[:, :texts_dimensions] = self._texts.encode(texts)
        if pictures:
            seen = [*pictures]
            vectors[seen, :texts_dimensions] *= (1 - IMAGE_PART) ** 0.5
            vectors[seen, texts_dimensions:] = IMAGE_PART**0.5 * self._model.encode(
                [*pictures.values()],
                batch_size=8,
                normalize_embeddings=True,
                show_progress_bar=False,
                convert_to_numpy=True,
            )
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.maximum(lengths, 1e-9), unreadable


def pictured_name(texts: str, images: str) -> str:
    """Of both models: vectors of other ones are of no use beside theirs."""
    return f"{texts} and {images}"
