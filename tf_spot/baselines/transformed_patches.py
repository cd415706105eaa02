"""A patch with some content out of every image, transformed strongly: moved, scaled, turned and recoloured."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_spot.distributed.replicas import example_uniform

PATCH_SHARE = 0.5  # a patch's side as a share of the image's
TRANSLATION = 0.2  # furthest, as a share of the patch's side
SCALE = (0.7, 1.4)  # of the part of the image that a patch shows
ROTATION = math.radians(20)  # furthest, to either side
COMPONENT_FACTOR = 2.0  # largest factor on a principal component of the colours; the smallest is its inverse
POWER, FACTOR, SUMMAND = 4.0, (0.7, 1.4), 0.1  # of saturation and value: power 1/4 to 4, factor, plus up to this
HUE = 0.1  # furthest turn, as a share of the circle
NUM_DRAWS = 14  # of a transformation

# Rows: the directions in which the colours of photos vary most: all together, red against blue, green against both.
COMPONENTS = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]], np.float32) / np.sqrt([[3], [2], [6]]).astype(np.float32)


def transformed_patches(images: tf.Tensor, seed: int, step: tf.Tensor | int, *, salt: int, copies: int) -> tf.Tensor:
    """Choose one patch of every image, and transform it several times.

    Args:
        images: float32 (batch, size, size, 3) in [-1, 1].
        seed: of the draws.
        step: scalar integer, the counter of the draws.
        salt: of the choice; that and the next `copies` ones are taken.
        copies: transformations of a patch.

    Returns:
        float32 (copies * batch, patch, patch, 3) in [-1, 1]; patches i and i + batch are of one image.

    Source: Dosovitskiy, Springenberg, Riedmiller and Brox, "Discriminative unsupervised feature learning with
    convolutional neural networks", NIPS 2014: the kinds of transformations and their ranges.
    Deviation: a patch is half of the image, there a third; fixed principal components of colours around mid-grey in
    place of those of the data set; all ranges are drawn from uniformly, those of factors and powers on a logarithmic
    scale.
    """
    batch, patch = tf.shape(images)[0], patch_size(images.shape[1])
    centres = drawn_centres(gradient_energy(images, patch), example_uniform(seed, salt, step, batch, ()))
    patches = []
    for copy in range(1, copies + 1):
        draws = tf.unstack(example_uniform(seed, salt + copy, step, batch, (NUM_DRAWS,)), axis=1)
        patches.append(recoloured(moved(images, centres, draws[:4], patch), draws[4:]))
    return tf.concat(patches, axis=0)


def patch_size(image_size: int) -> int:
    """Return a patch's side in pixels."""
    return round(image_size * PATCH_SHARE)


# --- which patch ------------------------------------------------------------------------------------------------------


def gradient_energy(images: tf.Tensor, patch: int) -> tf.Tensor:
    """Return the mean squared gradient of every patch of an image.

    Args:
        images: float32 (batch, size, size, 3).
        patch: side of a patch, pixels.

    Returns:
        float32 (batch, size - patch + 1, size - patch + 1), by the row and column of the patch's first pixel.
    """
    grey = tf.reduce_mean(images, axis=-1, keepdims=True)  # (batch, size, size, 1)
    squares = tf.reduce_sum(tf.square(tf.image.sobel_edges(grey)), axis=-1)  # (batch, size, size, 1)
    return tf.nn.avg_pool2d(squares, patch, 1, "VALID")[..., 0]


def drawn_centres(energy: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """Draw one patch per image, with a probability proportional to its energy.

    Args:
        energy: float32 (batch, rows, columns), not negative; see `gradient_energy`. All patches of an image without any
            gradient are as likely.
        uniform: float32 (batch,) in [0, 1).

    Returns:
        float32 (batch, 2): row and column of the chosen patch, as offsets from the patch in the image's middle.
    """
    rows, columns = energy.shape[1:]
    weights = tf.reshape(energy, (-1, rows * columns)) + 1e-12
    shares = tf.cumsum(weights, axis=1)  # (batch, patches), rising
    below = tf.cast(shares <= uniform[:, None] * shares[:, -1:], tf.int32)
    index = tf.minimum(tf.reduce_sum(below, axis=1), rows * columns - 1)  # rounding may count one too many
    corners = tf.cast(tf.stack([index // columns, index % columns], axis=1), tf.float32)
    return corners - tf.constant([rows - 1, columns - 1], tf.float32) / 2


# --- transformations --------------------------------------------------------------------------------------------------


def moved(images: tf.Tensor, centres: tf.Tensor, draws: Sequence[tf.Tensor], patch: int) -> tf.Tensor:
    """Cut a patch out of each image, displaced, scaled and turned; beyond its border an image is mirrored.

    Args:
        images: float32 (batch, size, size, 3).
        centres: float32 (batch, 2), see `drawn_centres`.
        draws: four of float32 (batch,) in [0, 1): translation down and to the right, scale, rotation; 0.5 moves and
            turns nothing.
        patch: side of a patch, pixels.

    Returns:
        float32 (batch, patch, patch, 3), sampled bilinearly.
    """
    down, right, scaling, turn = draws
    centre_rows, centre_columns = tf.unstack(centres, axis=1)
    rows = centre_rows + (images.shape[1] - 1) / 2 + TRANSLATION * patch * (2 * down - 1)
    columns = centre_columns + (images.shape[2] - 1) / 2 + TRANSLATION * patch * (2 * right - 1)
    scale, angle = between(scaling, *SCALE), ROTATION * (2 * turn - 1)
    cosine, sine, middle = scale * tf.cos(angle), scale * tf.sin(angle), (patch - 1) / 2
    # Of an output pixel (x, y): x' = a x + b y + c and y' = d x + e y + f in the image, x to the right.
    zeros = tf.zeros_like(scale)
    across = [cosine, -sine, columns - middle * (cosine - sine)]
    along = [sine, cosine, rows - middle * (sine + cosine)]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([*across, *along, zeros, zeros], axis=1),
        output_shape=tf.constant([patch, patch]),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def recoloured(patches: tf.Tensor, draws: Sequence[tf.Tensor]) -> tf.Tensor:
    """Change contrast, saturation, value and hue, the same way for all pixels of a patch.

    Args:
        patches: float32 (batch, patch, patch, 3) in [-1, 1].
        draws: ten of float32 (batch,) in [0, 1): factors on three principal components; power, factor and summand of
            the saturation; the same of the value; hue. 0.5 changes nothing but for the two factors.

    Returns:
        float32 in [-1, 1], like `patches`.
    """
    components = tf.constant(COMPONENTS)
    factors = tf.stack([between(draw, 1 / COMPONENT_FACTOR, COMPONENT_FACTOR) for draw in draws[:3]], axis=1)
    # Of the pixels themselves, not of what they differ by from the patch's mean: the mean's colour changes as well.
    projected = tf.einsum("bhwc,kc->bhwk", patches, components) * factors[:, None, None, :]
    rgb = (tf.einsum("bhwk,kc->bhwc", projected, components) + 1) / 2
    hue, saturation, value = tf.unstack(tf.image.rgb_to_hsv(tf.clip_by_value(rgb, 0.0, 1.0)), axis=-1)
    saturation, value = _curved(saturation, draws[3:6]), _curved(value, draws[6:9])
    hue = tf.math.floormod(hue + HUE * (2 * draws[9][:, None, None] - 1), 1.0)
    return 2 * tf.image.hsv_to_rgb(tf.stack([hue, saturation, value], axis=-1)) - 1


def _curved(channel: tf.Tensor, draws: Sequence[tf.Tensor]) -> tf.Tensor:
    """Raise a channel (batch, patch, patch) in [0, 1] to a power, multiply it and add to it; clipped to [0, 1]."""
    power, factor, summand = (draw[:, None, None] for draw in draws)
    changed = channel ** between(power, 1 / POWER, POWER) * between(factor, *FACTOR) + SUMMAND * (2 * summand - 1)
    return tf.clip_by_value(changed, 0.0, 1.0)


def between(uniform: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Map uniform numbers in [0, 1) to [low, high), uniformly on a logarithmic scale: like `uniform`."""
    return low * (high / low) ** uniform
