"""Pixels by the headers of files alone."""

import io

import numpy as np
import pytest
from PIL import Image

from tf_spot.serving.picture_size import declared_pixels


def encoded(form: str, size: tuple[int, int], **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("file", [
    encoded("PNG", (30, 20)), encoded("JPEG", (30, 20)), encoded("JPEG", (30, 20), progressive=True),
    encoded("JPEG", (30, 20), exif=b"Exif\0\0" + b"x" * 5000, comment=b"a comment"),
])  # fmt: skip
def test_pngs_and_jpegs_declare_their_size(file: bytes) -> None:
    assert declared_pixels({"image_bytes": np.array([file, file, None], object)[:-1]}) == 2 * 600


@pytest.mark.parametrize(
    "file", [b"", b"\xff\xd8", b"\x89PNG", b"\xff\xd8" + b"\xff" * 500, b"text", encoded("GIF", (3, 2))]
)
def test_anything_else_declares_nothing(file: bytes) -> None:
    assert declared_pixels({"image_bytes": np.array([file], object)}) == 0


def test_numbers_are_no_files() -> None:
    assert declared_pixels({"images": np.zeros((2, 3))}) == 0
