"""Pictures of images, masks and filters, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from PIL import Image, ImageDraw

from tf_spot.storage.files import write_file

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_GAP, _LABEL_WIDTH = 2, 130  # pixels
_SMALLEST = 64  # pixels a side of a picture in a grid; smaller ones are enlarged
_FILTERS_PER_ROW = 16


class HasFirstConv(Protocol):
    """Any backbone."""

    @property
    def first_conv(self) -> keras.layers.Layer: ...


def grid(rows: dict[str, np.ndarray]) -> np.ndarray:
    """Draw rows of pictures with their labels on the left.

    Args:
        rows: label to pictures (photos, h, w, 1 or 3) in [-1, 1]; small ones are enlarged by whole pixels.

    Returns:
        uint8 (height, width, 3).
    """
    size = max(_SMALLEST, *(row.shape[1] for row in rows.values()))
    strips = [_strip([_enlarged(picture, size) for picture in row]) for row in rows.values()]
    canvas = Image.new("RGB", (_LABEL_WIDTH + strips[0].shape[1], len(rows) * (size + _GAP)), "white")
    draw = ImageDraw.Draw(canvas)
    for number, (label, strip) in enumerate(zip(rows, strips, strict=True)):
        top = number * (size + _GAP)
        canvas.paste(Image.fromarray(strip), (_LABEL_WIDTH, top))
        draw.text((8, top + size // 2), label, fill="black", anchor="lm", font_size=16)
    return np.asarray(canvas)


def conv1_filters(backbone: HasFirstConv) -> np.ndarray:
    """Draw the filters of the first layer, each stretched to its own range.

    Returns:
        uint8 (height, width, 3); 16 filters per row.

    Source: the authors' code shows them so.
    """
    kernels = np.moveaxis(np.asarray(backbone.first_conv.kernel), -1, 0)  # (filters, k, k, 3)
    low, high = (f(kernels, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
    stretched = 2 * (kernels - low) / np.maximum(high - low, 1e-12) - 1
    tiles = [_enlarged(kernel, 8 * kernel.shape[0]) for kernel in stretched]
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % _FILTERS_PER_ROW)  # rows must be of the same width to be joined
    starts = range(0, len(tiles), _FILTERS_PER_ROW)
    return np.concatenate([_strip(tiles[start : start + _FILTERS_PER_ROW]) for start in starts])


def to_uint8(images: np.ndarray | tf.Tensor | Sequence[np.ndarray]) -> np.ndarray:
    """Round images to whole pixels; `data.augmentation.to_images` is the way back.

    Args:
        images: float of any shape in [-1, 1]; values outside the range are clipped.

    Returns:
        uint8, like `images`.
    """
    return np.clip(np.round((np.asarray(images) + 1.0) * 127.5), 0, 255).astype(np.uint8)


def save_png(path: Path, picture: np.ndarray) -> None:
    """Write a picture, uint8 (height, width, 3)."""
    write_file(path, lambda aside: Image.fromarray(picture).save(aside, format="PNG"))


def _enlarged(picture: np.ndarray, size: int) -> np.ndarray:
    """Return (h, w, 1 or 3) in [-1, 1] as uint8 (size, size, 3), enlarged by whole pixels."""
    levels = to_uint8(picture)
    colour = np.broadcast_to(levels, (*levels.shape[:2], 3))
    return np.asarray(Image.fromarray(colour).resize((size, size), Image.Resampling.NEAREST))


def _strip(tiles: Sequence[np.ndarray]) -> np.ndarray:
    """Join tiles uint8 (h, w, 3) side by side, a white gap after and below each."""
    return np.concatenate([np.pad(t, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255) for t in tiles], axis=1)
