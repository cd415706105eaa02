"""Upper bound: train on the labels."""

from __future__ import annotations

import keras
import tensorflow as tf

from tf_spot.baselines.pretext import Pretext, built, classification
from tf_spot.data.labelled import LabelledPhotos
from tf_spot.data.source import Source
from tf_spot.ops.registry import register


@register
class Supervised(Pretext):
    """Softmax on the average of conv5: what the backbone learns when it is given the classes.

    The only method that sees labels, those of the training split.

    Source: average pooling before the softmax from Lin, Chen and Yan, "Network in network", ICLR 2014.
    """

    label_kind = "classes"

    def build_heads(self) -> None:
        if not self.classes:
            raise ValueError(f"classes must be a number of classes. Received: classes={self.classes}")
        self.head = built(keras.layers.Dense(self.classes, name="head"), self.channels)

    def task_metrics(
        self, images: tf.Tensor, labels: tf.Tensor | None, step: tf.Tensor | int, training: bool
    ) -> dict[str, tf.Tensor]:
        """Return cross entropy and accuracy over the classes: float32 scalars."""
        pooled = tf.reduce_mean(self.backbone(images, training=training)["conv5"], axis=(1, 2))  # (batch, channels)
        return classification(self.head(pooled), labels)


def labelled_stream(source: Source, batch_size: int, *, seed: int, first_step: int = 0) -> tf.data.Dataset:
    """Return the endless training stream with labels, augmented as `Source.unlabelled` augments its photos.

    Batch number s is a function of (seed, s), see `tf_spot.data.labelled`.

    Args:
        source: labelled photos; the split "train" is held in memory.
        batch_size: examples.
        seed: of the order and the augmentation.
        first_step: batches to skip.

    Returns:
        batches of float32 (batch_size, image_size, image_size, 3) in [-1, 1] and int32 (batch_size,).

    Raises:
        UserError: fewer photos than one batch.
    """
    return LabelledPhotos.of(source).stream(batch_size, seed=seed, first_step=first_step)
