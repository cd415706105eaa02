"""Square patches cut from a batch of images, at offsets drawn for each image, and normalised one by one."""

from __future__ import annotations

import tensorflow as tf


def cut(images: tf.Tensor, corners: tf.Tensor, size: int) -> tf.Tensor:
    """Cut several patches out of every image.

    Args:
        images: (batch, height, width, channels).
        corners: int32 (batch, patches, 2), row and column of each patch's upper left pixel; every patch must lie
            inside its image.
        size: pixels, both sides of a patch.

    Returns:
        (batch, patches, size, size, channels).
    """
    steps = tf.range(size)
    rows = corners[..., 0, None, None] + steps[:, None]  # (batch, patches, size, 1)
    columns = corners[..., 1, None, None] + steps[None, :]  # (batch, patches, 1, size)
    # Adding zeros of the other's shape broadcasts both to (batch, patches, size, size).
    indices = tf.stack([rows + tf.zeros_like(columns), columns + tf.zeros_like(rows)], axis=-1)
    return tf.gather_nd(images, indices, batch_dims=1)


def normalised(patches: tf.Tensor) -> tf.Tensor:
    """Scale each patch and channel to mean 0 and deviation 0.5, about that of a photo in [-1, 1].

    Args:
        patches: float32 (patches, size, size, channels).

    Returns:
        float32, like `patches`.
    """
    mean, variance = tf.nn.moments(patches, axes=(1, 2), keepdims=True)
    return 0.5 * (patches - mean) * tf.math.rsqrt(variance + 1e-4)


def whole_numbers(uniform: tf.Tensor, count: int) -> tf.Tensor:
    """Map uniform numbers in [0, 1) to integers.

    Returns:
        int32 in 0 ... count - 1, shape like `uniform`.
    """
    # float32 rounds the product up to `count` for draws just below 1.
    return tf.minimum(tf.cast(uniform * tf.cast(count, tf.float32), tf.int32), tf.cast(count, tf.int32) - 1)
