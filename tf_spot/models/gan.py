"""Row (l) of the paper's Table 1: a GAN in place of damage and repair."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tf_spot.distributed.replicas import example_uniform
from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.networks import Generator
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.ops.registry import register

NOISE_UNITS = 100  # ours; the paper does not describe its GAN


@register
class GAN(ArtifactSpotter):
    """An `ArtifactSpotter` whose corrupt images come from a generator instead of a repair network.

    All else is the same: discriminator, updates, history, the autoencoded photos as real images. No cell is dropped, so
    the discriminator must have no mask head. Its own figures then speak of generated images wherever they say repaired.

    Args:
        autoencoder, **kwargs: see `ArtifactSpotter`.

    Raises:
        ValueError: the discriminator has a mask head.

    Source: paper, Table 1, row (l).
    """

    def __init__(self, autoencoder: Autoencoder, *args: Any, **kwargs: Any) -> None:
        super().__init__(autoencoder, *args, **kwargs)
        if self.discriminator.mask_head is not None:
            raise ValueError("a GAN drops no cells. Received: a discriminator with a mask head. Set predict_mask=False")

    def build_repair(self) -> Generator:
        ours = self.autoencoder
        return Generator(
            grid_size=ours.grid_size,
            units=NOISE_UNITS,
            levels=ours.levels,
            width=ours.width,
            negative_slope=ours.negative_slope,
            norm_momentum=ours.norm_momentum,
            norm_epsilon=ours.norm_epsilon,
            dtype=self.dtype_policy,
        )

    def hide_damage(
        self, damaged: Any, keep_mask: Any, step: Any, training: bool, update_statistics: bool = True
    ) -> tf.Tensor:
        """Generated images; the damage plays no part."""
        noise = example_uniform(self.damage.seed, 5, step, tf.shape(damaged)[0], (NOISE_UNITS,))
        return self.repair(2 * noise - 1, training=training, update_statistics=update_statistics)
