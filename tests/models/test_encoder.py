"""The real loading code, on a tiny model that the test builds; and MiniLM where it is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from models.content.encoder import EncoderUnavailable, SentenceEncoder, loaded, why_unavailable

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("sentence_transformers") is None,
    reason="the extra `content` (sentence-transformers) is not installed",
)

ODD = ["", "  ", "tea", "tea " * 5000, "お茶", "🍵🍵", "<b>tea</b>", "\x00\ufffe", "שלום"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers model of random weights: BERT with one layer of 16."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(97, 123)), "tea", "film"]
    (folder / "vocab.txt").write_text("\n".join(words))
    bert = folder / "bert"
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(bert)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(
        BertConfig(vocab_size=len(words), intermediate_size=16, max_position_embeddings=64, **sizes)
    ).save_pretrained(bert)
    inner = Transformer(str(bert), max_seq_length=64)
    path = folder / "model"
    SentenceTransformer(modules=[inner, Pooling(16)], device="cpu").save(str(path))
    return path


def test_every_text_gets_a_vector_of_length_1_and_an_empty_one_zeros(tiny: Path) -> None:
    encoder = SentenceEncoder(str(tiny), device="cpu", threads=1)
    vectors = encoder.encode(ODD)
    assert vectors.shape == (len(ODD), encoder.dimensions) == (len(ODD), 16)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(
        np.linalg.norm(vectors, axis=1), [bool(t.strip()) for t in ODD], atol=1e-4
    )


def test_a_text_gets_the_same_vector_in_any_company(tiny: Path) -> None:
    encoder = SentenceEncoder(str(tiny), device="cpu", threads=1, batch=4)
    together = encoder.encode(ODD)
    alone = np.concatenate([encoder.encode([text]) for text in ODD])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("model", ["{}/nothing", "./nothing", "~/nothing", "a/folder/nothing"])
def test_a_folder_that_is_not_there_is_told_as_that(tmp_path: Path, model: str) -> None:
    model = model.format(tmp_path)
    with pytest.raises(EncoderUnavailable, match=rf"there is no folder {model}\).*or `minilm`"):
        SentenceEncoder(model, device="cpu")


@pytest.mark.parametrize("model", ["all-nothing-v2", "nobody/all-nothing-v2"])
def test_a_name_whose_weights_are_not_here_is_told_with_what_brings_them(model: str) -> None:
    with pytest.raises(EncoderUnavailable, match="local cache has no weights of that name") as told:
        SentenceEncoder(model, device="cpu")
    assert f"SentenceTransformer('{model}').save(FOLDER)" in str(told.value)


def test_a_model_that_was_not_downloaded_is_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("asks the network"))
    with pytest.raises(EncoderUnavailable, match="FRESHET_IMAGE_ENCODER") as raised:
        loaded("no-model", "cpu", setting="FRESHET_IMAGE_ENCODER")
    assert str(raised.value).endswith("or one downloaded before")


def test_minilm_knows_what_is_alike() -> None:
    if reason := why_unavailable("minilm"):
        pytest.skip(reason)
    encoder = SentenceEncoder(device="cpu", threads=1)
    moon, space, soup = encoder.encode(
        ["Moon. A man alone on a lunar base", "An astronaut in space", "A recipe for leek soup"]
    )
    assert moon @ space > moon @ soup + 0.1
