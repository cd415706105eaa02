"""The networks of the frozen path and its repair: encoder, decoder, repair network.

With L levels an image of size s has an encoding of s / 2^L cells a side. AlexNet, the paper's backbone inside the
discriminator, has the stride 4 * stem_stride, so L = 2 + log2(stem_stride) makes its conv5 grid equal the grid of the
encoding. The other backbones have the stride 16, for L = 4.

Whatever the precision inside, what the networks take and give is float32: images, encodings, the backbone's maps, the
logits of both heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Unpack

import keras
import tensorflow as tf

from tf_spot.config import ENCODER_CHANNELS, PAPER, channels_of_encoding
from tf_spot.models.backbones.base import Configured, scaled
from tf_spot.models.layers import INITIALIZER, ConvBlock, RepairBlock, UpConv, upsample_mask
from tf_spot.ops.registry import InputShape, ModelOptions, register
from tf_spot.ops.rematerialization import recomputed


def encoder_channels(levels: int, width: float, encoding_channels: int | None = None) -> list[int]:
    """Return the channels of E0 ... E_levels.

    Args:
        levels, width: see `Autoencoder`.
        encoding_channels: of the last one; by default those that give an encoding the paper's ratio to its image.
    """
    last = encoding_channels or channels_of_encoding(levels, PAPER.network.encoding_ratio)
    return [*(scaled(ENCODER_CHANNELS * 2**level, width) for level in range(levels)), last]


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
        encoding_channels: int | None = None,
        name: str = "encoder",
        **kwargs: Unpack[ModelOptions],
    ) -> None:
        norm: dict[str, Any] = {
            "negative_slope": negative_slope,
            "norm_momentum": norm_momentum,
            "norm_epsilon": norm_epsilon,
        }
        shape = {"levels": levels, "width": width, "encoding_channels": encoding_channels}
        super().__init__(shape | {"kernel_size": kernel_size} | norm, name, **kwargs)
        norm["dtype"] = self.dtype_policy
        first, *others = encoder_channels(levels, width, encoding_channels)
        self.stages = [ConvBlock(first, 3, name="e0", **norm)]
        self.stages += [ConvBlock(c, kernel_size, 2, name=f"e{i}", **norm) for i, c in enumerate(others, start=1)]
        self.build((None, None, None, 3))

    def build(self, input_shape: InputShape) -> None:
        channels = 3
        for stage in self.stages:
            if not stage.built:
                stage.build((None, None, None, channels))
            channels = stage.filters

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        x = images
        for stage in self.stages:
            x = stage(x, training=training)  # halves height and width, E0 apart
        return tf.cast(x, tf.float32)  # (batch, s / 2^levels, s / 2^levels, channels)


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
        encoding_channels: int | None = None,
        name: str = "decoder",
        **kwargs: Unpack[ModelOptions],
    ) -> None:
        norm: dict[str, Any] = {
            "negative_slope": negative_slope,
            "norm_momentum": norm_momentum,
            "norm_epsilon": norm_epsilon,
        }
        shape = {"levels": levels, "width": width, "encoding_channels": encoding_channels}
        super().__init__(shape | norm, name, **kwargs)
        norm["dtype"] = self.dtype_policy
        self.recompute = False
        # Channels entering each stage, the deepest first.
        self.channels = encoder_channels(levels, width, encoding_channels)[::-1]
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

    def build(self, input_shape: InputShape) -> None:
        for stage, channels in zip(self.stages, self.channels, strict=True):
            if not stage.built:
                stage.build((None, None, None, channels))

    def call(self, encoding: tf.Tensor, training: bool = False, update_statistics: bool = True) -> tf.Tensor:
        x = encoding
        for layer in self.stages[:-1]:
            stage = partial(layer, training=training)
            if self.recompute and training:
                stage = partial(recomputed, stage)
            x = stage(x, update_statistics=update_statistics)  # doubles height and width
        return self.stages[-1](x)  # (batch, s, s, 3), tanh


@register
class RepairNetwork(Configured):
    """Repair blocks R1 ... R_{levels+1}.

    Args:
        channels: what enters each layer of the decoder.
        gated, zero_residual: see `RepairBlock`.
        placement: `distributed`: one block before each layer of the decoder (paper); `local`: as many in a row before
            the first (ablation (b)); `none`: no blocks, the damage is only decoded (ablation (k)).

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
        placement: str = "distributed",
        zero_residual: bool = False,
        name: str = "repair",
        **kwargs: Unpack[ModelOptions],
    ) -> None:
        if placement not in ("distributed", "local", "none"):
            raise ValueError(f"placement must be distributed, local or none. Received: placement={placement!r}")
        norm: dict[str, Any] = {
            "negative_slope": negative_slope,
            "norm_momentum": norm_momentum,
            "norm_epsilon": norm_epsilon,
        }
        block: dict[str, Any] = {"gated": gated, "zero_residual": zero_residual}
        super().__init__({"channels": list(channels), "placement": placement} | block | norm, name, **kwargs)
        self.recompute = False
        self.channels = list(channels)
        count = 0 if placement == "none" else len(self.channels)
        norm["dtype"] = self.dtype_policy
        self.blocks = [RepairBlock(**block, name=f"r{i}", **norm) for i in range(1, count + 1)]
        self.stage_of_block = [0] * count if placement == "local" else list(range(count))
        self.build((None, None, None, self.channels[0]))

    def build(self, input_shape: InputShape) -> None:
        for block, stage in zip(self.blocks, self.stage_of_block, strict=True):
            if not block.built:
                block.build((None, None, None, self.channels[stage]))

    def call(
        self,
        damaged: tf.Tensor,
        keep_mask: tf.Tensor,
        decoder: Decoder,
        training: bool = False,
        update_statistics: bool = True,
    ) -> tf.Tensor:
        x, mask = damaged, keep_mask
        for number, layer in enumerate(decoder.stages):
            mask = upsample_mask(mask) if number else mask  # U(Ω): doubles with every layer of the decoder
            stage = partial(self._stage, number, layer, training)
            if self.recompute and training:
                stage = partial(recomputed, stage)
            x = stage(x, mask, update_statistics=update_statistics)
        return x

    def _stage(
        self,
        number: int,
        layer: keras.layers.Layer,
        training: bool,
        x: tf.Tensor,
        mask: tf.Tensor,
        update_statistics: bool,
    ) -> Any:
        """The blocks in front of a layer of the decoder, and the layer."""
        for block, stage in zip(self.blocks, self.stage_of_block, strict=True):
            if stage == number:
                x = block(x, mask, training=training, update_statistics=update_statistics)
        # Said outright: Keras would hand a layer without `training` the value of the call around it.
        return layer(x, training=False) if isinstance(layer, UpConv) else layer(x)
