"""Refuse images in [0, 255], or of another shape than the networks take, where they are first seen."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tf_spot.errors import UserError

LARGEST = 10.0  # standardised images stay below 5, photos in [0, 255] do not


def check_images(images: object, name: str, image_shape: Sequence[int | None] = (None, None, 3)) -> None:
    """Check one batch, on the host.

    Args:
        images: float (batch, height, width, 3) in [-1, 1]; anything that TensorFlow converts.
        name: of the argument, for the message.
        image_shape: of one image, None where a size is free.

    Raises:
        UserError: other shape, dtype or range; the message has the formula that converts [0, 255].
    """
    batch = tf.convert_to_tensor(images)
    sizes = ", ".join("any" if size is None else str(size) for size in image_shape)
    if not batch.shape.is_compatible_with((None, *image_shape)):
        raise UserError(
            f"{name} must be images (batch, {sizes}); received: shape {tuple(batch.shape)}; resize or batch them"
        )
    if not batch.dtype.is_floating:
        raise UserError(f"{name} must be float32 in [-1, 1]; received: {batch.dtype.name}; convert: images / 127.5 - 1")
    if not int(tf.size(batch)):
        return
    low, high = float(tf.reduce_min(batch)), float(tf.reduce_max(batch))
    if not (low >= -LARGEST and high <= LARGEST):  # not a number either
        raise UserError(
            f"{name} must be float32 in [-1, 1]; received: values from {low:.4g} to {high:.4g}; convert [0, 255] by "
            "images / 127.5 - 1"
        )
