"""A model of pictures, and pictures, so small that a test can make them."""

from __future__ import annotations

import io
import json
from pathlib import Path


def picture(colour: str, size: tuple[int, int] = (50, 40), kind: str = "PNG") -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


def tiny_clip(folder: Path) -> Path:
    """CLIP with one layer of 16 and random weights, as sentence-transformers saves it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor
    from transformers import CLIPTokenizer as Tokenizer

    letters = [chr(x) for x in range(97, 123)]
    words = [*letters, *(f"{x}</w>" for x in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    last = len(words) - 1
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
             "num_attention_heads": 2, "projection_dim": 16}  # fmt: skip
    text = {"vocab_size": last + 1, "max_position_embeddings": 32, "bos_token_id": last - 1,
            "eos_token_id": last, "pad_token_id": last}  # fmt: skip
    vision = {"image_size": 32, "patch_size": 16}
    config = CLIPConfig(text_config=text | sizes, vision_config=vision | sizes, projection_dim=16)
    inner = folder / "clip"
    CLIPModel(config).save_pretrained(inner)
    CLIPProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        ),
        tokenizer=Tokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")),
    ).save_pretrained(inner)
    path = folder / "model"
    SentenceTransformer(modules=[Transformer(str(inner))], device="cpu").save(str(path))
    return path
