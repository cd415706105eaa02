"""A split as a sequence of photos, and the decoding of one file to RGB."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Protocol

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tf_spot.data.memory_budget import MemoryBudget
from tf_spot.storage.regular_files import open_regular

EXTENSIONS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")  # by content, whatever the name; Pillow would try forty others
MAX_PIXELS = 100_000_000  # a larger photo is refused before it is decoded
MAX_BYTES = 2**29  # and so is a larger file
DECODING = MemoryBudget(2**30)  # of all readers together
_PIXEL_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}  # of a pixel in Pillow's memory; else 4
_STRIP_PIXELS = 2**20
Image.MAX_IMAGE_PIXELS = None  # the limit above replaces Pillow's own, which warns first


class BadImage(Exception):
    """A photo that cannot be read; the message says why."""


class Images(Protocol):
    """Photos that can be read in any order."""

    labels: np.ndarray | None  # int32 (photos,)

    def __len__(self) -> int: ...

    def read(self, index: int) -> np.ndarray:
        """Return a photo, uint8 RGB (height, width, 3) of any size.

        Raises:
            BadImage: it cannot be read.
        """

    def name(self, index: int) -> str:
        """Return the photo's name: its path within the source, or its index."""


def read_image(file: Path | IO[bytes], image_size: int) -> np.ndarray:
    """Decode a picture file.

    Takes the first frame of an animation, applies the EXIF orientation, puts transparency over white, reduces 16 bits
    to 8, and converts CMYK, palette and grey. A photo more than twice as large as wanted is shrunk, each pixel the
    average of those it covers: the resizing after the random crop looks at neighbouring pixels only and would give
    jagged edges. All threads together decode within `DECODING.total` bytes.

    Args:
        file: path or open file.
        image_size: pixels, both sides of the image that will be cut from the photo.

    Returns:
        uint8 RGB (height, width, 3).

    Raises:
        BadImage: not a regular file, none of `FORMATS`, damaged, cut short, or above `MAX_PIXELS`, `MAX_BYTES` or the
            memory for decoding.
    """
    try:
        with _opened(file) as opened, Image.open(opened, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BadImage(f"{image.width}x{image.height} pixels, more than {MAX_PIXELS:,}")
            needed = _decoder_bytes(image)
            if image.format == "JPEG":
                image.draft(None, (2 * image_size, 2 * image_size))  # decodes at 1/2, 1/4 or 1/8, never below this size
            needed += image.width * image.height * (_PIXEL_BYTES.get(image.mode, 4) + 4)  # and as RGB, of 4 bytes
            if needed > DECODING.total:
                raise BadImage(f"{needed:,} bytes of memory to decode, more than {DECODING.total:,}")
            with DECODING.hold(needed):
                ImageOps.exif_transpose(image, in_place=True)
                return np.asarray(_shrink(_to_rgb(image), 2 * image_size))
    except BadImage:
        raise
    except UnidentifiedImageError as error:
        raise BadImage(f"cannot identify it as {', '.join(FORMATS)}") from error
    except Exception as error:  # damaged files make Pillow raise nearly anything, struct.error and zlib.error included
        raise BadImage(" ".join(str(error).split()) or type(error).__name__) from error


def _opened(file: Path | IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    if not isinstance(file, Path):
        return nullcontext(file)
    opened = open_regular(file)
    size = os.fstat(opened.fileno()).st_size
    if size > MAX_BYTES:
        opened.close()
        raise BadImage(f"{size:,} bytes, more than {MAX_BYTES:,}")
    return opened


def _decoder_bytes(image: Image.Image) -> int:
    """Return what the decoder of a format holds beside the picture, about."""
    pixels = image.width * image.height
    if image.format == "WEBP":
        return 12 * pixels  # two frames of its own and the bytes of one, of 4 bytes a pixel each
    # All coefficients of a progressive JPEG are held, of 2 bytes and at full size whatever the scale.
    return 6 * pixels if "progressive" in image.info else 0


def _to_rgb(image: Image.Image) -> Image.Image:
    """Return the picture as RGB, strip by strip where the conversion makes several copies."""
    if not (image.mode.startswith("I") or _transparent(image)):
        return image if image.mode == "RGB" else image.convert("RGB")
    whole = Image.new("RGB", image.size)
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        whole.paste(_strip_to_rgb(strip), (0, top))
    return whole


def _transparent(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info


def _strip_to_rgb(strip: Image.Image) -> Image.Image:
    # Pillow's own conversion would cut 16 bits off at 255.
    if strip.mode.startswith("I"):  # 16-bit grey: 65535 / 257 = 255
        grey = np.asarray(strip, np.float64) / 257
        return Image.fromarray(np.clip(np.round(grey), 0, 255).astype(np.uint8)).convert("RGB")
    strip = strip.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert("RGB")


def _shrink(image: Image.Image, side: int) -> Image.Image:
    """Return the photo with its shorter side at most `side` pixels."""
    scale = side / min(image.size)
    if scale >= 1:
        return image
    width, height = (max(1, round(scale * length)) for length in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
