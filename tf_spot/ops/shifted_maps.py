"""Pooling, response norm and upsampling made of maps that are shifted against each other.

TensorFlow has a kernel for each. XLA has its own for some, which are slow on a GPU; of shifted maps it makes one kernel
that reads them once, forward and backward, and adds up gradients in one order. `hardware.Form.shifted_maps` says where
this is the form of a step.
"""

from __future__ import annotations

import functools

import tensorflow as tf


def max_pool(inputs: tf.Tensor) -> tf.Tensor:
    """`tf.nn.max_pool2d(inputs, 3, 2, "SAME")` of maps (batch, height, width, channels) of known size."""
    return _max_along(_max_along(inputs, 1), 2)


def _max_along(maps: tf.Tensor, axis: int) -> tf.Tensor:
    side = maps.shape[axis]
    result = (side + 1) // 2
    pads = [[0, 0]] * 4
    pads[axis] = [side % 2, 1]  # what SAME pads: the window begins outside only where the side is odd
    padded = tf.pad(maps, pads, constant_values=maps.dtype.min)

    def every_second(first: int) -> tf.Tensor:
        slices = [slice(None)] * 4
        slices[axis] = slice(first, first + 2 * result - 1, 2)
        return padded[tuple(slices)]

    # The first of equal values gets the gradient, as in TensorFlow's kernel: `tf.maximum` prefers its first argument.
    return functools.reduce(tf.maximum, [every_second(first) for first in range(3)])


def response_norm(inputs: tf.Tensor, depth_radius: int, bias: float, alpha: float, beta: float) -> tf.Tensor:
    """`tf.nn.local_response_normalization` of maps (batch, height, width, channels)."""
    channels = inputs.shape[-1]
    squares = tf.pad(tf.square(inputs), [[0, 0]] * 3 + [[depth_radius] * 2])
    window = tf.add_n([squares[..., first : first + channels] for first in range(2 * depth_radius + 1)])
    return inputs * (bias + alpha * window) ** -beta


def upsample(inputs: tf.Tensor) -> tf.Tensor:
    """Double height and width, bilinear with half-pixel centres: (batch, h, w, c) to (batch, 2h, 2w, c)."""
    return _double_along(_double_along(inputs, 1), 2)


def _double_along(maps: tf.Tensor, axis: int) -> tf.Tensor:
    _, height, width, channels = maps.shape
    side = maps.shape[axis]

    def cells(first: int, end: int) -> tf.Tensor:
        slices = [slice(None)] * 4
        slices[axis] = slice(first, end)
        return maps[tuple(slices)]

    before = tf.concat([cells(0, 1), cells(0, side - 1)], axis)  # the neighbour of each cell; a border's is itself
    after = tf.concat([cells(1, side), cells(side - 1, side)], axis)
    pairs = tf.stack([0.75 * maps + 0.25 * before, 0.75 * maps + 0.25 * after], axis=axis + 1)
    size = [2 * height, width] if axis == 1 else [height, 2 * width]
    return tf.reshape(pairs, (-1, *size, channels))
