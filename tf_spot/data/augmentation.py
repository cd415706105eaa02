"""From a decoded photo to an image in [-1, 1]: a random view for training, the centre for testing."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tf_spot.config import DataConfig


def to_images(pixels: tf.Tensor | np.ndarray) -> tf.Tensor | np.ndarray:
    """Scale pixels to images; `visualization.pictures.to_uint8` is the way back.

    Args:
        pixels: float32 of any shape in [0, 255].

    Returns:
        like `pixels`, in [-1, 1].
    """
    return pixels / 127.5 - 1.0


def augment(photo: tf.Tensor, seed: tf.Tensor, image_size: int, config: DataConfig) -> tf.Tensor:
    """Return a random crop of one photo, resized, flipped and recoloured.

    Args:
        photo: uint8 (height, width, 3).
        seed: int64 (2,); the same seed gives the same image.
        image_size: pixels, both sides of the result.
        config: ranges of every change.

    Returns:
        float32 (image_size, image_size, 3) in [-1, 1].

    Source: authors' code.
    """
    image, draw = crop(photo, seed, image_size, config)
    return recolour(image[None], draw[None], config)[0]


def crop(photo: tf.Tensor, seed: tf.Tensor, image_size: int, config: DataConfig) -> tuple[tf.Tensor, tf.Tensor]:
    """Return a random crop of one photo, resized in one of two ways: the first half of `augment`.

    It works photo by photo, as photos differ in size; `recolour` works on whole batches, which is faster.

    Args:
        photo, seed, image_size, config: see `augment`.

    Returns:
        float32 (image_size, image_size, 3) in about [0, 255], and the draws for `recolour`: float32 (4,) in [0, 1).
    """
    crop_seed, draw_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    draws = tf.random.stateless_uniform((5,), draw_seed)
    begin, shape, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.shape(photo),
        tf.zeros((1, 0, 4)),  # no boxes: the crop need not contain anything
        crop_seed,
        min_object_covered=0.0,
        area_range=(config.crop_area_min, 1.0),
        aspect_ratio_range=(config.crop_aspect_min, 1 / config.crop_aspect_min),
        use_image_if_no_bounding_boxes=True,
    )
    part, size = tf.slice(photo, begin, shape), (image_size, image_size)
    image = tf.cond(
        draws[0] < 0.5,
        lambda: tf.image.resize(part, size),
        lambda: tf.image.resize(part, size, method="bicubic"),  # overshoots [0, 255]; `recolour` clips
    )
    return tf.ensure_shape(image, (*size, 3)), draws[1:]


def recolour(images: tf.Tensor, draws: tf.Tensor, config: DataConfig) -> tf.Tensor:
    """Flip a batch and change its brightness and saturation: the second half of `augment`.

    Args:
        images: float32 (batch, height, width, 3) in about [0, 255].
        draws: float32 (batch, 4) in [0, 1), from `crop`.
        config: ranges of every change.

    Returns:
        float32 (batch, height, width, 3) in [-1, 1].
    """
    # each (batch, 1, 1, 1)
    flip, shift, factor, shift_first = (draw[:, None, None, None] for draw in tf.unstack(draws, axis=1))
    images = images / 255.0
    if config.flip:
        images = tf.where(flip < 0.5, images[:, :, ::-1], images)
    shift = (2 * shift - 1) * config.brightness
    factor = 1 + (2 * factor - 1) * config.saturation
    # The two do not commute. Adding zero on the other side gives each image its own order without a branch.
    before, after = tf.where(shift_first < 0.5, shift, 0.0), tf.where(shift_first < 0.5, 0.0, shift)
    images = _saturate(images + before, factor) + after
    return tf.clip_by_value(2 * images - 1, -1.0, 1.0)


def center(photo: tf.Tensor | np.ndarray, image_size: int, config: DataConfig) -> tf.Tensor:
    """Return the centre of a photo, resized.

    Args:
        photo: uint8 (height, width, 3).
        image_size: pixels, both sides of the result.
        config: `center_crop` is the share of both sides that is kept.

    Returns:
        float32 (image_size, image_size, 3) in [-1, 1].

    Source: authors' code.
    """
    shape = tf.shape(photo)[:2]
    inner = tf.maximum(1, tf.cast(tf.round(tf.cast(shape, tf.float32) * config.center_crop), tf.int32))
    top, left = tf.unstack((shape - inner) // 2)
    cropped = photo[top : top + inner[0], left : left + inner[1]]
    image = tf.image.resize(cropped, (image_size, image_size))
    return to_images(tf.ensure_shape(image, (image_size, image_size, 3)))


def _saturate(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Return `images` with the saturation times `factor` (batch, 1, 1, 1): `tf.image.adjust_saturation` without HSV.

    With V = max and S = (max - min) / max, S times f moves a channel c to V - f (V - c). S stops at 1, which is at
    f = V / (max - min); a colour without any positive channel has S = 0.
    """
    value = tf.reduce_max(images, axis=-1, keepdims=True)  # (batch, height, width, 1)
    spread = value - tf.reduce_min(images, axis=-1, keepdims=True)
    limit = tf.maximum(tf.math.divide_no_nan(value, spread), 0.0)
    return value - tf.minimum(factor, limit) * (value - images)
