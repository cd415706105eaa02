"""Row (l) of the paper's Table 1: a GAN in place of damage and repair."""

from __future__ import annotations

from typing import Any, Unpack

import keras
import tensorflow as tf

from tf_spot.distributed.replicas import example_uniform
from tf_spot.errors import UserError
from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.backbones.base import Configured
from tf_spot.models.layers import INITIALIZER, BatchNorm
from tf_spot.models.networks import Decoder
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.ops.registry import InputShape, ModelOptions, register

NOISE_UNITS = 100  # ours; the paper does not describe its GAN


@register
class GAN(ArtifactSpotter):
    """An `ArtifactSpotter` whose corrupt images come from a generator instead of a repair network.

    All else is the same: discriminator, updates, history. No cell is dropped, so the discriminator must have no mask
    head. Its own figures then speak of generated images wherever they say repaired. With `real_images="original"`, as
    in row (l) here, it is a GAN of photos, such as one would have trained in 2018.

    Args:
        autoencoder, **kwargs: see `ArtifactSpotter`.

    Raises:
        UserError: the discriminator has a mask head.

    Source: paper, Table 1, row (l).
    """

    def __init__(self, autoencoder: Autoencoder, *args: Any, **kwargs: Any) -> None:
        super().__init__(autoencoder, *args, **kwargs)
        if self.discriminator.mask_head is not None:
            raise UserError("a GAN drops no cells. Received: a discriminator with a mask head. Set predict_mask=False")

    def build_repair(self) -> Generator:
        ours = self.autoencoder
        return Generator(
            grid_size=ours.grid_size,
            units=NOISE_UNITS,
            levels=ours.levels,
            width=ours.width,
            encoding_channels=ours.encoding_channels,
            negative_slope=ours.negative_slope,
            norm_momentum=ours.norm_momentum,
            norm_epsilon=ours.norm_epsilon,
            dtype=self.dtype_policy,
        )

    def hide_damage(
        self,
        damaged: tf.Tensor,
        keep_mask: tf.Tensor,
        step: tf.Tensor | int,
        training: bool,
        update_statistics: bool = True,
    ) -> tf.Tensor:
        """Return generated images (batch, height, width, 3) in [-1, 1]; of the damage only the batch size matters."""
        noise = example_uniform(self.damage.seed, 5, step, tf.shape(damaged)[0], (NOISE_UNITS,))
        # Uniform in [-1, 1], drawn by (seed, step, index) like all else.
        return self.repair(2 * noise - 1, training=training, update_statistics=update_statistics)


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
        encoding_channels: int | None = None,
        name: str = "generator",
        **kwargs: Unpack[ModelOptions],
    ) -> None:
        norm: dict[str, Any] = {
            "negative_slope": negative_slope,
            "norm_momentum": norm_momentum,
            "norm_epsilon": norm_epsilon,
        }
        shape: dict[str, Any] = {"levels": levels, "width": width, "encoding_channels": encoding_channels}
        settings = {"grid_size": grid_size, "units": units} | shape
        super().__init__(settings | norm, name, **kwargs)
        norm["dtype"] = self.dtype_policy
        self.grid_size, self.units, self.negative_slope = grid_size, units, negative_slope
        self.decoder = Decoder(**shape, **norm)
        self.dense = keras.layers.Dense(
            grid_size**2 * self.decoder.channels[0],
            use_bias=False,
            kernel_initializer=INITIALIZER,
            dtype=self.dtype_policy,
            name="dense",
        )
        self.norm = BatchNorm(momentum=norm_momentum, epsilon=norm_epsilon, dtype=self.dtype_policy, name="norm")
        self.build((None, units))

    def build(self, input_shape: InputShape) -> None:
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

    def call(self, noise: tf.Tensor, training: bool = False, update_statistics: bool = True) -> tf.Tensor:
        mode = {"training": training, "update_statistics": update_statistics}
        x = tf.nn.leaky_relu(self.norm(self.dense(noise), **mode), self.negative_slope)
        shape = (-1, self.grid_size, self.grid_size, self.decoder.channels[0])
        return self.decoder(tf.reshape(x, shape), **mode)  # (batch, grid, grid, channels) to images
