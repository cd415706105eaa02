"""How good copies of photos are: their PSNR, and how much of the fine detail they keep."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

PEAK = 2  # the span of images in [-1, 1]


class CopyQuality(NamedTuple):
    """How good copies are."""

    psnr: float  # dB; infinite where they equal the photos
    laplacian_share: float  # of the photos' Laplacian energy; NaN where the photos have none


def copy_quality(batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> CopyQuality:
    """Measure the copies of some photos.

    Args:
        batches: photos and their copies, float32 (batch, height, width, 3) in [-1, 1] each.

    Returns:
        means over the batches.
    """
    found = [(psnr(copies, photos), _share(copies, photos)) for photos, copies in batches]
    return CopyQuality(*(float(np.mean(values)) for values in zip(*found, strict=True)))


def psnr(images: np.ndarray, reference: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB, infinite between equal images.

    Args:
        images, reference: float in [-1, 1], both of any one shape.
    """
    error = float(np.square(images - reference, dtype=np.float64).mean())
    return 10 * math.log10(PEAK**2 / error) if error else math.inf


def laplacian_energy(images: np.ndarray) -> float:
    """Return the sum of squares of every channel's discrete Laplacian: what there is of edges and texture.

    Args:
        images: float (batch, height, width, channels); their border is left out.
    """
    centre = images[:, 1:-1, 1:-1]
    across = images[:, 1:-1, :-2] + images[:, 1:-1, 2:]
    along = images[:, :-2, 1:-1] + images[:, 2:, 1:-1]
    return float(np.square(across + along - 4 * centre, dtype=np.float64).sum())


def _share(copies: np.ndarray, photos: np.ndarray) -> float:
    whole = laplacian_energy(photos)
    return laplacian_energy(copies) / whole if whole else math.nan
