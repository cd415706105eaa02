"""Classes of what the cells of a grid look like: bins of colour, and bins of lightness."""

from __future__ import annotations

import tensorflow as tf

from tf_spot.ops.colour import lab

BIN = 10.0  # width of a colour bin, in units of a and b
BINS = 22  # along each of a and b, from -110 to 110
LIGHTNESS_BINS = 50  # of L, from 0 to 100
SMOOTHING = 0.5  # share of a uniform distribution mixed into the colours' frequencies


def colour_bins(images: tf.Tensor, grid: int) -> tf.Tensor:
    """Return the bin of each cell's mean colour.

    Args:
        images: float32 (batch, height, width, 3) in [-1, 1].
        grid: cells per side.

    Returns:
        int32 (batch, grid, grid) in 0 ... BINS^2 - 1, a changing slowest.
    """
    colours = tf.image.resize(lab(images)[..., 1:], (grid, grid), "area")  # (batch, grid, grid, 2)
    indices = tf.clip_by_value(tf.cast(tf.floor(colours / BIN), tf.int32) + BINS // 2, 0, BINS - 1)
    return indices[..., 0] * BINS + indices[..., 1]


def lightness_bins(images: tf.Tensor, grid: int) -> tf.Tensor:
    """Return the bin of each cell's mean lightness.

    Args:
        images, grid: see `colour_bins`.

    Returns:
        int32 (batch, grid, grid) in 0 ... LIGHTNESS_BINS - 1, dark to light.
    """
    lightness = tf.image.resize(lab(images)[..., :1], (grid, grid), "area")[..., 0]  # (batch, grid, grid)
    indices = tf.cast(tf.floor(lightness / 100 * LIGHTNESS_BINS), tf.int32)
    return tf.clip_by_value(indices, 0, LIGHTNESS_BINS - 1)


def rarity(bins: tf.Tensor) -> tf.Tensor:
    """Return the weights of the cells, the inverse of their colour's smoothed frequency in the batch.

    Args:
        bins: int32 (batch, grid, grid), see `colour_bins`.

    Returns:
        float32, like `bins`, with mean 1.
    """
    # Not `tf.math.bincount`, which no GPU computes deterministically.
    counts = tf.reduce_sum(tf.one_hot(tf.reshape(bins, (-1,)), BINS**2), axis=0)  # (cells, BINS^2) to (BINS^2,)
    frequency = counts / tf.reduce_sum(counts)  # (BINS^2,)
    weights = tf.gather(1 / ((1 - SMOOTHING) * frequency + SMOOTHING / BINS**2), bins)
    return weights / tf.reduce_mean(weights)
