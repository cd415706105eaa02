"""Crops of a whole batch at once, from photos that lie one after the other in a device's memory.

`augmentation.resize_crop` leaves the resizing to TensorFlow's kernels, which take one photo and run on CPUs. Here it is
made of operations that every device has, in the kernels' order, so that both give the same image: bit for bit on a CPU,
to float32 rounding on a device that multiplies and adds in one step.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_spot.data.augmentation import Crop

CUBIC = -0.5  # the free parameter of Keys' cubic convolution, as TensorFlow's kernel has it
TABLE_SIZE = 1024  # steps between two pixels at which TensorFlow's kernel tabulates the weights
TAPS = 4  # pixels a side that bicubic resizing looks at; bilinear resizing looks at the middle two


class Taps(NamedTuple):
    """The pixels along one side that the pixels of the result are made of."""

    positions: list[tf.Tensor]  # four, each int64 (batch, image_size), within the crop
    weights: list[tf.Tensor]  # four, each float32 (batch, image_size): bicubic
    share: tf.Tensor  # float32 (batch, image_size): bilinear, of the third tap over the second


def crop_batch(pixels: tf.Tensor, offsets: tf.Tensor, strides: tf.Tensor, drawn: Crop, image_size: int) -> tf.Tensor:
    """Return the crops of a batch of photos, resized: what `augmentation.resize_crop` returns of each.

    Args:
        pixels: uint8 (pixels of all photos, 3), row by row.
        offsets: int64 (batch,): where each photo begins in `pixels`.
        strides: int64 (batch,): pixels from one of its rows to the next.
        drawn: of the batch.
        image_size: pixels, both sides of the result.

    Returns:
        float32 (batch, image_size, image_size, 3) in about [0, 255].
    """
    rows, columns = _taps(drawn.size[:, 0], image_size), _taps(drawn.size[:, 1], image_size)
    columns = tf.nest.map_structure(lambda along: tf.where(drawn.flip[:, None], along[:, ::-1], along), columns)
    first = offsets + drawn.top_left[:, 0] * strides + drawn.top_left[:, 1]  # (batch,)

    def pixel(row: int, column: int) -> tf.Tensor:
        # (batch, image_size, 1) and (batch, 1, image_size) to (batch, image_size, image_size)
        index = rows.positions[row][:, :, None] * strides[:, None, None] + columns.positions[column][:, None, :]
        return tf.cast(tf.gather(pixels, first[:, None, None] + index), tf.float32)  # (..., 3)

    taps = [[pixel(row, column) for column in range(TAPS)] for row in range(TAPS)]
    return tf.where(drawn.bicubic[:, None, None, None], _bicubic(taps, rows, columns), _bilinear(taps, rows, columns))


def _bicubic(taps: list[list[tf.Tensor]], rows: Taps, columns: Taps) -> tf.Tensor:
    """Weigh along the columns of the image first, then along its rows: (batch, image_size, image_size, 3)."""
    lines = [
        _weighted([taps[row][column] for row in range(TAPS)], [w[:, :, None, None] for w in rows.weights])
        for column in range(TAPS)
    ]
    return _weighted(lines, [w[:, None, :, None] for w in columns.weights])


def _weighted(values: list[tf.Tensor], weights: list[tf.Tensor]) -> tf.Tensor:
    # In this order, which is the kernel's: sums of floats depend on it.
    return functools.reduce(tf.add, [value * weight for value, weight in zip(values, weights, strict=True)])


def _bilinear(taps: list[list[tf.Tensor]], rows: Taps, columns: Taps) -> tf.Tensor:
    across, down = columns.share[:, None, :, None], rows.share[:, :, None, None]
    top, bottom = (taps[row][1] + (taps[row][2] - taps[row][1]) * across for row in (1, 2))
    return top + (bottom - top) * down


def _taps(length: tf.Tensor, image_size: int) -> Taps:
    """Return which of the `length` pixels, int64 (batch,), of a side each pixel of the result is made of."""
    scale = tf.cast(length, tf.float32) / tf.cast(image_size, tf.float32)
    at = (tf.range(image_size, dtype=tf.float32) + 0.5) * scale[:, None] - 0.5  # (batch, image_size)
    whole = tf.floor(at)
    step = tf.cast(tf.round((at - whole) * TABLE_SIZE), tf.int32)
    wanted = [tf.cast(whole, tf.int64) + tap - 1 for tap in range(TAPS)]
    inside = [tf.clip_by_value(position, 0, length[:, None] - 1) for position in wanted]
    near, far = _cubic_weights()
    tabulated = [tf.gather(far, step), tf.gather(near, step), tf.gather(near, TABLE_SIZE - step),
                 tf.gather(far, TABLE_SIZE - step)]  # fmt: skip
    # A pixel outside of the crop has no weight, and those inside share it.
    weights = [
        tf.where(position == bound, weight, 0.0)
        for position, bound, weight in zip(wanted, inside, tabulated, strict=True)
    ]
    # In float64, as graphs replace a division of one in float32 by an approximation.
    factor = tf.cast(1.0 / tf.cast(functools.reduce(tf.add, weights), tf.float64), tf.float32)
    return Taps(inside, [weight * factor for weight in weights], at - whole)


@functools.cache
def _cubic_weights() -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of pixels at distance 0 to 1, and 1 to 2, in steps: float32 (TABLE_SIZE + 1,) each."""
    x = np.arange(TABLE_SIZE + 1, dtype=np.float64) / TABLE_SIZE
    near = ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1
    x += 1.0
    far = ((CUBIC * x - 5 * CUBIC) * x + 8 * CUBIC) * x - 4 * CUBIC
    return near.astype(np.float32), far.astype(np.float32)
