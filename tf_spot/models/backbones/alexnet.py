"""AlexNet, as the authors' discriminator has it."""

from __future__ import annotations

from typing import Any, Unpack

import keras
import tensorflow as tf

from tf_spot.config import (
    IMAGE_MEAN,
    LAYERS,
    RESPONSE_NORM,
    TRUNK_BIAS,
    TRUNK_CHANNELS,
    TRUNK_GROUPS,
    TRUNK_KERNELS,
    check_field,
)
from tf_spot.models.backbones.base import Backbone, scaled
from tf_spot.models.layers import BatchNorm, LocalResponseNorm, glorot_uniform, max_pool
from tf_spot.ops.convolutions import Conv2D
from tf_spot.ops.registry import InputShape, ModelOptions


@keras.saving.register_keras_serializable("tf_spot", name="Backbone")  # its name in saved files
class AlexNet(Backbone):
    """The paper's backbone.

    AlexNet in the order convolution, ReLU, pooling, response norm, with SAME padding and without the last pooling.

    Args:
        trunk_norm: `response`: local response norm after the pooled conv1 and conv2, batch norm in conv5 alone (paper);
            `batch`: batch norm in every convolution, no response norm.
        num_maps: conv1 alone to all five, see `Backbone.cut`.

    Call arguments, Returns:
        see `Backbone`; every map is after the layer's ReLU, before any pooling.

    Source: authors' code.
    """

    def __init__(
        self,
        width: float,
        stem_kernel: int,
        stem_stride: int,
        trunk_norm: str,
        norm_momentum: float,
        norm_epsilon: float,
        num_maps: int = len(LAYERS),
        name: str = "backbone",
        **kwargs: Unpack[ModelOptions],
    ) -> None:
        settings: dict[str, Any] = {"num_maps": num_maps}
        settings |= {"width": width, "stem_kernel": stem_kernel, "stem_stride": stem_stride, "trunk_norm": trunk_norm}
        norm: dict[str, Any] = {"norm_momentum": norm_momentum, "norm_epsilon": norm_epsilon}
        super().__init__(settings | norm, name, **kwargs)
        check_field("network.trunk_norm", trunk_norm)
        normed = (trunk_norm == "batch",) * 4 + (True,)
        batch_norm: dict[str, Any] = {"momentum": norm_momentum, "epsilon": norm_epsilon}
        self.convs, self.norms, inputs = [], [], 3
        shapes = list(zip(TRUNK_CHANNELS, TRUNK_KERNELS, TRUNK_GROUPS, strict=True))
        for i, (channels, kernel, groups) in enumerate(shapes[:num_maps]):
            filters, size = scaled(channels, width), kernel or stem_kernel
            # Every group is a convolution of its own to the authors; Keras counts the filters of all groups.
            fans = size**2 * inputs // groups, size**2 * filters // groups
            inputs = filters
            self.convs.append(
                Conv2D(
                    filters,
                    size,
                    strides=stem_stride if i == 0 else 1,
                    groups=groups,
                    padding="same",
                    use_bias=not normed[i],
                    kernel_initializer=glorot_uniform(*fans),
                    bias_initializer=keras.initializers.Constant(TRUNK_BIAS),
                    dtype=self.dtype_policy,
                    name=f"conv{i + 1}",
                )
            )
            norm_layer = BatchNorm(**batch_norm, scale=False, dtype=self.dtype_policy, name=f"norm{i + 1}")
            self.norms.append(norm_layer if normed[i] else None)
        self.response_norm = LocalResponseNorm(**RESPONSE_NORM, dtype="float32") if trunk_norm == "response" else None
        self.build((None, None, None, 3))

    def build(self, input_shape: InputShape) -> None:
        channels = 3
        for conv, norm in zip(self.convs, self.norms, strict=True):
            if not conv.built:
                conv.build((None, None, None, channels))
            channels = conv.filters
            if norm is not None and not norm.built:
                norm.build((None, None, None, channels))

    def of_pixels(
        self, pixels: tf.Tensor, training: bool = False, update_statistics: bool = True
    ) -> dict[str, tf.Tensor]:
        """Return the maps of images (batch, height, width, 3) in [0, 255]; see `Backbone`."""
        return self.of_parts([pixels], training, update_statistics)

    def of_parts(
        self, parts: list[tf.Tensor], training: bool = False, update_statistics: bool = True
    ) -> dict[str, tf.Tensor]:
        """Return the maps of parts of a batch, each (part, height, width, 3) in [0, 255]; see `Backbone`."""
        mean = tf.constant(IMAGE_MEAN)
        xs = [tf.cast(part, tf.float32) - mean for part in parts]  # in float32: bfloat16 has 1 in 256 for 200
        maps = {}
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True), start=1):
            xs = [conv(x, training=training, relu=norm is None) for x in xs]
            if norm is not None:  # it mixes images
                xs = [tf.nn.relu(norm(_joined(xs), training=training, update_statistics=update_statistics))]
            maps[f"conv{i}"] = tf.cast(_joined(xs), tf.float32)
            if i <= 2:
                xs = [max_pool(x, training) for x in xs]
                if self.response_norm is not None:
                    xs = [self.response_norm(x) for x in xs]
        return maps

    @property
    def stages(self) -> list[list[Any]]:
        pairs = zip(self.convs, self.norms, strict=True)
        return [[layer for layer in pair if layer is not None] for pair in pairs]

    @property
    def first_conv(self) -> Any:
        return self.convs[0]

    @property
    def channels(self) -> int:
        return int(self.convs[-1].filters)

    def grid_size(self, pixels: int) -> int:
        return -(-pixels // (4 * self.convs[0].strides[0]))


def _joined(parts: list[tf.Tensor]) -> Any:
    return tf.concat(parts, axis=0) if len(parts) > 1 else parts[0]
