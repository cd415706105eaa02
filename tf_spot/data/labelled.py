"""Photos with labels, held in memory: for training with labels, on all of them or on some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_spot.config import DataConfig
from tf_spot.data.augmentation import center, crop, recolour
from tf_spot.errors import UserError

READERS = 4


class LabelledPhotos:
    """Decoded photos and their labels.

    Args:
        photos: uint8 (height, width, 3) each, of any size.
        labels: (photos, ...), numbers.
        image_size: pixels, both sides of every image given out.
        config: how training images are varied.
        name: of the set, for messages.
    """

    def __init__(
        self, photos: Sequence[np.ndarray], labels: np.ndarray, *, image_size: int, config: DataConfig, name: str
    ) -> None:
        self.photos, self.labels, self.name = photos, labels, name
        self.image_size, self.config = image_size, config

    @classmethod
    def of(cls, source: Any, split: str = "train") -> LabelledPhotos:
        """The readable photos of a source's split; their shorter side is at most twice the image size."""
        pairs = list(source._splits[split].ordered(lambda photo: photo))  # Source gives centred images only
        labels = np.array([int(label) for _, label in pairs], np.int32)
        photos = [np.asarray(photo) for photo, _ in pairs]
        return cls(photos, labels, image_size=source.image_size, config=source.config, name=source.spec)

    def __len__(self) -> int:
        return len(self.photos)

    def stream(
        self, batch_size: int, *, seed: int, first_step: int = 0, places: np.ndarray | None = None
    ) -> tf.data.Dataset:
        """Varied images with their labels for ever, in an order of its own every epoch.

        Batch number s is a function of (seed, s).

        Args:
            batch_size: examples.
            seed, first_step: see `Source.unlabelled`.
            places: of the photos to draw from; all by default.

        Returns:
            float32 (batch_size, image_size, image_size, 3) in [-1, 1] and labels (batch_size, ...).

        Raises:
            UserError: fewer photos than one batch.
        """
        drawn = np.arange(len(self)) if places is None else np.asarray(places)
        if len(drawn) < batch_size:
            raise UserError(
                f"training needs at least one batch of labelled photos; batch size {batch_size}; received {len(drawn)} "
                f"from {self.name}; lower training.batch_size"
            )

        def example(position: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            key = tf.stack([tf.constant(seed, tf.int64), position // len(drawn)])
            turn = tf.random.experimental.index_shuffle(position % len(drawn), seed=key, max_index=len(drawn) - 1)
            place = tf.gather(drawn, turn)
            draws = tf.stack([tf.constant(seed, tf.int64), position])
            return *crop(self._photo(place), draws, self.image_size, self.config), tf.gather(self.labels, place)

        batches = (
            tf.data.Dataset.counter(start=first_step * batch_size)
            .map(example, num_parallel_calls=READERS)
            .batch(batch_size, drop_remainder=True)
        )
        return batches.map(lambda images, draws, labels: (recolour(images, draws, self.config), labels)).prefetch(2)

    def centred(self, batch_size: int, places: np.ndarray | None = None) -> tf.data.Dataset:
        """Each photo once, in order, centred, with its label; the last batch may be less."""
        drawn = np.arange(len(self)) if places is None else np.asarray(places)

        def example(place: Any) -> tuple[tf.Tensor, tf.Tensor]:
            return center(self._photo(place), self.image_size, self.config), tf.gather(self.labels, place)

        ordered = tf.data.Dataset.from_tensor_slices(drawn.astype(np.int64))
        return ordered.map(example, num_parallel_calls=READERS).batch(batch_size).prefetch(2)

    def _photo(self, place: Any) -> tf.Tensor:
        photo = tf.numpy_function(lambda index: self.photos[int(index)], [place], tf.uint8, stateful=False)
        return tf.ensure_shape(photo, (None, None, 3))
