"""The layers that Keras lacks or has in a form that does not fit this method.

Under the policy `mixed_bfloat16` convolutions and what lies between them compute in bfloat16; batch norm's moments and
statistics, and the resizing between two layers of the decoder, stay in float32. Layers that hold others do not cast
their inputs (`autocast=False`): the layers inside cast their own.
"""

from __future__ import annotations

import math
from typing import Any, Unpack

import keras
import tensorflow as tf

from tf_spot.distributed.replicas import example_uniform, global_sum, num_replicas
from tf_spot.ops import shifted_maps
from tf_spot.ops.convolutions import Conv2D, convolve, convolve_upsampled, convolve_with_mask
from tf_spot.ops.hardware import form
from tf_spot.ops.registry import InputShape, LayerOptions, register

# Truncated normal, variance 2 / fan average: the authors' initialisation of encoder, decoder and repair network.
INITIALIZER = {"class_name": "VarianceScaling",
               "config": {"scale": 2.0, "mode": "fan_avg", "distribution": "truncated_normal"}}  # fmt: skip


def glorot_uniform(fan_in: int, fan_out: int) -> keras.initializers.Initializer:
    """Make Glorot's uniform initializer for these fans, where Keras would count others from the kernel's shape."""
    limit = math.sqrt(6 / (fan_in + fan_out))
    return keras.initializers.RandomUniform(-limit, limit)


def upsample_mask(keep_mask: tf.Tensor) -> tf.Tensor:
    """Double a mask's height and width, nearest neighbour: (batch, h, w, 1) to (batch, 2h, 2w, 1)."""
    return tf.repeat(tf.repeat(keep_mask, 2, axis=1), 2, axis=2)


@register
class BatchNorm(keras.layers.BatchNormalization):
    """Batch normalisation over all replicas, whose moving statistics can be left alone.

    The repair network is trained through the discriminator in training mode; that second pass must not move the
    discriminator's statistics.

    Moments and statistics are float32 whatever the precision of the inputs.

    Call arguments:
        inputs: (batch, channels), (batch, tokens, channels) or (batch, height, width, channels).
        training: normalise with the batch's own moments, else with the moving ones.
        update_statistics: in training, also move the moving statistics.
    """

    def call(self, inputs: tf.Tensor, training: bool = False, update_statistics: bool = True) -> tf.Tensor:
        if not training:
            return tf.cast(tf.cast(inputs, tf.float32) * self.scale_factor() + self.shift(), self.compute_dtype)
        outputs, mean, variance = self._fused(inputs) if num_replicas() == 1 else self._over_replicas(inputs)
        if update_statistics:
            for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving * self.momentum + tf.stop_gradient(batch) * (1 - self.momentum))
        return outputs

    def _over_replicas(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        inputs, axes, replicas = tf.cast(inputs, tf.float32), list(range(len(inputs.shape) - 1)), num_replicas()
        mean = global_sum(tf.reduce_mean(inputs, axes)) / replicas
        variance = global_sum(tf.reduce_mean(tf.square(inputs - mean), axes)) / replicas
        gamma = self.gamma if self.scale else None
        # The two-pass variance: the square's mean less the mean's square would cancel in float32.
        outputs = tf.nn.batch_normalization(inputs, mean, variance, self.beta, gamma, self.epsilon)
        return tf.cast(outputs, self.compute_dtype), mean, variance

    def _fused(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """One kernel instead of eight; it reports the unbiased variance, which is turned back into the biased one."""
        # The kernel takes maps only; tokens are as many cells.
        flat = inputs if len(inputs.shape) == 4 else tf.reshape(inputs, (-1, 1, 1, inputs.shape[-1]))
        beta = tf.convert_to_tensor(self.beta)
        gamma = tf.convert_to_tensor(self.gamma) if self.scale else tf.ones_like(beta)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            flat, gamma, beta, epsilon=self.epsilon, is_training=True
        )
        count = tf.cast(tf.size(flat) // tf.shape(flat)[-1], tf.float32)
        return tf.reshape(outputs, tf.shape(inputs)), mean, variance * (count - 1) / tf.maximum(count, 2)

    def scale_factor(self) -> tf.Tensor:
        """Factor on each channel at inference, (channels,)."""
        factor = tf.math.rsqrt(self.moving_variance + self.epsilon)
        return factor * self.gamma if self.scale else factor

    def shift(self) -> tf.Tensor:
        """Added to each channel at inference, (channels,)."""
        return self.beta - self.moving_mean * self.scale_factor()


@register
class ConvBlock(keras.layers.Layer):
    """Convolution without bias, batch norm, leaky ReLU.

    At inference the norm is folded into the kernel, so a frozen block costs one convolution.

    Call arguments:
        inputs: (batch, height, width, channels).
        training: normalise with the batch's moments.
        update_statistics: see `BatchNorm`.

    Returns:
        (batch, ceil(height / strides), ceil(width / strides), filters).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        strides: int = 1,
        *,
        negative_slope: float,
        norm_momentum: float,
        norm_epsilon: float,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.filters, self.kernel_size, self.strides = filters, kernel_size, strides
        self.negative_slope, self.norm_momentum, self.norm_epsilon = negative_slope, norm_momentum, norm_epsilon
        self.conv = Conv2D(
            filters,
            kernel_size,
            strides,
            padding="same",
            use_bias=False,
            kernel_initializer=INITIALIZER,
            dtype=self.dtype_policy,
            name="conv",
        )
        self.norm = BatchNorm(momentum=norm_momentum, epsilon=norm_epsilon, dtype=self.dtype_policy, name="norm")

    def build(self, input_shape: InputShape) -> None:
        self.conv.build(input_shape)
        self.norm.build((*input_shape[:-1], self.filters))

    def call(self, inputs: tf.Tensor, training: bool = False, update_statistics: bool = True) -> tf.Tensor:
        inputs = tf.nest.map_structure(lambda x: tf.cast(x, self.compute_dtype), inputs)
        if training:
            outputs = self.convolve(inputs, tf.cast(self.conv.kernel, self.compute_dtype), training)
            outputs = self.norm(outputs, training=True, update_statistics=update_statistics)
        else:
            # The norm's factor goes into the kernel, its shift becomes a bias: both are constants at inference.
            kernel = tf.cast(self.conv.kernel, tf.float32) * self.norm.scale_factor()
            kernel, shift = (tf.cast(x, self.compute_dtype) for x in (kernel, self.norm.shift()))
            outputs = self.convolve(inputs, kernel, training) + shift
        return tf.nn.leaky_relu(outputs, self.negative_slope)

    def convolve(self, inputs: tf.Tensor, kernel: tf.Tensor, training: bool) -> tf.Tensor:
        """Convolve (batch, height, width, channels) with a kernel (size, size, channels, filters)."""
        form = convolve if training else tf.nn.conv2d
        return form(inputs, kernel, self.strides, "SAME")

    def get_config(self) -> dict[str, Any]:
        names = ("filters", "kernel_size", "strides", "negative_slope", "norm_momentum", "norm_epsilon")
        return super().get_config() | {name: getattr(self, name) for name in names}


@register
class UpConv(ConvBlock):
    """Bilinear upsampling by 2 (half-pixel centres), then a `ConvBlock`: one layer of the decoder."""

    def convolve(self, inputs: tf.Tensor, kernel: tf.Tensor, training: bool) -> tf.Tensor:
        """Upsample (batch, height, width, channels) by 2 and convolve: (batch, 2 height, 2 width, filters)."""
        return convolve_upsampled(inputs, kernel)


@register
class MaskedConv(ConvBlock):
    """A `ConvBlock` of (inputs, keep_mask), the mask as one more input channel: the first layer of a repair block."""

    def convolve(self, inputs: tuple[tf.Tensor, tf.Tensor], kernel: tf.Tensor, training: bool) -> tf.Tensor:
        """Convolve (batch, height, width, channels) and a mask with a kernel (size, size, channels + 1, filters)."""
        return convolve_with_mask(*inputs, kernel, training)


@register
class RepairBlock(keras.layers.Layer):
    """Adds a residual to the dropped cells only.

    The keep mask is used twice: as an extra input channel and as the gate of the output.

    Args:
        gated: let the residual land in dropped cells only; False is ablation (i) of the paper.
        zero_residual: start with a residual of zero, so that an untrained block passes its inputs on.

    Call arguments:
        inputs: (batch, height, width, channels).
        keep_mask: (batch, height, width, 1), 1 = kept.
        training: normalise with the batch's moments.
        update_statistics: see `BatchNorm`.

    Returns:
        Like `inputs`; where `keep_mask` is 1 (and `gated`) equal to it.

    Source: paper, figure of the repair block; layer sizes from the authors' code.
    """

    def __init__(
        self,
        gated: bool = True,
        zero_residual: bool = False,
        *,
        negative_slope: float,
        norm_momentum: float,
        norm_epsilon: float,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.gated, self.zero_residual = gated, zero_residual
        self.negative_slope, self.norm_momentum, self.norm_epsilon = negative_slope, norm_momentum, norm_epsilon

    def build(self, input_shape: InputShape) -> None:
        *batch_and_size, channels = input_shape
        self.first = MaskedConv(
            channels,
            3,
            negative_slope=self.negative_slope,
            norm_momentum=self.norm_momentum,
            norm_epsilon=self.norm_epsilon,
            dtype=self.dtype_policy,
            name="first",
        )
        start = "zeros" if self.zero_residual else INITIALIZER
        self.second = Conv2D(
            channels, 3, padding="same", kernel_initializer=start, dtype=self.dtype_policy, name="second"
        )
        self.first.build((*batch_and_size, channels + 1))
        self.second.build(tuple(input_shape))

    def call(
        self, inputs: tf.Tensor, keep_mask: tf.Tensor, training: bool = False, update_statistics: bool = True
    ) -> tf.Tensor:
        inputs, keep_mask = (tf.cast(x, self.compute_dtype) for x in (inputs, keep_mask))
        first = self.first((inputs, keep_mask), training=training, update_statistics=update_statistics)
        residual = self.second(first, training=training)  # (batch, height, width, channels)
        # The gate broadcasts over channels: kept cells pass as they are.
        return inputs + (1 - keep_mask) * residual if self.gated else inputs + residual

    def get_config(self) -> dict[str, Any]:
        names = ("gated", "zero_residual", "negative_slope", "norm_momentum", "norm_epsilon")
        return super().get_config() | {name: getattr(self, name) for name in names}


def max_pool(inputs: tf.Tensor, training: bool) -> tf.Tensor:
    """Take the largest of 3x3 cells at every second one, `SAME` padding.

    Args:
        inputs: (batch, height, width, channels).
        training: gradients will be asked for.

    Returns:
        (batch, ceil(height / 2), ceil(width / 2), channels).
    """
    if training and form().shifted_maps and None not in inputs.shape[1:3]:
        return shifted_maps.max_pool(inputs)
    return tf.nn.max_pool2d(inputs, 3, 2, "SAME")


@register
class LocalResponseNorm(keras.layers.Layer):
    """AlexNet's normalisation over neighbouring channels: x / (bias + alpha * sum of squares)^beta.

    TensorFlow does not divide alpha by the window, so alpha 2e-5 here is 1e-4 with local size 5 in Caffe.
    """

    def __init__(
        self, depth_radius: int, alpha: float, beta: float, bias: float, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        self.depth_radius, self.alpha, self.beta, self.bias = depth_radius, alpha, beta, bias

    def build(self, input_shape: InputShape) -> None:
        pass

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        form_of_it = shifted_maps.response_norm if form().shifted_maps else tf.nn.local_response_normalization
        return form_of_it(inputs, self.depth_radius, self.bias, self.alpha, self.beta)

    def get_config(self) -> dict[str, Any]:
        names = ("depth_radius", "alpha", "beta", "bias")
        return super().get_config() | {name: getattr(self, name) for name in names}


@register
class ExampleDropout(keras.layers.Layer):
    """Dropout whose draw is a function of (seed, step, index in the global batch).

    Call arguments:
        inputs: (batch, units); the batch holds `halves` equal parts, one after the other.
        step: scalar integer, or None for inference (nothing is dropped).
        halves: parts that were concatenated into the batch.
    """

    def __init__(self, rate: float, seed: int = 0, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.rate, self.seed = rate, seed

    def build(self, input_shape: InputShape) -> None:
        pass

    def call(self, inputs: tf.Tensor, step: tf.Tensor | int | None = None, halves: int = 1) -> tf.Tensor:
        if step is None or self.rate == 0:
            return inputs
        rows, units = inputs.shape
        uniform = example_uniform(self.seed, 3, step, (rows or tf.shape(inputs)[0]) // halves, (halves, units))
        uniform = tf.concat(tf.unstack(uniform, axis=1), axis=0)  # (batch, units), part after part
        return tf.where(uniform >= self.rate, inputs / (1 - self.rate), 0.0)  # scaled, so that the mean stays

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"rate": self.rate, "seed": self.seed}
