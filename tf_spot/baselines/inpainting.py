"""Baseline: fill in the missing middle."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tf_spot.baselines.pretext import Pretext, built, norm_options
from tf_spot.models.layers import UpConv
from tf_spot.ops.registry import register

SLOPE = 0.2  # of the decoder's leaky ReLUs
BORDER_WEIGHT = 10.0  # of the hole's border, which is visible, against its inside


@register
class Inpainting(Pretext):
    """Fills in the middle quarter of an image from what is around it: a context encoder.

    The hole holds mid grey, 0 in [-1, 1]. As with the authors, the border of the hole, a sixteenth of its side, stays
    visible, and predicting it weighs ten times as much, so that the filling is continuous with the rest.

    Source: Pathak et al., "Context encoders: feature learning by inpainting", CVPR 2016.
    Deviation: squared error alone; the adversarial loss is left out, as in the authors' own features for transfer. A
    dense layer of `units` in place of the channel-wise one. The hole is always in the middle, where the authors' best
    features came from regions of random shape.
    """

    task_metric_names = ("pretext_loss",)

    def build_heads(self) -> None:
        features = self.grid_size(self.image_size) ** 2 * self.channels
        self.side = hole_size(self.image_size) // 4  # of the decoder's first map; it doubles twice
        self.narrow = built(keras.layers.Dense(self.units, name="narrow"), features)
        self.spread = built(keras.layers.Dense(self.side**2 * self.channels, name="spread"), self.units)
        norm = norm_options(self.backbone)
        widths = [max(8, self.channels // 2**halved) for halved in range(3)]
        self.ups = [
            UpConv(width, 3, negative_slope=SLOPE, name=f"up{i}", **norm) for i, width in enumerate(widths[1:], 1)
        ]
        for up, width in zip(self.ups, widths, strict=False):
            built(up, None, None, width)
        self.last = built(keras.layers.Conv2D(3, 3, padding="same", name="last"), None, None, widths[-1])

    def task_metrics(
        self, images: tf.Tensor, labels: tf.Tensor | None, step: tf.Tensor | int, training: bool
    ) -> dict[str, tf.Tensor]:
        """Return the weighted squared error of the middle: a float32 scalar."""
        filled = self.fill(with_hole(images), training)
        squares = tf.math.squared_difference(filled, middle(images))
        return {"pretext_loss": tf.reduce_mean(squares * border_weights(self.image_size))}

    def fill(self, images: tf.Tensor, training: bool) -> tf.Tensor:
        """Predict the middle of images with a hole.

        Args:
            images: float32 (batch, image_size, image_size, 3) in [-1, 1], see `with_hole`.
            training: batch norm uses the batch's moments.

        Returns:
            float32 (batch, hole, hole, 3) in [-1, 1].
        """
        conv5 = self.backbone(images, training=training)["conv5"]
        flat = tf.reshape(conv5, (-1, self.narrow.kernel.shape[0]))  # (batch, features)
        x = tf.nn.leaky_relu(self.spread(tf.nn.leaky_relu(self.narrow(flat), SLOPE)), SLOPE)
        x = tf.reshape(x, (-1, self.side, self.side, self.channels))  # (batch, hole / 4, hole / 4, channels)
        for up in self.ups:
            x = up(x, training=training)
        return tf.tanh(self.last(x))


def hole_size(image_size: int) -> int:
    """Return the hole's side in pixels: half the image, rounded down to a multiple of 4."""
    return image_size // 8 * 4


def border_size(image_size: int) -> int:
    """Return the pixels of the hole that stay visible on each side."""
    return max(1, hole_size(image_size) // 16)


def middle(images: tf.Tensor) -> tf.Tensor:
    """Cut out the target, the hole's content: (batch, size, size, 3) to (batch, hole, hole, 3)."""
    size = images.shape[1]
    first, hole = (size - hole_size(size)) // 2, hole_size(size)
    return images[:, first : first + hole, first : first + hole]


def with_hole(images: tf.Tensor) -> tf.Tensor:
    """Set the hole, but for its border, to 0. Returns: like `images`, (batch, size, size, 3)."""
    size = images.shape[1]
    first = (size - hole_size(size)) // 2 + border_size(size)
    last = first + hole_size(size) - 2 * border_size(size)
    shown = np.ones((1, size, size, 1), np.float32)
    shown[:, first:last, first:last] = 0
    return images * shown


def border_weights(image_size: int) -> np.ndarray:
    """Return the loss weights of the hole's pixels: float32 (1, hole, hole, 1) with mean 1."""
    hole, border = hole_size(image_size), border_size(image_size)
    weights = np.full((1, hole, hole, 1), BORDER_WEIGHT, np.float32)
    weights[:, border:-border, border:-border] = 1
    return weights / weights.mean()
