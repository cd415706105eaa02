"""Photos with labels, held in memory: for training with labels, on all of them or on some."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_spot.config import DataConfig
from tf_spot.data.augmentation import center, crop, recolour
from tf_spot.data.source import Source
from tf_spot.errors import UserError

READERS = 4  # images made at the same time


class LabelledPhotos:
    """Decoded photos and their labels.

    Args:
        photos: uint8 (height, width, 3) each, of any size.
        labels: (photos, ...), numbers.
        image_size: pixels, both sides of every image.
        config: how training images are varied.
        name: of the set, for messages.

    Attributes:
        photos, labels, image_size, config, name: as given.
    """

    def __init__(
        self, photos: Sequence[np.ndarray], labels: np.ndarray, *, image_size: int, config: DataConfig, name: str
    ) -> None:
        self.photos, self.labels, self.name = photos, labels, name
        self.image_size, self.config = image_size, config

    @classmethod
    def of(cls, source: Source, split: str = "train") -> LabelledPhotos:
        """Read the readable photos of a source's split; their shorter side is at most twice the image size.

        Raises:
            UserError: a photo without a label (-1).
        """
        pairs = list(source.decoded(split))
        labels = np.array([int(label) for _, label in pairs], np.int32)
        if without := int(np.count_nonzero(labels < 0)):
            raise UserError(
                f"photos to learn from with labels must all have one; received: {source.spec}, of whose {split} photos "
                f"{without:,} have none (-1); leave them out"
            )
        photos = [np.asarray(photo) for photo, _ in pairs]
        return cls(photos, labels, image_size=source.image_size, config=source.config, name=source.spec)

    def __len__(self) -> int:
        return len(self.photos)

    def stream(
        self, batch_size: int, *, seed: int, first_step: int = 0, indices: np.ndarray | None = None
    ) -> tf.data.Dataset:
        """Return random views with their labels for ever, every epoch in an order of its own.

        Batch number s is a function of (seed, s).

        Args:
            batch_size: examples.
            seed, first_step: see `Source.unlabelled`.
            indices: int64 (photos,), of those to draw from; None: all.

        Returns:
            float32 (batch_size, image_size, image_size, 3) in [-1, 1] and labels (batch_size, ...).

        Raises:
            UserError: fewer photos than one batch.
        """
        drawn = self._indices(indices)
        if len(drawn) < batch_size:
            raise UserError(
                f"training needs at least one batch of labelled photos; batch size {batch_size}; received {len(drawn)} "
                f"from {self.name}; lower training.batch_size"
            )

        def example(stream_index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            key = tf.stack([tf.constant(seed, tf.int64), stream_index // len(drawn)])  # (seed, epoch)
            turn = tf.random.experimental.index_shuffle(stream_index % len(drawn), seed=key, max_index=len(drawn) - 1)
            index = tf.gather(drawn, turn)
            draws = tf.stack([tf.constant(seed, tf.int64), stream_index])
            return *crop(self._photo(index), draws, self.image_size, self.config), tf.gather(self.labels, index)

        # Crops are made photo by photo, as photos differ in size; colours a batch at a time.
        batches = (
            tf.data.Dataset.counter(start=first_step * batch_size)
            .map(example, num_parallel_calls=READERS)
            .batch(batch_size, drop_remainder=True)
        )
        return batches.map(lambda images, draws, labels: (recolour(images, draws, self.config), labels)).prefetch(2)

    def centred(self, batch_size: int, indices: np.ndarray | None = None) -> tf.data.Dataset:
        """Return each photo once, in order, centred, with its label.

        Args:
            batch_size: examples.
            indices: int64 (photos,), of those wanted; None: all.

        Returns:
            float32 (batch, image_size, image_size, 3) in [-1, 1] and labels (batch, ...); the last batch may be
            smaller.
        """

        def example(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return center(self._photo(index), self.image_size, self.config), tf.gather(self.labels, index)

        ordered = tf.data.Dataset.from_tensor_slices(self._indices(indices).astype(np.int64))
        return ordered.map(example, num_parallel_calls=READERS).batch(batch_size).prefetch(2)

    def _indices(self, indices: np.ndarray | None) -> np.ndarray:
        """Return `indices`, those of all photos by default: (photos,)."""
        return np.arange(len(self)) if indices is None else np.asarray(indices)

    def _photo(self, index: tf.Tensor) -> tf.Tensor:
        """Return a photo as a tensor: uint8 (height, width, 3)."""
        # Photos differ in size, so they are no one array that `tf.gather` could read.
        photo = tf.numpy_function(lambda number: self.photos[int(number)], [index], tf.uint8, stateful=False)
        return tf.ensure_shape(photo, (None, None, 3))
