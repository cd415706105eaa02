"""Segmentation masks as files: paletted PNGs in the colours of the devkit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def save_mask(path: Path, classes: np.ndarray) -> None:
    """Write a mask as a paletted PNG: the value of a pixel is its class.

    Args:
        path: of the file.
        classes: uint8 (height, width).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(classes)
    image.putpalette(palette())  # turns grey into paletted
    image.save(path)


def palette() -> list[int]:
    """Return the devkit's 256 colours, red, green and blue in turn.

    The three lowest bits of a class are the highest ones of red, green and blue, the next three the second highest, and
    so on.
    """
    colours = []
    for index in range(256):
        rgb = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                rgb[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
        colours += rgb
    return colours
