"""The ceiling: labels."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tf_spot.baselines.pretext import Pretext, built, classification
from tf_spot.data.labelled import LabelledPhotos
from tf_spot.ops.registry import register


@register
class Supervised(Pretext):
    """Softmax on the average of conv5: what the backbone learns when it is told the classes.

    The only method that sees labels, those of the training split.

    Source: average pooling before the softmax from Lin, Chen and Yan, "Network in network", ICLR 2014.
    """

    def build_heads(self) -> None:
        if not self.classes:
            raise ValueError(f"classes must be a number of classes. Received: classes={self.classes}")
        self.head = built(keras.layers.Dense(self.classes, name="head"), self.channels)

    def figures(self, images: Any, labels: Any, step: Any, training: bool) -> dict[str, tf.Tensor]:
        pooled = tf.reduce_mean(self.backbone(images, training=training)["conv5"], axis=(1, 2))
        return classification(self.head(pooled), labels)


def labelled_stream(source: Any, batch_size: int, *, seed: int, first_step: int = 0) -> tf.data.Dataset:
    """The training split with its labels for ever, varied as `Source.unlabelled` varies its photos.

    See `tf_spot.data.labelled`.

    Raises:
        UserError: fewer photos than one batch.
    """
    return LabelledPhotos.of(source).stream(batch_size, seed=seed, first_step=first_step)
