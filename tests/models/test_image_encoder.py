"""Pictures beside texts: the real loading code, on a tiny CLIP that the test builds."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest
from tiny_clip import picture, tiny_clip

from models.content.encoder import EncoderUnavailable, SentenceEncoder
from models.content.images import (
    MOST_PIXELS,
    MOST_PIXELS_A_SIDE,
    NoPicture,
    PicturedEncoder,
    picture_of,
    why_no_images,
)
from models.content.text import content_key

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("sentence_transformers", "PIL")),
    reason="the extras `content` and `images` are not installed",
)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def encoder(clip: Path) -> PicturedEncoder:
    """Its texts by the same tiny model, which reads them as well."""
    return PicturedEncoder(
        SentenceEncoder(str(clip), device="cpu", threads=1), str(clip), device="cpu"
    )


def test_likeness_is_the_mean_of_what_is_said_and_what_is_seen(encoder: PicturedEncoder) -> None:
    red, blue = picture("red"), picture("blue")
    vectors, unreadable = encoder.encode_items(
        ["tea", "tea", "cup", "tea", ""], [red, blue, red, b"", red]
    )
    assert unreadable == []
    assert vectors.shape == (5, encoder.dimensions) == (5, 32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    said, seen = encoder.encode(["tea", "cup"]), vectors[:, 16:] * 2**0.5
    assert vectors[0] @ vectors[1] == pytest.approx((1 + seen[0] @ seen[1]) / 2, abs=1e-5)
    assert vectors[0] @ vectors[2] == pytest.approx((said[0] @ said[1] + 1) / 2, abs=1e-5)
    np.testing.assert_allclose(vectors[3], said[0], atol=1e-5)
    assert vectors[4] @ vectors[0] == pytest.approx(0.5**0.5, abs=1e-5)


def test_a_picture_that_cannot_be_read_leaves_the_text(encoder: PicturedEncoder) -> None:
    whole = picture("red", (300, 200), "JPEG")
    vectors, unreadable = encoder.encode_items(["tea"] * 4, [b"x", whole[:200], b"<svg/>", whole])
    assert unreadable == [0, 1, 2]
    np.testing.assert_allclose(vectors[:3], encoder.encode(["tea"] * 3), atol=1e-5)
    assert np.abs(vectors[3, 16:]).max() > 0


def test_a_small_file_that_claims_to_be_huge_is_not_unpacked() -> None:
    side = int(MOST_PIXELS**0.5) + 1
    from PIL import Image

    file = io.BytesIO()
    Image.new("1", (side, side)).save(file, "PNG")
    assert len(file.getvalue()) < 100_000
    with pytest.raises(NoPicture, match="too many"):
        picture_of(file.getvalue())
    assert picture_of(picture("red", (3000, 1000), "JPEG")).size == (512, 171)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("RGB", "PNG"), ("L", "PNG"), ("P", "GIF"), ("RGBA", "WEBP"), ("RGB", "JPEG"), ("L", "JPEG")],
)
def test_a_picture_is_made_smaller_as_if_it_had_its_colours_before(mode: str, kind: str) -> None:
    from PIL import Image

    file = io.BytesIO()
    gradient = Image.radial_gradient("L").resize((700, 600))
    Image.merge("RGB", [gradient, gradient.rotate(90), gradient]).convert(mode).save(file, kind)
    expected = Image.open(file).convert("RGB")
    expected.thumbnail((512, 512))
    found = picture_of(file.getvalue())
    assert (found.mode, found.size) == ("RGB", expected.size)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_a_picture_of_very_many_rows_or_scans_is_not_unpacked() -> None:
    from PIL import Image

    file = io.BytesIO()
    Image.new("1", (1, MOST_PIXELS_A_SIDE + 1)).save(file, "PNG")
    with pytest.raises(NoPicture, match="too many"):
        picture_of(file.getvalue())
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG", progressive=True)
    whole = file.getvalue()
    assert picture_of(whole).size == (64, 64)
    last = whole.rindex(b"\xff\xda")
    with pytest.raises(NoPicture, match="scans"):
        picture_of(whole[:last] + whole[last:-2] * 500 + whole[-2:])


def test_a_model_that_knows_no_pictures_is_refused_with_a_sentence(
    tmp_path: Path, clip: Path
) -> None:
    texts = SentenceEncoder(str(clip), device="cpu", threads=1)
    with pytest.raises(EncoderUnavailable, match="FRESHET_IMAGE_ENCODER"):
        PicturedEncoder(texts, str(tmp_path / "nothing"), device="cpu")
    assert "FRESHET_IMAGE_ENCODER" in str(why_no_images(""))
    assert why_no_images(str(clip)) is None


def test_another_picture_is_another_content() -> None:
    keys = {content_key("tea", "m", url) for url in ("", "https://a/1.png", "https://a/2.png")}
    assert len(keys) == 3
