"""Raw pixels as features."""

from __future__ import annotations

import numpy as np

from tf_spot.features.pixels import PIXELS_SIDE, pixel_features


def test_each_value_is_the_average_of_an_area() -> None:
    images = np.random.default_rng(0).uniform(-1, 1, (2, 32, 48, 3)).astype(np.float32)
    found = pixel_features(images)
    cells = images.reshape(2, PIXELS_SIDE, 2, PIXELS_SIDE, 3, 3).mean(axis=(2, 4))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, cells.reshape(2, -1), atol=1e-6)


def test_small_images_are_enlarged_and_keep_their_values() -> None:
    images = np.arange(2, dtype=np.float32)[:, None, None, None] * np.ones((1, 5, 5, 3), np.float32)
    np.testing.assert_array_equal(pixel_features(images), np.repeat([[0.0], [1.0]], 768, axis=1))
