"""The two networks that play for a patch: one fills it in from its border, the other tells it from a real one."""

from __future__ import annotations

from typing import Unpack

import keras
import tensorflow as tf

from tf_spot.models.layers import INITIALIZER, ConvBlock, UpConv
from tf_spot.ops.registry import InputShape, LayerOptions, NormOptions

SLOPE = 0.1  # of the leaky ReLUs


class PatchInpainter(keras.layers.Layer):
    """An autoencoder of patches, which also fills in patches whose inside is erased.

    Args:
        width: channels of its first layer; every halving of the patch doubles them.
        levels: how often the patch is halved.
        norm: settings of the batch norms.

    Call arguments:
        patches: (batch, size, size, 3) in [-1, 1], `size` a multiple of 2^levels.
        training: batch norm uses the batch's moments.

    Returns:
        (batch, size, size, 3) in [-1, 1].
    """

    def __init__(self, width: int, levels: int, norm: NormOptions, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.widths = [width * 2**level for level in range(levels + 1)]
        self.first = keras.layers.Conv2D(width, 3, padding="same", kernel_initializer=INITIALIZER, name="first")
        self.downs = [
            ConvBlock(channels, 4, 2, negative_slope=SLOPE, name=f"down{level}", **norm)
            for level, channels in enumerate(self.widths[1:], 1)
        ]
        self.ups = [
            UpConv(channels, 3, negative_slope=SLOPE, name=f"up{level}", **norm)
            for level, channels in enumerate(self.widths[-2::-1], 1)
        ]
        self.last = keras.layers.Conv2D(3, 3, padding="same", kernel_initializer=INITIALIZER, name="last")

    def build(self, input_shape: InputShape) -> None:
        self.first.build((None, None, None, 3))
        for down, channels in zip(self.downs, self.widths, strict=False):
            down.build((None, None, None, channels))
        for up, channels in zip(self.ups, self.widths[::-1], strict=False):
            up.build((None, None, None, channels))
        self.last.build((None, None, None, self.widths[0]))

    def call(self, patches: tf.Tensor, training: bool = False) -> tf.Tensor:
        x = tf.nn.leaky_relu(self.first(patches), SLOPE)
        for layer in [*self.downs, *self.ups]:
            x = layer(x, training=training)
        return tf.tanh(self.last(x))


class PatchDiscriminator(keras.layers.Layer):
    """Tells real patches from filled ones by two of a kind at once, which shows when all fillings are alike.

    Every kernel is divided by its largest singular value, so that the logit cannot change faster than the patch.

    Args:
        width: channels of its first layer; doubled with the first halving of the patch.

    Call arguments:
        pairs: (batch, size, size, 6).
        training: the estimates of the singular values follow the kernels.

    Returns:
        logits (batch,), high for real patches.

    Source: Miyato et al., "Spectral normalization for generative adversarial networks", ICLR 2018.
    """

    def __init__(self, width: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        # (channels, kernel size, stride)
        shapes = [(width, 3, 1), (width, 4, 2), (2 * width, 3, 1), (2 * width, 4, 2), (4 * width, 3, 1)]
        self.convs = [SpectralConv(*shape, name=f"conv{i}") for i, shape in enumerate(shapes)]
        self.logit = SpectralConv(1, 1, 1, name="logit")

    def build(self, input_shape: InputShape) -> None:
        channels = input_shape[-1]
        for conv in [*self.convs, self.logit]:
            conv.build((None, None, None, channels))
            channels = conv.filters

    def call(self, pairs: tf.Tensor, training: bool = False) -> tf.Tensor:
        x = pairs
        for conv in self.convs:
            x = tf.nn.leaky_relu(conv(x, training=training), SLOPE)
        return tf.squeeze(self.logit(tf.reduce_sum(x, axis=(1, 2), keepdims=True), training=training), axis=(1, 2, 3))


class SpectralConv(keras.layers.Layer):
    """A convolution whose kernel, as a matrix, is divided by an estimate of its largest singular value.

    The estimate is one step of power iteration a call in training, from the direction of the call before. The layer has
    its own kernel, as Keras' convolutions save no other weights than theirs: the direction would be lost.

    Call arguments:
        inputs: (batch, height, width, channels).
        training: the direction follows the kernel.

    Returns:
        (batch, ceil(height / strides), ceil(width / strides), filters).
    """

    def __init__(self, filters: int, kernel_size: int, strides: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.strides = filters, kernel_size, strides

    def build(self, input_shape: InputShape) -> None:
        shape = (self.kernel_size, self.kernel_size, input_shape[-1], self.filters)
        self.kernel = self.add_weight(shape=shape, initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")
        start = keras.initializers.RandomNormal()
        self.direction = self.add_weight(shape=(1, self.filters), initializer=start, trainable=False, name="direction")

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        kernel = tf.convert_to_tensor(self.kernel)
        outputs = tf.nn.conv2d(inputs, kernel / self.largest_singular_value(training), self.strides, "SAME")
        return tf.nn.bias_add(outputs, tf.convert_to_tensor(self.bias))

    def largest_singular_value(self, training: bool) -> tf.Tensor:
        """Estimate it, differentiable by the kernel; in training, improve the direction for the next call."""
        matrix = tf.reshape(tf.convert_to_tensor(self.kernel), (-1, self.filters))  # (size^2 * channels, filters)
        fixed = tf.stop_gradient(matrix)
        left = tf.math.l2_normalize(tf.matmul(self.direction, fixed, transpose_b=True))  # (1, size^2 * channels)
        right = tf.math.l2_normalize(tf.matmul(left, fixed))  # (1, filters)
        if training:
            self.direction.assign(right)
        return tf.reduce_sum(tf.matmul(left, matrix) * right)
