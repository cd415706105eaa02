"""Raw pixels as features: what a nearest-neighbour search finds without anything learned."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

PIXELS_SIDE = 16  # pixels a side: 768 values, about as many as the other features have


def pixel_features(images: np.ndarray | tf.Tensor) -> np.ndarray:
    """Shrink images to `PIXELS_SIDE` pixels a side and flatten them.

    Args:
        images: float32 (batch, height, width, 3).

    Returns:
        float32 (batch, 768), in the range of `images`.
    """
    shrunk = tf.image.resize(images, (PIXELS_SIDE, PIXELS_SIDE), "area")
    vectors: np.ndarray = np.reshape(shrunk, (len(images), -1))  # (batch, side, side, 3) to (batch, values)
    return vectors
