"""Differences in dropped cells, against alterations that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tf_spot.image_quality.dropped_cells import brightness_shift, dropped_pixels, dropped_psnr, patch_distance

SIZE = 32
RANDOM = np.random.default_rng(0)
DECODED = (RANDOM.uniform(-1, 1, (24, SIZE, SIZE, 3)) / 2).astype(np.float32)
DROPPED = dropped_pixels(RANDOM.integers(0, 2, (24, 4, 4, 1)), SIZE)


def altered(by: float) -> np.ndarray:
    """`DECODED`, brighter by so much in dropped cells."""
    return DECODED + np.float32(by) * DROPPED[..., None]


def test_a_dropped_cell_is_a_square_of_pixels() -> None:
    keep_mask = np.ones((1, 2, 2, 1), np.float32)
    keep_mask[0, 0, 1] = 0
    found = dropped_pixels(keep_mask, 6)
    assert found.shape == (1, 6, 6) and found.sum() == 9 and found[0, :3, 3:].all()


def test_brightness_and_psnr_count_dropped_cells_alone() -> None:
    """A tenth of the span in each dropped pixel: 20 dB and 25.5 of 255 grey levels, however few the cells."""
    elsewhere = altered(0.2) + np.float32(0.5) * ~DROPPED[..., None]
    for images in (altered(0.2), elsewhere):
        assert brightness_shift(images, DECODED, DROPPED) == pytest.approx(25.5, abs=1e-3)  # float32 rounding
        assert dropped_psnr(images, DECODED, DROPPED) == pytest.approx(20, abs=1e-3)
    assert brightness_shift(altered(-0.2), DECODED, DROPPED) == pytest.approx(-25.5, abs=1e-3)
    assert dropped_psnr(DECODED, DECODED, DROPPED) == math.inf


def test_patches_of_equal_images_are_no_further_apart_than_two_draws() -> None:
    """The floor of the measure: a projection's deviation (0.29) times about one part in 100, at 20,000 patches."""
    floor = patch_distance(DECODED, DECODED, DROPPED)
    assert 0 < floor < 0.005
    grey = DECODED * ~DROPPED[..., None]  # no light and no texture in dropped cells
    assert patch_distance(grey, DECODED, DROPPED) > 20 * floor


def test_patch_distance_of_a_shift_is_its_mean_projection() -> None:
    """All cells dropped and every pixel brighter by 0.3: each projection moves by 0.3 times its direction's sum."""
    everywhere = np.ones_like(DROPPED)
    directions = np.random.default_rng((3, 0)).normal(size=(147, 256))
    directions /= np.linalg.norm(directions, axis=0)
    expected = 0.3 * np.abs(directions.sum(axis=0)).mean()
    found = patch_distance(DECODED + np.float32(0.3), DECODED, everywhere)
    assert found == pytest.approx(expected, abs=0.005)  # the floor, see above


def test_patch_distance_sees_a_blur_that_keeps_the_brightness() -> None:
    blurred = gaussian_filter(DECODED, (0, 2, 2, 0))
    assert abs(brightness_shift(blurred, DECODED, DROPPED)) < 1
    assert patch_distance(blurred, DECODED, DROPPED) > 0.1


def test_patch_distance_depends_on_its_seed_a_little() -> None:
    one, same, other = (patch_distance(altered(0.3), DECODED, DROPPED, seed) for seed in (0, 0, 1))
    assert one == same != other
    assert other == pytest.approx(one, rel=0.1)  # 256 directions: a few percent


def test_without_dropped_cells_there_is_no_patch() -> None:
    assert math.isnan(patch_distance(DECODED, DECODED, np.zeros_like(DROPPED)))
