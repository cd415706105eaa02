"""The four networks: encoder, decoder, repair network, discriminator.

With L levels an image of size s has an encoding of s / 2^L cells a side. AlexNet, the paper's backbone inside the
discriminator, has the stride 4 * stem_stride, so L = 2 + log2(stem_stride) makes its conv5 grid equal the grid of the
encoding. The other backbones have the stride 16, for L = 4.

Whatever the precision inside, what the networks take and give is float32: images, encodings, the backbone's maps, the
logits of both heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from tf_spot.config import ENCODER_CHANNELS, PAPER, TRUNK_BIAS
from tf_spot.models.backbones import build_backbone
from tf_spot.models.backbones.base import Configured, scaled
from tf_spot.models.layers import INITIALIZER, BatchNorm, ConvBlock, ExampleDropout, RepairBlock, UpConv, upsample_mask
from tf_spot.ops.registry import register
from tf_spot.ops.rematerialization import recomputed


def encoder_channels(levels: int, width: float) -> list[int]:
    """Channels of E0 ... E_levels."""
    return [scaled(ENCODER_CHANNELS * 2**level, width) for level in range(levels + 1)]


@register
class Encoder(Configured):
    """Images (batch, s, s, 3) in [-1, 1] to an encoding (batch, s / 2^levels, s / 2^levels, channels).

    The 2x2 kernels keep neighbouring cells almost separate: each sees 18 pixels at stride 16 with four levels.

    Source: authors' code; kernel sizes also in the paper.
    """

    def __init__(
        self,
        levels: int,
        width: float,
        kernel_size: int,
        negative_slope: float,
        norm_momentum: float,
        norm_epsilon: float,
        name: str = "encoder",
        **kwargs: Any,
    ) -> None:
        norm: dict[str, Any] = {
            "negative_slope": negative_slope,
            "norm_momentum": norm_momentum,
            "norm_epsilon": norm_epsilon,
        }
        super().__init__({"levels": levels, "width": width, "kernel_size": kernel_size} | norm, name, **kwargs)
        norm["dtype"] = self.dtype_policy
        first, *others = encoder_channels(levels, width)
        self.stages = [ConvBlock(first, 3, name="e0", **norm)]
        self.stages += [ConvBlock(c, kernel_size, 2, name=f"e{i}", **norm) for i, c in enumerate(others, start=1)]
        self.build((None, None, None, 3))

    def build(self, input_shape: Any) -> None:
        channels = 3
        for stage in self.stages:
            if not stage.built:
                stage.build((None, None, None, channels))
            channels = stage.filters

    def call(self, images: Any, training: bool = False) -> tf.Tensor:
        x = images
        for stage in self.stages:
            x = stage(x, training=training)
        return tf.cast(x, tf.float32)


@register
class Decoder(Configured):
    """An encoding back to images (batch, s, s, 3) in [-1, 1].

    A repair network is woven between its `stages`.

    Attributes:
        recompute: in training, keep only what enters each stage and compute the rest again for the gradient.

    Source: authors' code.
    """

    def __init__(
        self,
        levels: int,
        width: float,
        negative_slope: float,
        norm_momentum: float,
        norm_epsilon: float,
        name: str = "decoder",
        **kwargs: Any,
    ) -> None:
        norm: dict[str, Any] = {
            "negative_slope": negative_slope,
            "norm_momentum": norm_momentum,
            "norm_epsilon": norm_epsilon,
        }
        super().__init__({"levels": levels, "width": width} | norm, name, **kwargs)
        norm["dtype"] = self.dtype_policy
        self.recompute = False
        self.channels = encoder_channels(levels, width)[::-1]  # channels entering each stage
        self.stages: list[Any] = [UpConv(c, 3, name=f"d{i}", **norm) for i, c in enumerate(self.channels[1:], start=1)]
        self.stages.append(
            keras.layers.Conv2D(
                3,
                3,
                padding="same",
                activation="tanh",
                kernel_initializer=INITIALIZER,
                dtype="float32",  # bfloat16 has 8 bits: images would be coarser than photos are
                name=f"d{levels + 1}",
            )
        )
        self.build((None, None, None, self.channels[0]))

    def build(self, input_shape: Any) -> None:
        for stage, channels in zip(self.stages, self.channels, strict=True):
            if not stage.built:
                stage.build((None, None, None, channels))

    def call(self, encoding: Any, training: bool = False, update_statistics: bool = True) -> tf.Tensor:
        x = encoding
        for layer in self.stages[:-1]:
            stage = partial(layer, training=training)
            if self.recompute and training:
                stage = partial(recomputed, stage)
            x = stage(x, update_statistics=update_statistics)
        return self.stages[-1](x)


@register
class RepairNetwork(Configured):
    """Repair blocks R1 ... R_{levels+1}.

    Args:
        channels: what enters each layer of the decoder.
        gated: see `RepairBlock`.
        place: `distributed`: one block before each layer of the decoder (paper); `local`: as many in a row before the
            first (ablation (b)); `none`: no blocks, the damage is only decoded (ablation (k)).

    Call arguments:
        damaged: the damaged encoding, (batch, h, w, channels).
        keep_mask: (batch, h, w, 1), 1 = kept.
        decoder: the frozen decoder, used at inference.
        training: the blocks normalise with the batch's moments.
        update_statistics: see `BatchNorm`.

    Returns:
        repaired images, (batch, height, width, 3) in [-1, 1].

    Attributes:
        recompute: in training, keep only what enters each layer of the decoder and compute the rest again for the
            gradient.

    Source: paper, figures 2 and 5; authors' code.
    """

    def __init__(
        self,
        channels: Sequence[int],
        gated: bool,
        negative_slope: float,
        norm_momentum: float,
        norm_epsilon: float,
        place: str = "distributed",
        name: str = "repair",
        **kwargs: Any,
    ) -> None:
        if place not in ("distributed", "local", "none"):
            raise ValueError(f"place must be distributed, local or none. Received: place={place!r}")
        norm: dict[str, Any] = {
            "negative_slope": negative_slope,
            "norm_momentum": norm_momentum,
            "norm_epsilon": norm_epsilon,
        }
        super().__init__({"channels": list(channels), "gated": gated, "place": place} | norm, name, **kwargs)
        self.recompute = False
        self.channels = list(channels)
        count = 0 if place == "none" else len(self.channels)
        norm["dtype"] = self.dtype_policy
        self.blocks = [RepairBlock(gated, name=f"r{i}", **norm) for i in range(1, count + 1)]
        self.stage_of_block = [0] * count if place == "local" else list(range(count))
        self.build((None, None, None, self.channels[0]))

    def build(self, input_shape: Any) -> None:
        for block, stage in zip(self.blocks, self.stage_of_block, strict=True):
            if not block.built:
                block.build((None, None, None, self.channels[stage]))

    def call(
        self, damaged: Any, keep_mask: Any, decoder: Decoder, training: bool = False, update_statistics: bool = True
    ) -> tf.Tensor:
        x, mask = damaged, keep_mask
        for number, layer in enumerate(decoder.stages):
            mask = upsample_mask(mask) if number else mask
            stage = partial(self._stage, number, layer, training)
            if self.recompute and training:
                stage = partial(recomputed, stage)
            x = stage(x, mask, update_statistics=update_statistics)
        return x

    def _stage(self, number: int, layer: Any, training: bool, x: Any, mask: Any, update_statistics: bool) -> Any:
        """The blocks in front of a layer of the decoder, and the layer."""
        for block, place in zip(self.blocks, self.stage_of_block, strict=True):
            if place == number:
                x = block(x, mask, training=training, update_statistics=update_statistics)
        # Said outright: Keras would hand a layer without `training` the value of the call around it.
        return layer(x, training=False) if isinstance(layer, UpConv) else layer(x)


@register
class Generator(Configured):
    """Images from noise: a linear layer to the size of an encoding, then a decoder that is trained (ablation (l)).

    Args:
        grid_size: cells a side of the encoding.
        units: numbers of noise an image.

    Call arguments:
        noise: (batch, units).
        training: batch norm uses the batch's moments.

    Returns:
        images (batch, height, width, 3) in [-1, 1].

    Deviation: the paper does not describe its generator; this one has the decoder's layers.
    """

    def __init__(
        self,
        grid_size: int,
        units: int,
        levels: int,
        width: float,
        negative_slope: float,
        norm_momentum: float,
        norm_epsilon: float,
        name: str = "generator",
        **kwargs: Any,
    ) -> None:
        norm: dict[str, Any] = {
            "negative_slope": negative_slope,
            "norm_momentum": norm_momentum,
            "norm_epsilon": norm_epsilon,
        }
        settings = {"grid_size": grid_size, "units": units, "levels": levels, "width": width}
        super().__init__(settings | norm, name, **kwargs)
        norm["dtype"] = self.dtype_policy
        self.grid_size, self.units, self.negative_slope = grid_size, units, negative_slope
        self.decoder = Decoder(levels, width, **norm)
        self.dense = keras.layers.Dense(
            grid_size**2 * self.decoder.channels[0],
            use_bias=False,
            kernel_initializer=INITIALIZER,
            dtype=self.dtype_policy,
            name="dense",
        )
        self.norm = BatchNorm(momentum=norm_momentum, epsilon=norm_epsilon, dtype=self.dtype_policy, name="norm")
        self.build((None, units))

    def build(self, input_shape: Any) -> None:
        for layer, width in ((self.dense, self.units), (self.norm, self.dense.units)):
            if not layer.built:
                layer.build((None, width))

    @property
    def recompute(self) -> bool:
        """See `Decoder`."""
        return self.decoder.recompute

    @recompute.setter
    def recompute(self, value: bool) -> None:
        self.decoder.recompute = value

    def call(self, noise: Any, training: bool = False, update_statistics: bool = True) -> tf.Tensor:
        mode = {"training": training, "update_statistics": update_statistics}
        x = tf.nn.leaky_relu(self.norm(self.dense(noise), **mode), self.negative_slope)
        shape = (-1, self.grid_size, self.grid_size, self.decoder.channels[0])
        return self.decoder(tf.reshape(x, shape), **mode)


@register
class Discriminator(Configured):
    """The backbone with two heads: is the image repaired, and which cells were dropped.

    Args:
        image_size: pixels; fixes fc_1.
        width: factor on the channel counts of the backbone.
        stem_kernel, stem_stride: of AlexNet's conv1, pixels; its conv5 has image_size / (4 * stem_stride) cells a side,
            that of the other backbones image_size / 16.
        trunk_norm: of AlexNet: `response` after conv1 and conv2 (paper), or `batch` after every convolution.
        norm_momentum, norm_epsilon: of batch norm.
        predict_mask: False leaves out the mask head (ablation (g)).
        fc_units: of fc_1.
        dropout_rate: after fc_1.
        backbone: the name of one, see `backbones.build_backbone`.

    Call arguments:
        images: (batch, image_size, image_size, 3) in [-1, 1], or parts, see `Backbone`.
        training, update_statistics: see `Backbone`.
        step: scalar integer; the dropout of that step. None: no dropout.
        halves: parts concatenated into the batch, each with a dropout of its own.

    Returns:
        conv1 ... conv5 as from `Backbone`, "realness_logits" (batch, 2) with class 1 = real and, with `predict_mask`,
        "mask_logits" (batch, h, w, 1), whose sigmoid is the probability that a cell was kept.

    Source: authors' code.
    """

    def __init__(
        self,
        image_size: int = PAPER.data.image_size,
        width: float = PAPER.network.width,
        stem_kernel: int = PAPER.network.stem_kernel,
        stem_stride: int = PAPER.network.stem_stride,
        trunk_norm: str = PAPER.network.trunk_norm,
        norm_momentum: float = PAPER.network.norm_momentum,
        norm_epsilon: float = PAPER.network.norm_epsilon,
        fc_units: int = PAPER.network.fc_units,
        dropout_rate: float = PAPER.network.dropout_rate,
        predict_mask: bool = True,
        seed: int = 0,
        backbone: str = PAPER.network.backbone,
        name: str = "discriminator",
        **kwargs: Any,
    ) -> None:
        trunk: dict[str, Any] = {
            "width": width,
            "stem_kernel": stem_kernel,
            "stem_stride": stem_stride,
            "trunk_norm": trunk_norm,
        }
        norm: dict[str, Any] = {"norm_momentum": norm_momentum, "norm_epsilon": norm_epsilon}
        heads = {"fc_units": fc_units, "dropout_rate": dropout_rate, "predict_mask": predict_mask, "seed": seed}
        settings = {"image_size": image_size, "backbone": backbone}
        super().__init__(settings | trunk | norm | heads, name, **kwargs)
        bias = keras.initializers.Constant(TRUNK_BIAS)
        self.image_size, self.fc_units = image_size, fc_units
        self.backbone = build_backbone(backbone, **trunk, **norm, dtype=self.dtype_policy)
        self.grid_size = self.backbone.grid_size(image_size)
        head: dict[str, Any] = {"bias_initializer": bias, "dtype": "float32"}
        self.mask_head = keras.layers.Conv2D(1, 3, padding="same", name="mask_head", **head) if predict_mask else None
        self.fc1 = keras.layers.Dense(fc_units, use_bias=False, dtype=self.dtype_policy, name="fc1")
        self.fc1_norm = BatchNorm(
            momentum=norm_momentum, epsilon=norm_epsilon, scale=False, dtype="float32", name="fc1_norm"
        )
        self.dropout = ExampleDropout(dropout_rate, seed=seed, dtype="float32", name="dropout")
        self.fc2 = keras.layers.Dense(2, name="fc2", **head)
        self.build((None, image_size, image_size, 3))

    def build(self, input_shape: Any) -> None:
        channels = self.backbone.channels
        shapes = {
            self.mask_head: (None, self.grid_size, self.grid_size, channels),
            self.fc1: (None, self.grid_size**2 * channels),
            self.fc1_norm: (None, self.fc_units),
            self.fc2: (None, self.fc_units),
        }
        for layer, shape in shapes.items():
            if layer is not None and not layer.built:
                layer.build(shape)

    def call(
        self, images: Any, training: bool = False, update_statistics: bool = True, step: Any = None, halves: int = 1
    ) -> dict[str, tf.Tensor]:
        maps = self.backbone(images, training=training, update_statistics=update_statistics)
        return self.answers(maps, training, update_statistics, step, halves)

    def answers(
        self,
        maps: dict[str, Any],
        training: bool = False,
        update_statistics: bool = True,
        step: Any = None,
        halves: int = 1,
    ) -> dict[str, tf.Tensor]:
        """What a call returns, from the backbone's maps."""
        mode = {"training": training, "update_statistics": update_statistics}
        conv5, answers = maps["conv5"], dict(maps)
        x = self.fc1(tf.reshape(conv5, (-1, self.fc1.kernel.shape[0])))
        x = self.dropout(tf.nn.relu(self.fc1_norm(x, **mode)), step=step, halves=halves)
        answers["realness_logits"] = self.fc2(x)
        if self.mask_head is not None:
            answers["mask_logits"] = self.mask_head(conv5)
        return answers
