"""A split as a sequence of photos, and how one file becomes RGB."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageOps

EXTENSIONS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")
MAX_PIXELS = 100_000_000  # a larger photo is refused before it is decoded
Image.MAX_IMAGE_PIXELS = None  # the limit above replaces Pillow's own, which warns first


class BadImage(Exception):
    """A photo that cannot be read; the message says why."""


class Images(Protocol):
    """The photos of one split, by index."""

    labels: np.ndarray | None  # int32 (n,)

    def __len__(self) -> int: ...

    def read(self, index: int) -> np.ndarray:
        """uint8 RGB (height, width, 3), any size.

        Raises:
            BadImage: it cannot be read.
        """

    def name(self, index: int) -> str:
        """What the photo is called: its path within the source, or its number."""


class ArrayImages:
    """Photos held in (or memory-mapped from) one uint8 array (n, height, width, 3)."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray | None) -> None:
        self.pixels, self.labels = pixels, labels

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, index: int) -> np.ndarray:
        return np.ascontiguousarray(self.pixels[index])

    def name(self, index: int) -> str:
        return str(index)


def read_image(file: Path | bytes, image_size: int | None = None) -> np.ndarray:
    """One picture file as uint8 RGB (height, width, 3).

    The first frame of an animation; turned as its EXIF orientation says; transparency over white; 16-bit and floating
    values scaled to 8 bits; CMYK, palette and grey converted.

    Args:
        file: a path, or the file's content.
        image_size: pixels wanted in the end; a much larger JPEG is then decoded at a fraction of its size.

    Raises:
        BadImage: not a picture, damaged, cut short, or above `MAX_PIXELS`.
    """
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BadImage(f"{image.width}x{image.height} pixels, more than {MAX_PIXELS:,}")
            if image_size is not None and image.format == "JPEG":
                image.draft(None, (2 * image_size, 2 * image_size))  # never below this size
            upright = ImageOps.exif_transpose(image)
            return np.asarray(_to_rgb(upright if upright is not None else image))
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError, OverflowError) as error:
        raise BadImage(" ".join(str(error).split()) or type(error).__name__) from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_8_bits(np.asarray(image, np.float64))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    """16-bit values to 8 bits; values that already fit 8 bits, or lie in [0, 1], by their own scale."""
    top = float(values.max(initial=0))
    scale = 255.0 if top <= 1 and values.dtype.kind == "f" and top != round(top) else 1 / 257
    return np.clip(np.round(values * scale), 0, 255).astype(np.uint8)
