"""Plain JPEG files read by TensorFlow alone: the pixels that Pillow gives, or an error that leaves them to Pillow."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tf_spot.data.images import read_image
from tf_spot.data.plain_jpeg import read_plain

SIZE = 32  # pixels; photos of up to 64 on the shorter side are taken as they are


def photo(height: int = 48, width: int = 61, mode: str = "RGB") -> Image.Image:
    """Smooth colours with some noise, so that every step of a decoder has something to do."""
    row, column = np.mgrid[:height, :width]
    colours = np.stack([row * 4, column * 4, 255 - row * 2 - column], axis=-1)
    noise = np.random.default_rng(0).normal(0, 12, colours.shape)
    return Image.fromarray(np.clip(colours + noise, 0, 255).astype(np.uint8)).convert(mode)


def quickly(path: Path) -> np.ndarray | None:
    """What TensorFlow makes of a file, None where it leaves it to Pillow."""
    try:
        return read_plain(str(path), SIZE).numpy()
    except tf.errors.OpError:
        return None


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (photo(), {}),
        (photo(), {"quality": 30, "subsampling": "4:2:0"}),
        (photo(), {"quality": 95, "subsampling": "4:4:4"}),
        (photo(), {"subsampling": "4:2:2"}),
        (photo(), {"progressive": True, "optimize": True}),
        (photo(64, 500), {}),
        (photo(1, 1), {}),
        (photo(mode="L"), {}),
    ],
)
def test_a_plain_jpeg_has_pillows_pixels(tmp_path: Path, image: Image.Image, options: dict[str, Any]) -> None:
    image.save(tmp_path / "a.jpg", **options)
    np.testing.assert_array_equal(quickly(tmp_path / "a.jpg"), read_image(tmp_path / "a.jpg", SIZE))


@pytest.mark.parametrize(
    ("name", "image", "options"),
    [
        ("turned.jpg", photo(), {"exif": True}),
        ("commented.jpg", photo(), {"comment": "made by hand"}),
        ("four_colours.jpg", photo(mode="CMYK"), {}),
        ("large.jpg", photo(65, 65), {}),
        ("other.png", photo(), {}),
        ("called.jpg", photo(), {"format": "PNG"}),
    ],
)
def test_what_is_not_plain_is_left_to_pillow(
    tmp_path: Path, name: str, image: Image.Image, options: dict[str, Any]
) -> None:
    if options.get("exif"):
        turned = Image.Exif()
        turned[0x0112] = 6  # to be turned by a quarter
        options = {"exif": turned}
    image.save(tmp_path / name, **options)
    assert read_image(tmp_path / name, SIZE).ndim == 3
    assert quickly(tmp_path / name) is None


def test_missing_and_empty_files_are_left_to_pillow(tmp_path: Path) -> None:
    assert quickly(tmp_path / "none.jpg") is None
    (tmp_path / "empty.jpg").write_bytes(b"")
    assert quickly(tmp_path / "empty.jpg") is None


def test_too_many_pixels_are_left_to_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo().save(tmp_path / "a.jpg")
    monkeypatch.setattr("tf_spot.data.plain_jpeg.PLAIN_PIXELS", 48 * 61 - 1)
    assert quickly(tmp_path / "a.jpg") is None


def test_no_damage_is_read_in_another_way_than_by_pillow(tmp_path: Path) -> None:
    """Every third byte of a file in turn, and the file cut short there."""
    buffer = io.BytesIO()
    photo(17, 20).save(buffer, "JPEG", quality=40)
    content, file = buffer.getvalue(), tmp_path / "a.jpg"
    taken = 0
    for place in range(0, len(content), 3):
        altered = content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]
        for damaged in (altered, content[:place]):
            file.write_bytes(damaged)
            found = quickly(file)
            if found is not None:
                taken += 1
                np.testing.assert_array_equal(found, read_image(file, SIZE))
    assert taken > 20  # altered pixels are still a photo
