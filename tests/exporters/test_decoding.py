"""Encoded photos in the graph: refused by their header, resized, and turned as EXIF says, as Pillow does it."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from tf_spot.exporters.decoding import decode_photo, exif_orientation

SIZE = 24
JPEG_START = b"\xff\xd8"


@pytest.fixture(scope="module")
def decode():
    function = tf.function(lambda file: decode_photo(file, SIZE), input_signature=[tf.TensorSpec((), tf.string)])
    return lambda file: function(tf.constant(bytes(file))).numpy()


@pytest.fixture(scope="module")
def orientation_of():
    def found(file):
        return exif_orientation(file, tf.strings.substr(file, 0, 4) == b"\x89PNG")

    function = tf.function(found, input_signature=[tf.TensorSpec((), tf.string)])
    return lambda file: int(function(tf.constant(bytes(file))))


def photo() -> np.ndarray:
    """16 x 8 pixels, no two corners alike, smooth enough for JPEG."""
    rows, columns = np.mgrid[0:8, 0:16]
    return np.stack([rows * 30, columns * 15, 255 - rows * 10 - columns * 10], axis=-1).astype(np.uint8)


def exif(number: int, order: str = "<", *, kind: int = 3, first: int = 8) -> bytes:
    """EXIF data with two tags, of which the second is the orientation."""
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HI", 42, first)
    tags = struct.pack(order + "HHI4s", 0x010F, 2, 4, b"abc\0")  # the maker
    tags += struct.pack(order + "HHI", 0x0112, kind, 1)
    tags += struct.pack(order + ("HH" if kind == 3 else "I"), *((number, 0) if kind == 3 else (number,)))
    return head + bytes(first - 8) + struct.pack(order + "H", 2) + tags + bytes(4)


def encoded(pixels: np.ndarray, kind: str, data: bytes | None = None) -> bytes:
    file = io.BytesIO()
    options = {} if data is None else {"exif": b"Exif\0\0" + data}
    Image.fromarray(pixels).save(
        file, kind, **options, **({"quality": 100, "subsampling": 0} if kind == "JPEG" else {})
    )
    return file.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


@pytest.mark.parametrize(("kind", "order"), [("JPEG", "<"), ("JPEG", ">"), ("PNG", ">")])
@pytest.mark.parametrize("number", range(1, 9))
def test_photos_are_turned_as_pillow_turns_them(decode, number, order, kind) -> None:
    file = encoded(photo(), kind, exif(number, order))
    with Image.open(io.BytesIO(file)) as image:
        assert image.getexif()[0x0112] == number
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    expected = tf.image.resize(upright, (SIZE, SIZE), antialias=True).numpy()
    np.testing.assert_allclose(decode(file), expected, atol=1e-3)
    others = [np.rot90(expected, turns)[:, ::flip] for turns in range(4) for flip in (1, -1)]
    assert np.argmin([np.abs(decode(file) - other).mean() for other in others]) == 0


def test_photos_without_orientation_stay(orientation_of) -> None:
    for kind in ("JPEG", "PNG"):
        assert orientation_of(encoded(photo(), kind)) == 1
    with_none = exif(6).replace(struct.pack("<H", 0x0112), struct.pack("<H", 0x0113))
    assert orientation_of(encoded(photo(), "JPEG", with_none)) == 1


def test_exif_is_found_behind_other_parts(orientation_of) -> None:
    plain = encoded(photo(), "JPEG")[2:]
    ours = segment(0xE1, b"Exif\0\0" + exif(6, first=20))
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"Exif\0\0" + exif(3))
    color = segment(0xE2, b"ICC_PROFILE\0" + bytes(60_000))
    assert orientation_of(JPEG_START + xmp + color + b"\xff\xff" + ours + plain) == 6
    assert orientation_of(JPEG_START + plain + ours) == 1  # behind the picture
    png = encoded(photo(), "PNG", exif(8))
    text = struct.pack(">I", 5) + b"tEXtabcde" + bytes(4)
    assert orientation_of(png[:33] + text + png[33:]) == 8
    late = encoded(photo(), "PNG")
    assert orientation_of(late + struct.pack(">I", 60) + b"eXIf" + exif(8) + bytes(20)) == 1


@pytest.mark.parametrize("data", [
    b"", b"II", b"XX" + exif(6)[2:], exif(6)[:20], exif(0), exif(9), exif(6, kind=4),
    b"II" + struct.pack("<HI", 42, 2**32 - 1), b"MM" + struct.pack(">HI", 42, 8) + b"\xff\xff",
])  # fmt: skip
def test_an_orientation_that_makes_no_sense_is_none(orientation_of, data) -> None:
    assert orientation_of(JPEG_START + segment(0xE1, b"Exif\0\0" + data)) == 1


def test_a_file_of_nothing_but_empty_parts_is_given_up(orientation_of) -> None:
    ours = segment(0xE1, b"Exif\0\0" + exif(6))
    assert orientation_of(JPEG_START + segment(0xE0, b"") * 90 + ours) == 6
    assert orientation_of(JPEG_START + segment(0xE0, b"") * 1_000_000 + ours) == 1


def test_photos_are_squeezed_into_the_square(decode) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    np.testing.assert_array_equal(decode(encoded(pixels, "PNG")), pixels)
    wide = np.zeros((SIZE, 4 * SIZE, 3), np.uint8)
    wide[:, 2 * SIZE :] = 255
    squeezed = decode(encoded(wide, "PNG"))
    assert squeezed.shape == (SIZE, SIZE, 3) and squeezed[:, 0].max() == 0 and squeezed[:, -1].min() == 255
    assert decode(encoded(pixels, "JPEG")).shape == (SIZE, SIZE, 3)


def test_a_huge_photo_is_refused_before_it_is_decoded(decode) -> None:
    """Both headers claim 60000 x 60000 pixels; the data behind them could not be decoded."""
    png = bytearray(encoded(photo(), "PNG"))
    png[16:24] = (60_000).to_bytes(4, "big") * 2
    jpeg = bytearray(encoded(photo(), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = (60_000).to_bytes(2, "big") * 2
    for file in (png, jpeg):
        with pytest.raises(tf.errors.InvalidArgumentError, match="too many pixels"):
            decode(file)
    for file in (b"", b"no picture", b"\x89PNG", encoded(photo(), "JPEG")[:50]):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(file)


@pytest.mark.parametrize("form", ["GIF", "BMP", "WEBP", None])
def test_other_formats_are_refused_by_name(form: str | None) -> None:
    content = b"junk" * 20
    if form is not None:
        buffer = io.BytesIO()
        Image.new("RGB", (30, 30)).save(buffer, form)
        content = buffer.getvalue()
    for file, told in ((content, "another format, or no photo"), (content[:10], "cut short"), (b"", "cut short")):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"must be a JPEG or PNG file; received: .*{told}"):
            decode_photo(tf.constant(file), 16)
