"""Convolution and upsampling in the form that is fastest on a CPU; the numbers are the same.

oneDNN takes the gradient of a convolution at a third of the speed of the convolution itself where maps are small and
channels many, where the image has three channels and the stride is large, and where the stride is the kernel's size.
Each of these gradients is also another, ordinary convolution or a matrix product.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_spot.hardware import on_cpu

SMALL_MAP = 12  # cells a side, in bfloat16


@keras.saving.register_keras_serializable("tf_spot")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` without dilation: same weights, same numbers, fast on a CPU.

    In training its gradients are those of `convolve`. Groups are split, convolved and concatenated: Keras'
    own form forces XLA compilation, which is slow on a CPU and which TF Serving and ONNX refuse.

    Call arguments:
        inputs: (batch, height, width, channels).
        training: gradients will be asked for.
    """

    def call(self, inputs: Any, training: bool = False) -> tf.Tensor:
        parts = zip(tf.split(inputs, self.groups, axis=-1), tf.split(self.kernel, self.groups, axis=-1), strict=True)
        form = convolve if training else tf.nn.conv2d
        outputs = tf.concat([form(x, kernel, self.strides[0], self.padding.upper()) for x, kernel in parts], axis=-1)
        return self.activation(outputs + self.bias if self.use_bias else outputs)


def convolve(inputs: tf.Tensor, kernel: tf.Tensor, stride: int, padding: str = "SAME") -> tf.Tensor:
    """`tf.nn.conv2d`.

    Args:
        inputs: (batch, height, width, channels).
        kernel: (height, width, channels, filters).
        stride: in both directions.
        padding: `SAME` or `VALID`.
    """
    size, coarse = kernel.shape[0], inputs.dtype == tf.bfloat16
    sides = inputs.shape[1:3]
    by_inputs, by_kernel = _by_inputs, _by_kernel
    if on_cpu() and padding == "SAME" and None not in sides and all(side % stride == 0 for side in sides):
        if inputs.shape[-1] == 3 and size > stride > 1:
            by_inputs = _by_pixels
        if coarse and stride == 1 and max(sides) <= SMALL_MAP:
            by_kernel = _by_kernel_of_small_maps
        if coarse and stride == size > 1:
            by_kernel = _by_kernel_of_patches
    if (by_inputs, by_kernel) == (_by_inputs, _by_kernel):
        return tf.nn.conv2d(inputs, kernel, stride, padding)

    @tf.custom_gradient
    def forward(inputs: tf.Tensor, kernel: tf.Tensor) -> Any:
        def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return by_inputs(upstream, inputs, kernel, stride), by_kernel(upstream, inputs, kernel, stride)

        return tf.nn.conv2d(inputs, kernel, stride, "SAME"), gradients

    return forward(inputs, kernel)


def _by_inputs(upstream: tf.Tensor, inputs: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    return tf.nn.conv2d_transpose(upstream, kernel, tf.shape(inputs), stride, "SAME")


def _by_pixels(upstream: tf.Tensor, inputs: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """Squares of stride x stride pixels as one cell of many channels, on which the stride is 1."""
    size, _, channels, filters = kernel.shape
    before = (size - stride) // 2  # pixels that SAME pads
    cells = -(-(size - stride - before) // stride)  # on each side of the middle one
    count = 2 * cells + 1
    zeros = [cells * stride - before, (cells + 1) * stride - size + before]
    blocks = tf.reshape(tf.pad(kernel, [zeros, zeros, [0, 0], [0, 0]]), (count, stride, count, stride, channels, -1))
    blocks = tf.reshape(tf.transpose(blocks, (0, 2, 1, 3, 4, 5)), (count, count, -1, filters))
    shape = (*tf.unstack(tf.shape(upstream))[:3], blocks.shape[2])
    return tf.nn.depth_to_space(tf.nn.conv2d_transpose(upstream, blocks, shape, 1, "SAME"), stride)


def _by_kernel(upstream: tf.Tensor, inputs: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    return tf.compat.v1.nn.conv2d_backprop_filter(inputs, kernel.shape, upstream, [1, stride, stride, 1], "SAME")


def _by_kernel_of_small_maps(upstream: tf.Tensor, inputs: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """Channels as images and images as channels."""
    pads = [[0, 0], *([(size - 1) // 2, size // 2] for size in kernel.shape[:2]), [0, 0]]
    maps, errors = tf.transpose(inputs, (3, 1, 2, 0)), tf.transpose(upstream, (1, 2, 0, 3))
    return tf.transpose(tf.nn.conv2d(maps, errors, stride, pads), (1, 2, 0, 3))


def _by_kernel_of_patches(upstream: tf.Tensor, inputs: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """Patches do not overlap: the product of a matrix of them with one of errors."""
    patches = tf.nn.space_to_depth(inputs, stride)
    errors = tf.reshape(upstream, (-1, upstream.shape[-1]))
    product = tf.matmul(tf.reshape(patches, (-1, patches.shape[-1])), errors, transpose_a=True)
    return tf.reshape(product, kernel.shape)


def upsample(inputs: tf.Tensor) -> tf.Tensor:
    """Doubles height and width, bilinear with half-pixel centres: (batch, h, w, channels) to (batch, 2h, 2w, channels).

    In bfloat16 as two matrix products: TensorFlow's resizing computes in float32 alone.
    """
    batch, height, width, channels = inputs.shape
    if inputs.dtype != tf.bfloat16 or not on_cpu():
        return tf.cast(tf.image.resize(inputs, (2 * height, 2 * width)), inputs.dtype)
    rows, columns = (tf.constant(_weights(size), inputs.dtype)[None] for size in (height, width))
    taller = tf.matmul(rows, tf.reshape(inputs, (-1, height, width * channels)))
    larger = tf.matmul(columns, tf.reshape(taller, (-1, width, channels)))
    return tf.reshape(larger, (-1, 2 * height, 2 * width, channels))


def _weights(size: int) -> np.ndarray:
    """Of the `size` values in each of the 2 size values between them, (2 size, size): quarters, exact in bfloat16."""
    centres = np.clip((np.arange(2 * size) + 0.5) / 2 - 0.5, 0, size - 1)
    return np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(size)))
