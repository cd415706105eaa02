"""How altered images differ from decoded ones where cells were dropped: pixels, brightness, patches.

An adversarial repair invents, so its error in pixels grows while it gets better. Whether it hides the damage shows in
the distribution of patches: that of repaired cells should be that of decoded ones.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tf_spot.image_quality.copies import psnr

PATCH = 7  # pixels a side
PATCHES = 20_000  # at most; drawn anew for each side of a comparison
DIRECTIONS = 256  # of the projections
GREY_LEVELS = 127.5  # of one unit of images in [-1, 1]
_CANDIDATES = 8  # positions drawn per patch wanted; enough for drop rates from 1/8 on


def dropped_pixels(keep_mask: np.ndarray, image_size: int) -> np.ndarray:
    """Return which pixels lie in dropped cells.

    Args:
        keep_mask: (batch, h, w, 1), 1 = kept.
        image_size: pixels, a multiple of h.

    Returns:
        bool (batch, image_size, image_size).
    """
    cell = image_size // keep_mask.shape[1]
    return (keep_mask[..., 0] == 0).repeat(cell, axis=1).repeat(cell, axis=2)


def brightness_shift(images: np.ndarray, decoded: np.ndarray, dropped: np.ndarray) -> float:
    """Return how much brighter `images` are in dropped cells, in grey levels of 256.

    Args:
        images, decoded: float (batch, size, size, 3) in [-1, 1].
        dropped: of `dropped_pixels`, at least one.
    """
    return GREY_LEVELS * float((images[dropped] - decoded[dropped]).mean(dtype=np.float64))


def dropped_psnr(images: np.ndarray, decoded: np.ndarray, dropped: np.ndarray) -> float:
    """Return the PSNR in dropped cells in dB; arguments as for `brightness_shift`."""
    return psnr(images[dropped], decoded[dropped])


def patch_distance(images: np.ndarray, decoded: np.ndarray, dropped: np.ndarray, seed: int = 0) -> float:
    """Return the sliced Wasserstein distance between patches of `images` and of `decoded`, centred in dropped cells.

    The mean, over random directions, of the Wasserstein distance of the patches' projections. Patches of both sides are
    drawn apart, so two sets of the same distribution have a small distance, and not 0.

    Args:
        images, decoded, dropped: as for `brightness_shift`; size at least 8.
        seed: of patches and directions.

    Returns:
        in units of images in [-1, 1]; NaN where no patch is centred in a dropped cell.

    Source: Rabin et al., SSVM 2011; for patches of 7x7 Karras et al., ICLR 2018.
    """
    sides = [_patches(side, dropped, (stream, seed)) for stream, side in ((1, decoded), (2, images))]
    count = min(map(len, sides))
    if not count:
        return math.nan
    directions = np.random.default_rng((3, seed)).normal(size=(PATCH * PATCH * images.shape[-1], DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    # In one dimension optimal transport pairs the values in order.
    one, other = (np.sort(patches[:count] @ directions, axis=0) for patches in sides)  # (count, DIRECTIONS)
    return float(np.abs(one - other).mean())


def _patches(images: np.ndarray, dropped: np.ndarray, seed: tuple[int, int]) -> np.ndarray:
    """Draw patches whose centre is dropped: (patches, PATCH * PATCH * 3)."""
    random, positions = np.random.default_rng(seed), images.shape[1] - PATCH
    drawn = [random.integers(0, end, _CANDIDATES * PATCHES) for end in (len(images), positions, positions)]
    photo, row, column = drawn
    inside = np.flatnonzero(dropped[photo, row + PATCH // 2, column + PATCH // 2])[:PATCHES]
    windows = sliding_window_view(images, (PATCH, PATCH), axis=(1, 2))  # (photos, rows, columns, 3, PATCH, PATCH)
    chosen = windows[photo[inside], row[inside], column[inside]]  # (patches, 3, PATCH, PATCH)
    return chosen.transpose(0, 2, 3, 1).reshape(-1, PATCH * PATCH * images.shape[-1])
