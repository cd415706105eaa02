"""Quality of copies, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tf_spot.image_quality.copies import copy_quality, laplacian_energy, psnr


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def test_psnr_by_hand() -> None:
    """Images span 2, so an error of 0.2 everywhere is a tenth of the peak: 20 dB."""
    images = np.zeros((2, 4, 4, 3), np.float32)
    assert psnr(images + np.float32(0.2), images) == pytest.approx(20, abs=1e-4)  # float32 rounding of 0.2
    assert psnr(images, images) == math.inf


def test_laplacian_energy_by_hand() -> None:
    """One bright pixel: 4 squared at it, and 1 at each of its four neighbours. A slope has none."""
    images = np.zeros((1, 5, 5, 1), np.float32)
    images[0, 2, 2] = 1
    assert laplacian_energy(images) == 16 + 4
    slope = np.broadcast_to(np.arange(5, dtype=np.float32)[:, None], (1, 5, 5))[..., None]
    assert laplacian_energy(slope) == 0


def test_a_blurred_copy_keeps_less_of_the_detail_and_a_faint_one_a_share_that_is_known() -> None:
    photos = noise(3, 16, 16, 3)
    blurred = gaussian_filter(photos, (0, 1, 1, 0))
    assert copy_quality([(photos, photos)]) == (math.inf, 1.0)
    assert copy_quality([(photos, blurred)]).laplacian_share < 0.1
    assert copy_quality([(photos, photos / 2)]).laplacian_share == pytest.approx(0.25)


def test_quality_is_the_mean_over_batches() -> None:
    photos = noise(2, 8, 8, 3) / 2
    found = copy_quality([(photos, photos + np.float32(0.2)), (photos, photos + np.float32(0.02))])
    assert found.psnr == pytest.approx((20 + 40) / 2, abs=1e-3)  # float32 rounding of the sums
    assert found.laplacian_share == pytest.approx(1, abs=1e-4)


def test_photos_without_detail_have_no_share() -> None:
    blank = np.zeros((1, 8, 8, 3), np.float32)
    assert math.isnan(copy_quality([(blank, noise(1, 8, 8, 3))]).laplacian_share)
