"""Two strongly augmented views of every image: random crops and colour jitter together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_spot.distributed.replicas import example_uniform

SALTS = (41, 42)  # of the draws of the two views; the same for every method, so that all see the same views
SMALLEST_CROP = 0.2  # share of the image's area
# Probability of colour jitter; largest change of a factor; largest turn of the hue, as a share of the whole circle.
JITTER_SHARE, JITTER, HUE = 0.8, 0.4, 0.1
GREY_SHARE = 0.2

# RGB to luma and two colour axes, YIQ; a rotation of the two axes changes the hue.
YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]], np.float32)


def two_views(images: tf.Tensor, seed: int, step: tf.Tensor | int) -> tf.Tensor:
    """Augment each image twice, independently.

    Args:
        images: float32 (batch, size, size, 3) in [-1, 1].
        seed: of the draws.
        step: scalar integer, the counter of the draws.

    Returns:
        float32 (2 batch, size, size, 3) in [-1, 1]; views i and i + batch are of one image.

    Source: Chen, Kornblith, Norouzi and Hinton, "A simple framework for contrastive learning of visual
    representations", ICML 2020; jitter of half strength and no blur, as in its appendix on small images.
    Deviation: crops of at least a fifth of the image, as the image is a crop itself; brightness, contrast, saturation
    and hue in this order always.
    """
    return tf.concat([view(images, seed, step, salt) for salt in SALTS], axis=0)


def view(images: tf.Tensor, seed: int, step: tf.Tensor | int, salt: int) -> tf.Tensor:
    """Augment each image once.

    Args:
        images, seed, step: see `two_views`.
        salt: distinguishes the two views of a step.

    Returns:
        float32, like `images`.
    """
    draws = tf.unstack(example_uniform(seed, salt, step, tf.shape(images)[0], (10,)), axis=1)
    return recoloured(cropped(images, draws[:4]), draws[4:])


def cropped(images: tf.Tensor, draws: Sequence[tf.Tensor]) -> tf.Tensor:
    """Resize a random part of each image to full size, flipped with probability one half.

    Args:
        images: float32 (batch, size, size, 3).
        draws: four of float32 (batch,) in [0, 1): area, aspect ratio, vertical offset, horizontal offset with flip.

    Returns:
        float32, like `images`.
    """
    area, aspect, vertical, horizontal = draws
    ratio = tf.exp((2 * aspect - 1) * np.log(4 / 3))
    area = SMALLEST_CROP + (1 - SMALLEST_CROP) * area
    height = tf.minimum(1.0, tf.sqrt(area / ratio))
    width = tf.minimum(1.0, tf.sqrt(area * ratio))
    # One draw gives both: which half it lies in decides the flip, where in that half the offset.
    flip = horizontal < 0.5
    top = vertical * (1 - height)
    left = tf.where(flip, 2 * horizontal, 2 * horizontal - 1) * (1 - width)
    # A box whose left edge is right of its right edge is read mirrored.
    first, last = tf.where(flip, left + width, left), tf.where(flip, left, left + width)
    boxes = tf.stack([top, first, top + height, last], axis=1)  # (batch, 4)
    return tf.image.crop_and_resize(images, boxes, tf.range(tf.shape(images)[0]), images.shape[1:3])


def recoloured(images: tf.Tensor, draws: Sequence[tf.Tensor]) -> tf.Tensor:
    """Change brightness, contrast, saturation and hue of most images, and make some grey.

    Args:
        images: float32 (batch, size, size, 3) in [-1, 1].
        draws: six of float32 (batch,) in [0, 1): brightness, contrast, saturation, hue, whether to jitter, whether to
            make grey.

    Returns:
        float32 in [-1, 1], like `images`.
    """
    *jitter, jittered, greyed = (draw[:, None, None, None] for draw in draws)  # (batch, 1, 1, 1) each
    images = tf.where(jittered < JITTER_SHARE, _jittered(images, *jitter), images)
    grey = tf.reduce_sum(images * tf.constant(YIQ[0]), axis=-1, keepdims=True)  # (batch, size, size, 1)
    return tf.where(greyed < GREY_SHARE, tf.repeat(grey, 3, axis=-1), images)


def _jittered(
    images: tf.Tensor, brightness: tf.Tensor, contrast: tf.Tensor, saturation: tf.Tensor, hue: tf.Tensor
) -> tf.Tensor:
    """Change the colours by draws (batch, 1, 1, 1) in [0, 1); 0.5 changes nothing."""
    factors = [1 + JITTER * (2 * draw - 1) for draw in (brightness, contrast, saturation)]
    changed = tf.clip_by_value((images + 1) / 2 * factors[0], 0.0, 1.0)
    yiq = tf.einsum("bhwc,kc->bhwk", changed, tf.constant(YIQ))
    luma, colour = yiq[..., :1], yiq[..., 1:]
    mean = tf.reduce_mean(luma, axis=(1, 2), keepdims=True)
    luma = mean + factors[1] * (luma - mean)
    turn = 2 * np.pi * HUE * (2 * hue - 1)
    cosine, sine, (i, q) = tf.cos(turn), tf.sin(turn), tf.split(colour, 2, axis=-1)
    # Contrast scales the colour axes as well as the luma; saturation scales the colour axes alone.
    turned = tf.concat([cosine * i - sine * q, sine * i + cosine * q], axis=-1) * factors[1] * factors[2]
    back = tf.constant(np.linalg.inv(YIQ).astype(np.float32))
    rgb = tf.einsum("bhwc,kc->bhwk", tf.concat([luma, turned], axis=-1), back)
    return 2 * tf.clip_by_value(rgb, 0.0, 1.0) - 1
