"""The ceiling: labels."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_spot.baselines.pretext import Pretext, built, classification
from tf_spot.data.augmentation import crop, recolour
from tf_spot.errors import UserError
from tf_spot.layers import register


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

    Batch number s is a function of (seed, s). The photos are held in memory, decoded, with the shorter side at most
    twice the image size.

    Returns:
        float32 (batch_size, image_size, image_size, 3) in [-1, 1] and int32 (batch_size,).

    Raises:
        UserError: fewer photos than one batch.
    """
    pairs = list(source._splits["train"].ordered(lambda photo: photo))  # Source gives labels with centred images only
    photos, labels = [np.asarray(photo) for photo, _ in pairs], np.array([int(label) for _, label in pairs], np.int32)
    if len(photos) < batch_size:
        raise UserError(
            f"training needs at least one batch of labelled photos; batch size {batch_size}; received {len(photos)} "
            f"from {source.spec}; lower training.batch_size"
        )

    def example(position: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        key = tf.stack([tf.constant(seed, tf.int64), position // len(photos)])
        place = tf.random.experimental.index_shuffle(position % len(photos), seed=key, max_index=len(photos) - 1)
        photo = tf.numpy_function(lambda index: photos[int(index)], [place], tf.uint8, stateful=False)
        photo = tf.ensure_shape(photo, (None, None, 3))
        drawn = tf.stack([tf.constant(seed, tf.int64), position])
        return *crop(photo, drawn, source.image_size, source.config), tf.gather(labels, place)

    batches = (
        tf.data.Dataset.counter(start=first_step * batch_size)
        .map(example, num_parallel_calls=4)
        .batch(batch_size, drop_remainder=True)
    )
    return batches.map(lambda images, draws, classes: (recolour(images, draws, source.config), classes)).prefetch(2)
