"""Square patches cut from images, each at a place of its own."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def cut(images: Any, corners: Any, size: int) -> tf.Tensor:
    """Patches of every image.

    Args:
        images: (batch, height, width, channels).
        corners: int32 (batch, patches, 2), row and column of each patch's upper left pixel; patches lie inside.
        size: pixels, both sides.

    Returns:
        (batch, patches, size, size, channels).
    """
    steps = tf.range(size)
    rows = corners[..., 0, None, None] + steps[:, None]  # (batch, patches, size, 1)
    columns = corners[..., 1, None, None] + steps[None, :]
    indices = tf.stack([rows + tf.zeros_like(columns), columns + tf.zeros_like(rows)], axis=-1)
    return tf.gather_nd(images, indices, batch_dims=1)


def whole_numbers(uniform: Any, count: Any) -> tf.Tensor:
    """Uniform numbers in [0, 1) as int32 in 0 ... count - 1."""
    return tf.minimum(tf.cast(uniform * tf.cast(count, tf.float32), tf.int32), tf.cast(count, tf.int32) - 1)
