"""Rival: which way up is the photo?"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tf_spot.baselines.pretext import Pretext, classification, head_on
from tf_spot.ops.registry import register


@register
class Rotation(Pretext):
    """Tells by how many quarter turns an image is rotated.

    Every image is shown in all four rotations within one batch, which the authors found much better than one of them.
    Quarter turns move pixels without interpolation, so no artifact of resampling betrays the answer.

    Source: Gidaris, Singh and Komodakis, "Unsupervised representation learning by predicting image rotations", ICLR
    2018. Deviation: the head is that of the spotter's realness answer, without dropout.
    """

    def build_heads(self) -> None:
        side = self.grid_size(self.image_size)
        self.head = head_on(self, 4, side, side, self.channels)

    def figures(self, images: Any, labels: Any, step: Any, training: bool) -> dict[str, tf.Tensor]:
        rotated, turns = four_rotations(images)
        return classification(self.head(self.backbone(rotated, training=training)["conv5"], training=training), turns)


def four_rotations(images: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Images by 0 to 3 quarter turns counter-clockwise, (4 batch, s, s, 3), and the turns, int32 (4 batch,)."""
    rotated = tf.concat([tf.image.rot90(images, turns) for turns in range(4)], axis=0)
    return rotated, tf.repeat(tf.range(4), tf.shape(images)[0])
