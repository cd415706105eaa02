"""Crops of images that are shifted, turned and warped, in one interpolation."""

from __future__ import annotations

import tensorflow as tf


def sampled(images: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """Interpolate images linearly at points; outside them the nearest border pixel counts. Differentiable by `images`.

    Args:
        images: float32 (batch, height, width, channels).
        points: float32 (batch, rows, columns, 2), row and column in pixels; (0, 0) is the middle of the first pixel.

    Returns:
        float32 (batch, rows, columns, channels).
    """
    batch, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    points = tf.clip_by_value(points, 0.0, tf.constant([height - 1, width - 1], tf.float32))
    # The upper left of four neighbours; at the last pixel it is the one before, with weight 0.
    corner = tf.minimum(tf.floor(points), tf.constant([height - 2, width - 2], tf.float32))
    below, right = tf.split(points - corner, 2, axis=-1)  # (batch, rows, columns, 1), weights in [0, 1]
    row, column = tf.unstack(tf.cast(corner, tf.int32), axis=-1)
    flat = tf.reshape(images, (-1, images.shape[3]))
    first = (tf.range(batch)[:, None, None] * height + row) * width + column  # index of the upper left in `flat`
    upper = (1 - right) * tf.gather(flat, first) + right * tf.gather(flat, first + 1)
    lower = (1 - right) * tf.gather(flat, first + width) + right * tf.gather(flat, first + width + 1)
    return (1 - below) * upper + below * lower


def crop_points(offsets: tf.Tensor, angles: tf.Tensor, size: int) -> tf.Tensor:
    """Return the pixels of square crops, each turned about its own middle.

    Args:
        offsets: float32 (batch, 2), row and column of the upper left pixel before the turn; may lie between pixels.
        angles: float32 (batch,), radians.
        size: pixels, both sides of a crop.

    Returns:
        float32 (batch, size, size, 2), see `sampled`.
    """
    middle = (size - 1) / 2
    steps = tf.range(size, dtype=tf.float32) - middle
    rows, columns = steps[None, :, None], steps[None, None, :]
    cosine, sine = tf.cos(angles)[:, None, None], tf.sin(angles)[:, None, None]
    turned = tf.stack([cosine * rows - sine * columns, sine * rows + cosine * columns], axis=-1)
    return turned + middle + offsets[:, None, None, :]


def smooth_field(moves: tf.Tensor, size: int) -> tf.Tensor:
    """Spread moves of a coarse grid of control points smoothly over a crop.

    Args:
        moves: float32 (batch, grid, grid, 2), pixels.
        size: pixels, both sides of the crop.

    Returns:
        float32 (batch, size, size, 2), pixels, to be added to `crop_points`.
    """
    return tf.image.resize(moves, (size, size), "bicubic")
