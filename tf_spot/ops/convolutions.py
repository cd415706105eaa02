"""Convolution and upsampling in the form that is fastest on the hardware; the numbers are the same.

`hardware.Form` says which forms those are. oneDNN takes the gradient of a convolution at a third of the speed of the
convolution itself where the image has three channels and the stride is large, and, in bfloat16 or without AVX-512,
where maps are small and channels many or the stride is the kernel's size. Each of these gradients is also another,
ordinary convolution or a matrix product. A convolution of an upsampled map does each of its products four times over;
they can be done before the upsampling. The tensor cores of a GPU want channels in multiples of 8, which maps lack once
a mask has joined them.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_spot.ops import shifted_maps
from tf_spot.ops.hardware import form, narrow_vectors

SMALL_MAP = 12  # cells a side


@keras.saving.register_keras_serializable("tf_spot")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` without dilation: same weights, same numbers, fast on a CPU.

    In training its gradients are those of `convolve`. Groups are split, convolved and concatenated: Keras'
    own form forces XLA compilation, which is slow on a CPU and which TF Serving and ONNX refuse. A grouped operation
    of TensorFlow's, `Form.groups_at_once`, is for training alone, as those refuse it too.

    Each group adds its bias and takes its ReLU before they are concatenated: TensorFlow then makes one operation of
    the three.

    Call arguments:
        inputs: (batch, height, width, channels).
        training: gradients will be asked for.
        relu: return the ReLU of the outputs.
    """

    def call(self, inputs: tf.Tensor, training: bool = False, relu: bool = False) -> tf.Tensor:
        count = 1 if training and form().groups_at_once else self.groups
        parts = zip(tf.split(inputs, count, axis=-1), tf.split(self.kernel, count, axis=-1), strict=True)
        function = convolve if training and count == self.groups else tf.nn.conv2d  # it has no gradients of groups
        outputs = [function(x, kernel, self.strides[0], self.padding.upper()) for x, kernel in parts]
        if self.use_bias:
            outputs = [tf.nn.bias_add(x, b) for x, b in zip(outputs, tf.split(self.bias, count), strict=True)]
        if relu:
            outputs = [tf.nn.relu(x) for x in outputs]
        return self.activation(tf.concat(outputs, axis=-1))


def convolve(inputs: tf.Tensor, kernel: tf.Tensor, stride: int, padding: str = "SAME") -> tf.Tensor:
    """`tf.nn.conv2d`.

    Args:
        inputs: (batch, height, width, channels).
        kernel: (height, width, channels, filters).
        stride: in both directions.
        padding: `SAME` or `VALID`.
    """
    size, slow_by_kernel = kernel.shape[0], inputs.dtype == tf.bfloat16 or narrow_vectors()
    sides = inputs.shape[1:3]
    in_blocks = padding == "SAME" and None not in sides and all(side % stride == 0 for side in sides)
    if form().stem_of_blocks and in_blocks and inputs.shape[-1] == 3 and size > stride > 1:
        return tf.nn.conv2d(tf.nn.space_to_depth(inputs, stride), _of_blocks(kernel, stride), 1, "SAME")
    by_inputs, by_kernel = _by_inputs, _by_kernel
    if form().own_gradients and in_blocks:
        if inputs.shape[-1] == 3 and size > stride > 1:
            by_inputs = _by_pixels
        if slow_by_kernel and stride == 1 and max(sides) <= SMALL_MAP:
            by_kernel = _by_kernel_of_small_maps
        if slow_by_kernel and stride == size > 1:
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
    blocks = _of_blocks(kernel, stride)
    # (batch, height / stride, width / stride, stride^2 * channels)
    shape = (*tf.unstack(tf.shape(upstream))[:3], blocks.shape[2])
    return tf.nn.depth_to_space(tf.nn.conv2d_transpose(upstream, blocks, shape, 1, "SAME"), stride)


def _of_blocks(kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """Return the kernel (cells, cells, stride^2 * channels, filters) for blocks of stride x stride pixels."""
    size, _, channels, filters = kernel.shape
    before = (size - stride) // 2  # pixels that SAME pads
    cells = -(-(size - stride - before) // stride)  # on each side of the middle one
    count = 2 * cells + 1  # cells that the kernel spans
    zeros = [cells * stride - before, (cells + 1) * stride - size + before]
    blocks = tf.reshape(tf.pad(kernel, [zeros, zeros, [0, 0], [0, 0]]), (count, stride, count, stride, channels, -1))
    return tf.reshape(tf.transpose(blocks, (0, 2, 1, 3, 4, 5)), (count, count, -1, filters))


def _by_kernel(upstream: tf.Tensor, inputs: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    return tf.compat.v1.nn.conv2d_backprop_filter(inputs, kernel.shape, upstream, [1, stride, stride, 1], "SAME")


def _by_kernel_of_small_maps(upstream: tf.Tensor, inputs: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """Channels as images and images as channels."""
    pads = [[0, 0], *([(size - 1) // 2, size // 2] for size in kernel.shape[:2]), [0, 0]]
    maps = tf.transpose(inputs, (3, 1, 2, 0))  # (channels, height, width, batch)
    errors = tf.transpose(upstream, (1, 2, 0, 3))  # (height, width, batch, filters)
    return tf.transpose(tf.nn.conv2d(maps, errors, stride, pads), (1, 2, 0, 3))


def _by_kernel_of_patches(upstream: tf.Tensor, inputs: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """Patches do not overlap: the product of a matrix of them with one of errors."""
    patches = tf.nn.space_to_depth(inputs, stride)  # (batch, height / stride, width / stride, stride^2 * channels)
    errors = tf.reshape(upstream, (-1, upstream.shape[-1]))  # (patches, filters)
    product = tf.matmul(tf.reshape(patches, (-1, patches.shape[-1])), errors, transpose_a=True)
    return tf.reshape(product, kernel.shape)


def convolve_with_mask(inputs: tf.Tensor, keep_mask: tf.Tensor, kernel: tf.Tensor, training: bool) -> tf.Tensor:
    """Convolve maps and a mask that are joined along the channels, stride 1, `SAME` padding.

    Args:
        inputs: (batch, height, width, channels).
        keep_mask: (batch, height, width, 1).
        kernel: (size, size, channels + 1, filters), the mask's last.
        training: gradients will be asked for.

    Returns:
        (batch, height, width, filters).
    """
    function = convolve if training else tf.nn.conv2d
    if not form().mask_apart:
        return function(tf.concat([inputs, keep_mask], axis=-1), kernel, 1, "SAME")
    return function(inputs, kernel[:, :, :-1], 1, "SAME") + tf.nn.conv2d(keep_mask, kernel[:, :, -1:], 1, "SAME")


def convolve_upsampled(inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """`convolve` of `upsample`, stride 1, `SAME` padding.

    Both are linear, so each tap of the kernel can be multiplied in first, where there are a quarter as many cells. A
    matrix along the width and one along the height then upsample the products, shift each by its tap, and add them up.

    Args:
        inputs: (batch, height, width, channels).
        kernel: (size, size, channels, filters).

    Returns:
        (batch, 2 height, 2 width, filters).
    """
    _, height, width, channels = inputs.shape
    size, _, _, filters = kernel.shape
    if not form().kernel_before_upsampling or not _upsampling_last_pays(height, width, channels, size):
        return convolve(upsample(inputs), kernel, 1)
    taps = tf.reshape(tf.transpose(kernel, (2, 1, 0, 3)), (channels, -1))  # (channels, column * row * filter)
    products = tf.matmul(tf.reshape(inputs, (-1, channels)), taps)  # every tap of every cell, before upsampling
    columns = tf.constant(_weights(width, size), inputs.dtype)
    columns = tf.reshape(tf.transpose(columns, (1, 2, 0)), (1, 2 * width, width * size))
    wider = tf.matmul(columns, tf.reshape(products, (-1, width * size, size * filters)))
    # (batch, row tap, height, 2 width, filters)
    wider = tf.transpose(tf.reshape(wider, (-1, height, 2 * width, size, filters)), (0, 3, 1, 2, 4))
    rows = tf.constant(_weights(height, size), inputs.dtype)
    rows = tf.reshape(tf.transpose(rows, (1, 0, 2)), (1, 2 * height, size * height))
    larger = tf.matmul(rows, tf.reshape(wider, (-1, size * height, 2 * width * filters)))
    return tf.reshape(larger, (-1, 2 * height, 2 * width, filters))


def _upsampling_last_pays(height: int, width: int, channels: int, size: int) -> bool:
    """True if it saves more products than the two matrices take, both per cell of the inputs and per filter."""
    return 3 * size**2 * channels > 2 * width * size**2 + 4 * height * size


def upsample(inputs: tf.Tensor) -> tf.Tensor:
    """Double height and width, bilinear with half-pixel centres: (batch, h, w, channels) to (batch, 2h, 2w, channels).

    In bfloat16 also as two matrix products: TensorFlow's resizing computes in float32 alone.
    """
    batch, height, width, channels = inputs.shape
    if form().shifted_maps:
        return shifted_maps.upsample(inputs)
    if inputs.dtype != tf.bfloat16 or not form().upsample_by_products:
        return tf.cast(tf.image.resize(inputs, (2 * height, 2 * width)), inputs.dtype)
    rows, columns = (tf.constant(_weights(side), inputs.dtype) for side in (height, width))
    taller = tf.matmul(rows, tf.reshape(inputs, (-1, height, width * channels)))
    larger = tf.matmul(columns, tf.reshape(taller, (-1, width, channels)))
    return tf.reshape(larger, (-1, 2 * height, 2 * width, channels))


def _weights(side: int, size: int = 1) -> np.ndarray:
    """Of `side` values in the 2 side values between them, (size, 2 side, side): quarters, exact in bfloat16.

    One matrix for each tap of a kernel of `size`, shifted by it; what lies outside is zero.
    """
    centres = np.clip((np.arange(2 * side) + 0.5) / 2 - 0.5, 0, side - 1)
    weights = np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(side)))
    padded = np.pad(weights, (((size - 1) // 2, size // 2), (0, 0)))
    return np.stack([padded[tap : tap + 2 * side] for tap in range(size)])
