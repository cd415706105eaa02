"""From a decoded photo to an image in [-1, 1]: a random view for training, the centre for testing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_spot.config import DataConfig


class Crop(NamedTuple):
    """What is random of the image made of a photo; a batch of them has another axis in front."""

    top_left: tf.Tensor  # int64 (2,), pixels
    size: tf.Tensor  # int64 (2,): height and width, pixels
    bicubic: tf.Tensor  # bool scalar: how it is resized; False: bilinearly
    flip: tf.Tensor  # bool scalar: left and right change places
    draws: tf.Tensor  # float32 (3,) in [0, 1), for `recolour`


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

    Args:
        photo, seed, image_size, config: see `augment`.

    Returns:
        float32 (image_size, image_size, 3) in about [0, 255], and the draws for `recolour`: float32 (3,) in [0, 1).
    """
    drawn = draw_crop(tf.shape(photo, tf.int64), seed, config)
    return resize_crop(photo, drawn, image_size), drawn.draws


def draw_crop(shape: tf.Tensor, seed: tf.Tensor, config: DataConfig) -> Crop:
    """Draw what is random of the image made of one photo.

    Args:
        shape: int64 (3,), of the photo.
        seed, config: see `augment`.
    """
    crop_seed, draw_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    draws = tf.random.stateless_uniform((5,), draw_seed)
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape,
        tf.zeros((1, 0, 4)),  # no boxes: the crop need not contain anything
        crop_seed,
        min_object_covered=0.0,
        area_range=(config.crop_area_min, 1.0),
        aspect_ratio_range=(config.crop_aspect_min, 1 / config.crop_aspect_min),
        use_image_if_no_bounding_boxes=True,
    )
    return Crop(begin[:2], size[:2], draws[0] >= 0.5, config.flip & (draws[1] < 0.5), draws[2:])


def resize_crop(photo: tf.Tensor, drawn: Crop, image_size: int) -> tf.Tensor:
    """Return the part of a photo that was drawn, resized and perhaps mirrored.

    It works photo by photo, as photos differ in size; `recolour` works on whole batches, which is faster. The same for
    a batch of photos in a device's memory is `batch_crop.crop_batch`.

    Args:
        photo: uint8 (height, width, 3).
        drawn: of this photo.
        image_size: pixels, both sides of the result.

    Returns:
        float32 (image_size, image_size, 3) in about [0, 255].
    """
    part, size = tf.slice(photo, tf.pad(drawn.top_left, [[0, 1]]), tf.concat([drawn.size, [3]], 0)), 2 * (image_size,)
    image = tf.cond(
        drawn.bicubic,
        lambda: tf.image.resize(part, size, method="bicubic"),  # overshoots [0, 255]; `recolour` clips
        lambda: tf.image.resize(part, size),
    )
    image = tf.cond(drawn.flip, lambda: tf.reverse(image, [1]), lambda: image)
    return tf.ensure_shape(image, (*size, 3))


def recolour(images: tf.Tensor, draws: tf.Tensor, config: DataConfig) -> tf.Tensor:
    """Change the brightness and the saturation of each image of a batch: the second half of `augment`.

    The saturation times a factor f is `tf.image.adjust_saturation` without HSV. With V = max and S = (max - min) / max
    of a pixel, S times f moves a channel c to V - f (V - c). S stops at 1, which is at f = V / (max - min); a colour
    without any positive channel has S = 0.

    Args:
        images: float32 (batch, height, width, 3) in about [0, 255].
        draws: float32 (batch, 3) in [0, 1), from `crop`.
        config: ranges of every change.

    Returns:
        float32 (batch, height, width, 3) in [-1, 1].
    """
    shift, factor, shift_first = (draw[:, None] for draw in tf.unstack(draws, axis=1))  # each (batch, 1)
    # Images of [0, 2] here, so that the shift is twice as large. What is computed once for each image of a batch costs
    # nothing, and one channel after the other far less than their (..., 3) at once.
    shift = (2 * shift - 1) * (2 * config.brightness)
    factor = 1 + (2 * factor - 1) * config.saturation
    # The two changes do not commute. Adding zero on the other side gives each image its own order without a branch.
    before, after = tf.where(shift_first < 0.5, shift, 0.0), tf.where(shift_first < 0.5, 0.0, shift)
    batch, height, width, _ = tf.unstack(tf.shape(images))
    pixels = tf.reshape(images, (batch, height * width, 3))
    red, green, blue = (channel * (2 / 255) + before for channel in tf.unstack(pixels, axis=2))  # (batch, pixels)
    value = tf.maximum(tf.maximum(red, green), blue)
    spread = value - tf.minimum(tf.minimum(red, green), blue)
    factor = tf.minimum(factor, tf.maximum(tf.math.divide_no_nan(value, spread), 0.0))
    brightest = value + (after - 1)
    changed = tf.stack([brightest - factor * (value - channel) for channel in (red, green, blue)], axis=2)
    return tf.reshape(tf.clip_by_value(changed, -1.0, 1.0), tf.shape(images))


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
