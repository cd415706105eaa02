"""Damage to an encoding: random cells are dropped and filled."""

from __future__ import annotations

from typing import Any, Unpack

import keras
import tensorflow as tf

from tf_spot.config import check_field
from tf_spot.distributed.replicas import example_uniform
from tf_spot.ops.registry import InputShape, LayerOptions, register


@register
class Damage(keras.layers.Layer):
    """Drops random cells of an encoding, all channels of a cell together.

    Args:
        drop_rate: probability that a cell is dropped, 0 <= rate < 1.
        fill: what a dropped cell becomes. `avg3`: the 3x3 average of the undamaged encoding around it, borders
            averaging real cells only; `global`: the average over the whole map; `zero`; `noise`: normal numbers with
            the mean and deviation of each channel over the map.
        seed: of the random draws.

    Call arguments:
        encoding: (batch, h, w, channels).
        step: scalar integer; the same step gives the same mask.

    Returns:
        damaged (like `encoding`) and keep_mask (batch, h, w, 1), 1 = kept.

    Source: paper, section 3; filler from the authors' code.
    """

    def __init__(self, drop_rate: float, fill: str = "avg3", seed: int = 0, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        check_field("game.drop_rate", drop_rate)
        check_field("game.fill", fill)
        self.drop_rate, self.fill, self.seed = drop_rate, fill, seed

    def build(self, input_shape: InputShape) -> None:
        pass

    def call(self, encoding: tf.Tensor, step: tf.Tensor | int) -> tuple[tf.Tensor, tf.Tensor]:
        keep_mask = self.draw(encoding, step)
        return self.apply_mask(encoding, keep_mask, step), keep_mask

    def draw(self, encoding: tf.Tensor, step: tf.Tensor | int) -> tf.Tensor:
        """Draw the keep mask of this step for an encoding (batch, h, w, channels): (batch, h, w, 1), 1 = kept."""
        rows, height, width, _ = encoding.shape
        uniform = example_uniform(self.seed, 1, step, rows or tf.shape(encoding)[0], (height, width, 1))
        return tf.cast(uniform >= self.drop_rate, encoding.dtype)

    def apply_mask(self, encoding: tf.Tensor, keep_mask: tf.Tensor, step: tf.Tensor | int) -> tf.Tensor:
        """Return `encoding` with the filler where `keep_mask` (batch, h, w, 1) is 0; like `encoding`."""
        # One mask value per cell: all channels of a cell are dropped together.
        return keep_mask * encoding + (1 - keep_mask) * self._filler(encoding, step)

    def _filler(self, encoding: tf.Tensor, step: tf.Tensor | int) -> tf.Tensor:
        if self.fill == "avg3":
            # Of the undamaged encoding: a dropped cell keeps a ninth of itself, and its neighbours' true values.
            return tf.nn.avg_pool2d(encoding, 3, 1, "SAME")
        if self.fill == "zero":
            return tf.zeros_like(encoding)
        mean, variance = tf.nn.moments(encoding, axes=(1, 2), keepdims=True)
        if self.fill == "global":
            return mean * tf.ones_like(encoding)
        rows, *shape = encoding.shape
        uniform = example_uniform(self.seed, 2, step, rows or tf.shape(encoding)[0], shape)
        # By the inverse of the normal distribution, as the draw must be a function of (seed, step, index).
        normal = tf.math.ndtri(tf.clip_by_value(uniform, 1e-6, 1 - 1e-6))
        return mean + tf.sqrt(variance) * normal

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"drop_rate": self.drop_rate, "fill": self.fill, "seed": self.seed}
