"""Rival: what was in the middle?"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_spot.baselines.pretext import Pretext, built
from tf_spot.models.layers import UpConv
from tf_spot.ops.registry import register

SLOPE = 0.2  # of the decoder's leaky ReLUs
BORDER_WEIGHT = 10.0  # of the hole's border, which is shown, against its inside


@register
class Inpainting(Pretext):
    """Fills in the middle quarter of an image from what is around it: a context encoder.

    The hole holds mid grey, 0 in [-1, 1]. As with the authors, the border of the hole, a sixteenth of its side, stays
    visible, and predicting it weighs ten times as much, so that the filling joins on.

    Source: Pathak et al., "Context encoders: feature learning by inpainting", CVPR 2016.
    Deviation: squared error alone; the adversarial loss is left out, as in the authors' own features for transfer. A
    dense layer of `units` in place of the channel-wise one. The hole is always in the middle, where the authors' best
    features came from regions of random shape.
    """

    figure_names = ("pretext_loss",)

    def build_heads(self) -> None:
        features = self.grid_size(self.image_size) ** 2 * self.channels
        self.side = hole_size(self.image_size) // 4  # where the decoder starts; it doubles twice
        self.narrow = built(keras.layers.Dense(self.units, name="narrow"), features)
        self.spread = built(keras.layers.Dense(self.side**2 * self.channels, name="spread"), self.units)
        settings = self.backbone.get_config()
        norm = {name: settings[name] for name in ("norm_momentum", "norm_epsilon")}
        widths = [max(8, self.channels // 2**halved) for halved in range(3)]
        self.ups = [
            UpConv(width, 3, negative_slope=SLOPE, name=f"up{i}", **norm) for i, width in enumerate(widths[1:], 1)
        ]
        for up, width in zip(self.ups, widths, strict=False):
            built(up, None, None, width)
        self.last = built(keras.layers.Conv2D(3, 3, padding="same", name="last"), None, None, widths[-1])

    def figures(self, images: Any, labels: Any, step: Any, training: bool) -> dict[str, tf.Tensor]:
        filled = self.fill(with_hole(images), training)
        squares = tf.math.squared_difference(filled, middle(images))
        return {"pretext_loss": tf.reduce_mean(squares * border_weights(self.image_size))}

    def fill(self, images: Any, training: bool) -> tf.Tensor:
        """The middle of images with a hole, (batch, hole, hole, 3) in [-1, 1]."""
        conv5 = self.backbone(images, training=training)["conv5"]
        x = tf.nn.leaky_relu(self.narrow(tf.reshape(conv5, (-1, self.narrow.kernel.shape[0]))), SLOPE)
        x = tf.reshape(tf.nn.leaky_relu(self.spread(x), SLOPE), (-1, self.side, self.side, self.channels))
        for up in self.ups:
            x = up(x, training=training)
        return tf.tanh(self.last(x))


def hole_size(image_size: int) -> int:
    """Pixels, both sides: half the image, and a multiple of 4."""
    return image_size // 8 * 4


def border_size(image_size: int) -> int:
    """Pixels of the hole that stay visible on each side."""
    return max(1, hole_size(image_size) // 16)


def middle(images: Any) -> tf.Tensor:
    """What is to be filled in: (batch, hole, hole, 3)."""
    size = images.shape[1]
    first, hole = (size - hole_size(size)) // 2, hole_size(size)
    return images[:, first : first + hole, first : first + hole]


def with_hole(images: Any) -> tf.Tensor:
    """Images whose middle, but for its border, is 0."""
    size = images.shape[1]
    first = (size - hole_size(size)) // 2 + border_size(size)
    last = first + hole_size(size) - 2 * border_size(size)
    shown = np.ones((1, size, size, 1), np.float32)
    shown[:, first:last, first:last] = 0
    return images * shown


def border_weights(image_size: int) -> np.ndarray:
    """Weights of the hole's pixels with mean 1: float32 (1, hole, hole, 1)."""
    hole, border = hole_size(image_size), border_size(image_size)
    weights = np.full((1, hole, hole, 1), BORDER_WEIGHT, np.float32)
    weights[:, border:-border, border:-border] = 1
    return weights / weights.mean()
