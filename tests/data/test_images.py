"""One picture file as RGB: every format and mode, EXIF, 16 bits, size limits, damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.odd_files import ODD
from tf_spot.data import images
from tf_spot.data.images import BadImage, read_image
from tf_spot.data.memory_budget import MemoryBudget

SIZE = 64
RED, WHITE = (200, 40, 20), (255, 255, 255)


def save(path: Path, mode: str, colour: object, **options: object) -> Path:
    Image.new(mode, (8, 6), colour).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("name", "mode", "colour", "expected", "tolerance"),
    [
        ("a.jpg", "RGB", RED, RED, 6),
        ("a.jpeg", "L", 90, (90, 90, 90), 2),
        ("cmyk.jpg", "CMYK", (0, 255, 255, 0), (255, 0, 0), 6),  # no cyan, all magenta and yellow: red
        ("a.png", "RGB", RED, RED, 0),
        ("grey.png", "L", 90, (90, 90, 90), 0),
        ("bilevel.png", "1", 1, WHITE, 0),
        ("alpha.png", "RGBA", (*RED, 255), RED, 0),
        ("clear.png", "RGBA", (*RED, 0), WHITE, 0),  # transparency lies over white
        ("half.png", "LA", (0, 51), (204, 204, 204), 1),  # a fifth of black over white
        ("deep.png", "I;16", 257 * 90, (90, 90, 90), 0),
        ("a.gif", "P", 0, (0, 0, 0), 0),
        ("a.bmp", "RGB", RED, RED, 0),
        ("a.webp", "RGB", RED, RED, 10),
        ("alpha.webp", "RGBA", (*RED, 0), WHITE, 10),
    ],
)
def test_every_format_and_mode_becomes_rgb(tmp_path, name, mode, colour, expected, tolerance):
    photo = read_image(save(tmp_path / name, mode, colour), SIZE)
    assert photo.shape == (6, 8, 3) and photo.dtype == np.uint8
    assert np.abs(photo.astype(int) - expected).max() <= tolerance


def test_palette_colours_and_their_transparency(tmp_path):
    picture = Image.new("P", (2, 1))
    picture.putpalette([200, 40, 20, 10, 20, 30])
    picture.putpixel((1, 0), 1)
    picture.save(tmp_path / "solid.png")
    picture.save(tmp_path / "clear.png", transparency=1)
    picture.save(tmp_path / "bytes.png", transparency=b"\xff\x00")
    assert read_image(tmp_path / "solid.png", SIZE).tolist() == [[[200, 40, 20], [10, 20, 30]]]
    for name in ("clear.png", "bytes.png"):
        assert read_image(tmp_path / name, SIZE).tolist() == [[[200, 40, 20], [255, 255, 255]]]


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.gif", SIZE)[0, 0].tolist() == [255, 0, 0]


def test_16_bits_use_the_whole_range(tmp_path):
    values = np.array([[0, 128, 257, 32896, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    # 128 / 257 = 0.498 rounds to 0; 32896 = 128 * 257
    assert read_image(tmp_path / "deep.png", SIZE)[0, :, 0].tolist() == [0, 0, 1, 128, 255]


@pytest.mark.parametrize(
    ("orientation", "corner"),  # where the stored top-left pixel belongs in the upright photo: (row, column)
    [(1, (0, 0)), (2, (0, -1)), (3, (-1, -1)), (4, (-1, 0)), (5, (0, 0)), (6, (0, -1)), (7, (-1, -1)), (8, (-1, 0))],
)
def test_exif_orientation(tmp_path, orientation, corner):
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    photo = read_image(tmp_path / "a.png", SIZE)
    assert photo.shape == ((4, 6, 3) if orientation <= 4 else (6, 4, 3))
    assert photo[corner].min() == 255 and photo.sum() == 3 * 255


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_large_photos_are_shrunk_by_averaging(tmp_path, name):
    """Fine stripes become even grey: picking single pixels would leave black or white."""
    stripes = np.zeros((400, 600, 3), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / name, quality=95)
    photo = read_image(tmp_path / name, 16)
    assert photo.shape == (32, 48, 3)
    assert np.abs(photo[:, 4:-4].astype(int) - 127).max() <= 12


def test_photos_up_to_twice_the_image_size_keep_their_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png", 16) == pixels).all()


def test_extreme_shapes(tmp_path):
    Image.new("RGB", (900, 1), RED).save(tmp_path / "line.png")
    assert read_image(tmp_path / "line.png", 16).shape == (1, 900, 3)


def test_too_many_pixels_are_refused_unread(tmp_path, monkeypatch):
    Image.new("1", (10_000, 10_001)).save(tmp_path / "huge.png")
    with pytest.raises(BadImage, match="10000x10001 pixels, more than 100,000,000"):
        read_image(tmp_path / "huge.png", SIZE)


def test_damage_is_one_line(tmp_path):
    good = save(tmp_path / "good.png", "RGB", RED).read_bytes()
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "noise.jpg")
    jpeg = (tmp_path / "noise.jpg").read_bytes()
    damaged = {"text.jpg": b"hello", "empty.png": b"", "short.jpg": jpeg[: len(jpeg) // 2], "short.png": good[:50]}
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadImage) as caught:
            read_image(tmp_path / name, SIZE)
        assert str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(BadImage, match="No such file"):
        read_image(tmp_path / "gone.png", SIZE)


def test_any_damaged_byte_gives_a_photo_or_bad_image(tmp_path):
    generator = np.random.default_rng(1)
    pixels = generator.integers(0, 256, (16, 16, 3), np.uint8)
    for name in ("a.jpg", "a.png", "a.gif", "a.bmp", "a.webp"):
        Image.fromarray(pixels).save(tmp_path / name)
        content = np.frombuffer((tmp_path / name).read_bytes(), np.uint8)
        for _ in range(40):
            broken = content.copy()
            broken[generator.integers(0, min(len(broken), 120), 3)] = generator.integers(0, 256, 3)
            (tmp_path / name).write_bytes(broken.tobytes())
            try:
                assert read_image(tmp_path / name, SIZE).shape[-1] == 3
            except BadImage:
                pass


def test_extensions_are_those_promised():
    assert {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp"} <= set(images.EXTENSIONS)


def test_formats_are_those_documented_whatever_the_name(tmp_path):
    """Pillow would also read these, and start Ghostscript for EPS."""
    picture = Image.new("RGB", (8, 6), RED)
    for kind in ("TIFF", "PCX", "JPEG2000", "AVIF", "EPS", "PPM", "ICO"):
        picture.save(tmp_path / "a.jpg", format=kind)
        with pytest.raises(BadImage, match="cannot identify it as JPEG, PNG, GIF, BMP, WEBP"):
            read_image(tmp_path / "a.jpg", SIZE)
    assert {kind.lower() for kind in images.FORMATS} <= {name.strip(".") for name in images.EXTENSIONS}


def test_a_photo_of_several_pictures_gives_its_first(tmp_path):
    """MPO, which many phones and cameras write as .jpg."""
    second = Image.new("RGB", (8, 6))
    Image.new("RGB", (8, 6), RED).save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    assert np.abs(read_image(tmp_path / "a.jpg", SIZE).astype(int) - RED).max() <= 6


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_file_is_bad_and_not_waited_for(kind, tmp_path):
    ODD[kind](tmp_path / "x.jpg")
    with pytest.raises(BadImage, match="not a regular file"):
        read_image(tmp_path / "x.jpg", SIZE)


def test_a_large_file_is_refused_unread(tmp_path):
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(images.MAX_BYTES + 1)  # sparse: takes no room
    with pytest.raises(BadImage, match="536,870,913 bytes, more than 536,870,912"):
        read_image(tmp_path / "a.jpg", SIZE)


@pytest.mark.parametrize(
    ("mode", "bytes_per_pixel"), [("L", 5), ("I;16", 6), ("RGB", 8), ("RGBA", 8), ("P", 5), ("1", 5)]
)
def test_what_decoding_takes_is_held(mode, bytes_per_pixel, tmp_path, monkeypatch):
    budget = MemoryBudget(8 * 6 * bytes_per_pixel)
    monkeypatch.setattr(images, "DECODING", budget)
    save(tmp_path / "a.png", mode, 0 if mode not in ("RGB", "RGBA") else (0,) * len(mode))
    held = []
    monkeypatch.setattr(images, "_to_rgb", lambda image: held.append(budget._free) or image.convert("RGB"))
    read_image(tmp_path / "a.png", SIZE)
    assert held == [0] and budget._free == budget.total
    monkeypatch.setattr(images, "DECODING", MemoryBudget(budget.total - 1))
    with pytest.raises(BadImage, match=f"{budget.total:,} bytes of memory to decode, more than {budget.total - 1:,}"):
        read_image(tmp_path / "a.png", SIZE)


def test_what_the_decoders_hold_themselves_counts(tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg", progressive=True)
    Image.new("RGB", (40, 30)).save(tmp_path / "b.jpg")
    Image.new("RGB", (40, 30)).save(tmp_path / "a.webp")
    needed = {}
    for name in ("a.jpg", "b.jpg", "a.webp"):
        with Image.open(tmp_path / name) as opened:
            needed[name] = images._decoder_bytes(opened)
    assert needed == {"a.jpg": 6 * 1200, "b.jpg": 0, "a.webp": 12 * 1200}


def test_strips_are_the_whole(tmp_path, monkeypatch):
    """Conversions strip by strip change no pixel, wherever a strip ends."""
    random = np.random.default_rng(0)
    deep = Image.fromarray(random.integers(0, 2**16, (13, 7), np.uint16))
    clear = Image.fromarray(random.integers(0, 256, (13, 7, 4), np.uint8), "RGBA")
    palette = Image.fromarray(random.integers(0, 256, (13, 7, 3), np.uint8)).quantize(8)
    for name, picture, options in (("16", deep, {}), ("a", clear, {}), ("p", palette, {"transparency": 3})):
        picture.save(tmp_path / f"{name}.png", **options)
        whole = read_image(tmp_path / f"{name}.png", SIZE)
        monkeypatch.setattr(images, "_STRIP_PIXELS", 30)
        np.testing.assert_array_equal(read_image(tmp_path / f"{name}.png", SIZE), whole)
        monkeypatch.undo()
