"""From a decoded photo to an image in [-1, 1]: varied for training, centred for testing."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tf_spot.config import DataConfig


def augment(photo: Any, seed: Any, image_size: int, config: DataConfig) -> tf.Tensor:
    """A random crop, resized, flipped and recoloured.

    Args:
        photo: uint8 (height, width, 3).
        seed: int32 (2,); the same seed gives the same image.
        image_size: pixels, both sides of the result.
        config: ranges of every change.

    Returns:
        float32 (image_size, image_size, 3) in [-1, 1].

    Source: authors' code.
    """
    draw = tf.random.stateless_uniform((5,), seed)
    image = _random_crop(photo, seed, config)
    size = (image_size, image_size)
    image = tf.cond(
        draw[0] < 0.5,
        lambda: tf.image.resize(image, size),
        lambda: tf.image.resize(image, size, method="bicubic"),
    )
    image = tf.ensure_shape(image, (image_size, image_size, 3)) / 255.0
    if config.flip:
        image = tf.cond(draw[1] < 0.5, lambda: image[:, ::-1], lambda: image)
    shift = (2 * draw[2] - 1) * config.brightness
    factor = 1 + (2 * draw[3] - 1) * config.saturation
    image = tf.cond(
        draw[4] < 0.5,
        lambda: _saturate(image + shift, factor),
        lambda: _saturate(image, factor) + shift,
    )
    return tf.clip_by_value(2 * image - 1, -1.0, 1.0)


def center(photo: Any, image_size: int, config: DataConfig) -> tf.Tensor:
    """The middle of a photo, resized: float32 (image_size, image_size, 3) in [-1, 1]. Source: authors' code."""
    shape = tf.shape(photo)[:2]
    inner = tf.maximum(1, tf.cast(tf.round(tf.cast(shape, tf.float32) * config.center_crop), tf.int32))
    top, left = tf.unstack((shape - inner) // 2)
    cropped = photo[top : top + inner[0], left : left + inner[1]]
    image = tf.image.resize(cropped, (image_size, image_size))
    return tf.ensure_shape(image, (image_size, image_size, 3)) / 127.5 - 1.0


def _random_crop(photo: Any, seed: Any, config: DataConfig) -> tf.Tensor:
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.shape(photo),
        tf.zeros((1, 0, 4)),
        seed + 1,
        area_range=(config.crop_area_min, 1.0),
        aspect_ratio_range=(config.crop_aspect_min, 1 / config.crop_aspect_min),
        use_image_if_no_bounding_boxes=True,
    )
    return tf.slice(photo, begin, size)


def _saturate(image: tf.Tensor, factor: Any) -> tf.Tensor:
    """Scales the HSV saturation of an RGB image: every channel moves away from or towards the largest one.

    With V = max and S = (max - min) / max, multiplying S by f moves a channel c to V - f (V - c), and S stops at 1.
    """
    image = tf.clip_by_value(image, 0.0, 1.0)
    value = tf.reduce_max(image, axis=-1, keepdims=True)
    spread = value - tf.reduce_min(image, axis=-1, keepdims=True)
    limit = tf.math.divide_no_nan(value, spread)  # the factor at which S reaches 1
    return value - tf.minimum(factor, limit) * (value - image)
