"""A split as a sequence of photos, and the decoding of one file to RGB."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Protocol

import numpy as np
from PIL import Image, ImageOps

EXTENSIONS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")
MAX_PIXELS = 100_000_000  # a larger photo is refused before it is decoded
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
    jagged edges.

    Args:
        file: path or open file.
        image_size: pixels, both sides of the image that will be cut from the photo.

    Returns:
        uint8 RGB (height, width, 3).

    Raises:
        BadImage: not a picture, damaged, cut short, or above `MAX_PIXELS`.
    """
    try:
        with Image.open(file) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BadImage(f"{image.width}x{image.height} pixels, more than {MAX_PIXELS:,}")
            if image.format == "JPEG":
                image.draft(None, (2 * image_size, 2 * image_size))  # decodes at 1/2, 1/4 or 1/8, never below this size
            ImageOps.exif_transpose(image, in_place=True)
            return np.asarray(_shrink(_to_rgb(image), 2 * image_size))
    except BadImage:
        raise
    except Exception as error:  # damaged files make Pillow raise nearly anything, struct.error and zlib.error included
        raise BadImage(" ".join(str(error).split()) or type(error).__name__) from error


def _to_rgb(image: Image.Image) -> Image.Image:
    # Pillow's own conversion would cut 16 bits off at 255.
    if image.mode.startswith("I"):  # 16-bit grey: 65535 / 257 = 255
        grey = np.asarray(image, np.float64) / 257
        return Image.fromarray(np.clip(np.round(grey), 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _shrink(image: Image.Image, side: int) -> Image.Image:
    """Return the photo with its shorter side at most `side` pixels."""
    scale = side / min(image.size)
    if scale >= 1:
        return image
    width, height = (max(1, round(scale * length)) for length in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
