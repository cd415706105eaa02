"""Baseline: predict which way up the photo is."""

from __future__ import annotations

import tensorflow as tf

from tf_spot.baselines.pretext import Pretext, classification, head_on
from tf_spot.ops.registry import register


@register
class Rotation(Pretext):
    """Classifies by how many quarter turns an image is rotated.

    Every image is shown in all four rotations within one batch, which the authors found much better than one of them.
    Quarter turns move pixels without interpolation, so no resampling artifact reveals the answer.

    Source: Gidaris, Singh and Komodakis, "Unsupervised representation learning by predicting image rotations", ICLR
    2018.
    Deviation: the head is that of the spotter's realness logits, without dropout.
    """

    def build_heads(self) -> None:
        side = self.grid_size(self.image_size)
        self.head = head_on(self, 4, side, side, self.channels)

    def task_metrics(
        self, images: tf.Tensor, labels: tf.Tensor | None, step: tf.Tensor | int, training: bool
    ) -> dict[str, tf.Tensor]:
        """Return cross entropy and accuracy over the four rotations: float32 scalars."""
        rotated, turns = four_rotations(images)
        conv5 = self.backbone(rotated, training=training)["conv5"]  # (4 batch, side, side, channels)
        return classification(self.head(conv5, training=training), turns)


def four_rotations(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Rotate every image counter-clockwise by 0, 1, 2 and 3 quarter turns.

    Args:
        images: (batch, size, size, 3).

    Returns:
        rotated images (4 batch, size, size, 3), all of one turn together, and their turns, int32 (4 batch,) in 0 ... 3.
    """
    # Blocks of one turn each, so that turn t of image i lies at t * batch + i.
    rotated = tf.concat([tf.image.rot90(images, turns) for turns in range(4)], axis=0)
    return rotated, tf.repeat(tf.range(4), tf.shape(images)[0])
