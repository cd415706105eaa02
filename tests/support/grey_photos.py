"""Grey photos whose level tells which photo an image was made from, for tests of sources."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from tf_spot.config import PAPER
from tf_spot.data import Source, load

# Nothing is varied: every image has the level of its photo.
STILL = dataclasses.replace(
    PAPER.data, crop_area_min=1.0, crop_aspect_min=1.0, flip=False, brightness=0.0, saturation=0.0, center_crop=1.0
)


def write(folder: Path, *levels: int) -> None:
    """Write one photo per level."""
    folder.mkdir(parents=True, exist_ok=True)
    for level in levels:
        Image.new("L", (10, 10), level).save(folder / f"{level:03}.png")


def levels(batches: Iterable[np.ndarray]) -> list[int]:
    """Return the grey level of every image of the batches."""
    return [int(round(float(image[0, 0, 0] + 1) * 127.5)) for batch in batches for image in np.asarray(batch)]


def open_folder(path: Path, **kwargs: object) -> Source:
    return load(f"folder:{path}", image_size=8, **{"config": STILL, **kwargs})
