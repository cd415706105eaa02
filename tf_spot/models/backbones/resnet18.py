"""ResNet-18, as far as stride 16."""

from __future__ import annotations

from typing import Any, Unpack

import keras
import tensorflow as tf

from tf_spot.config import IMAGE_MEAN, LAYERS
from tf_spot.models.backbones.base import Backbone, scaled
from tf_spot.models.layers import BatchNorm, max_pool
from tf_spot.ops.registry import InputShape, LayerOptions, ModelOptions, register

# Of conv2_x ... conv5_x, each two blocks. Source: He et al., table 1; conv5_x has stride 2 there.
CHANNELS = (64, 128, 256, 512)
STRIDES = (1, 2, 2, 1)
STRIDE = 16
# Normal, variance 2 / fan out. Source: He et al., "Delving deep into rectifiers", ICCV 2015.
HE = {
    "class_name": "VarianceScaling",
    "config": {"scale": 2.0, "mode": "fan_out", "distribution": "untruncated_normal"},
}


def _conv(channels: int, kernel: int, strides: int, policy: keras.DTypePolicy, name: str) -> keras.layers.Conv2D:
    return keras.layers.Conv2D(
        channels, kernel, strides, padding="same", use_bias=False, kernel_initializer=HE, dtype=policy, name=name
    )


@register
class BasicBlock(keras.layers.Layer):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where the shape changes.

    Call arguments:
        inputs: (batch, height, width, channels).
        training, update_statistics: see `BatchNorm`.

    Returns:
        (batch, height / strides, width / strides, filters), after the ReLU.
    """

    def __init__(
        self, filters: int, strides: int, norm_momentum: float, norm_epsilon: float, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.filters, self.strides = filters, strides
        self.norm_momentum, self.norm_epsilon = norm_momentum, norm_epsilon

    def build(self, input_shape: InputShape) -> None:
        policy, channels = self.dtype_policy, input_shape[-1]
        kernels = [("first", 3, self.strides, channels), ("second", 3, 1, self.filters)]
        if (channels, 1) != (self.filters, self.strides):
            kernels.append(("shortcut", 1, self.strides, channels))
        self.convs, self.norms = [], []
        for name, kernel, strides, inputs in kernels:
            self.convs.append(_conv(self.filters, kernel, strides, policy, name))
            self.norms.append(
                BatchNorm(momentum=self.norm_momentum, epsilon=self.norm_epsilon, dtype=policy, name=f"{name}_norm")
            )
            self.convs[-1].build((None, None, None, inputs))
            self.norms[-1].build((None, None, None, self.filters))

    def call(self, inputs: tf.Tensor, training: bool = False, update_statistics: bool = True) -> tf.Tensor:
        mode = {"training": training, "update_statistics": update_statistics}
        x = tf.nn.relu(self.norms[0](self.convs[0](inputs), **mode))
        x = self.norms[1](self.convs[1](x), **mode)
        # Where the shape changes the shortcut is a 1x1 convolution, else the inputs themselves.
        shortcut = self.norms[2](self.convs[2](inputs), **mode) if len(self.convs) == 3 else inputs
        return tf.nn.relu(x + tf.cast(shortcut, x.dtype))  # (batch, height / strides, width / strides, filters)

    def get_config(self) -> dict[str, Any]:
        names = ("filters", "strides", "norm_momentum", "norm_epsilon")
        return super().get_config() | {name: getattr(self, name) for name in names}


@register
class ResNet18(Backbone):
    """ResNet-18: conv1, then conv2_x ... conv5_x of two basic blocks each.

    Args:
        width: factor on the channel counts.
        num_maps: conv1 alone to all five, see `Backbone.cut`.

    Call arguments, Returns:
        see `Backbone`; every map is after a ReLU, conv1 before the pooling.

    Source: He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016, table 1.
    Deviation: conv5_x keeps the stride of 16, which leaves conv5 the grid of the encoding.
    """

    def __init__(
        self,
        width: float,
        norm_momentum: float,
        norm_epsilon: float,
        num_maps: int = len(LAYERS),
        name: str = "backbone",
        **kwargs: Unpack[ModelOptions],
    ) -> None:
        norm: dict[str, Any] = {"norm_momentum": norm_momentum, "norm_epsilon": norm_epsilon}
        super().__init__({"width": width, "num_maps": num_maps} | norm, name, **kwargs)
        policy = self.dtype_policy
        self.stem = _conv(scaled(CHANNELS[0], width), 7, 2, policy, "conv1")
        self.stem_norm = BatchNorm(momentum=norm_momentum, epsilon=norm_epsilon, dtype=policy, name="norm1")
        self.blocks = []
        deeper = list(zip(CHANNELS, STRIDES, strict=True))[: num_maps - 1]
        for number, (channels, strides) in enumerate(deeper, start=2):
            for position, stride in enumerate((strides, 1), start=1):
                self.blocks.append(
                    BasicBlock(scaled(channels, width), stride, **norm, dtype=policy, name=f"conv{number}_{position}")
                )
        self.build((None, None, None, 3))

    def build(self, input_shape: InputShape) -> None:
        channels = 3
        for layer in (self.stem, self.stem_norm, *self.blocks):
            if not layer.built:
                layer.build((None, None, None, channels))
                layer.built = True
            channels = getattr(layer, "filters", channels)

    def of_pixels(
        self, pixels: tf.Tensor, training: bool = False, update_statistics: bool = True
    ) -> dict[str, tf.Tensor]:
        """Return the maps of images (batch, height, width, 3) in [0, 255]; see `Backbone`."""
        mode = {"training": training, "update_statistics": update_statistics}
        x = self.stem(tf.cast(pixels, tf.float32) - tf.constant(IMAGE_MEAN))  # less in float32, as in `AlexNet`
        x = tf.nn.relu(self.stem_norm(x, **mode))
        maps = {"conv1": x}
        x = max_pool(x, training)
        for number, block in enumerate(self.blocks):
            x = block(x, **mode)
            maps[f"conv{2 + number // 2}"] = x  # of a pair the second one stays
        return {name: tf.cast(value, tf.float32) for name, value in maps.items()}

    @property
    def stages(self) -> list[list[Any]]:
        return [[self.stem, self.stem_norm], *([*self.blocks[i : i + 2]] for i in range(0, len(self.blocks), 2))]

    @property
    def norms(self) -> list[Any]:
        """Every batch norm."""
        return [self.stem_norm, *(norm for block in self.blocks for norm in block.norms)]

    @property
    def first_conv(self) -> Any:
        return self.stem

    @property
    def channels(self) -> int:
        return int([self.stem, *self.blocks][-1].filters)

    def grid_size(self, pixels: int) -> int:
        return -(-pixels // STRIDE)
