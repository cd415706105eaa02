"""A split: which photos, in which order, each read when it is needed.

`index` is the index of a photo in its split. `stream_index` is the index of an example in the endless training stream,
counted over whole batches; the photo and its random view are functions of it and of the seed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import tensorflow as tf

from tf_spot.data.exit_guard import READING
from tf_spot.data.images import BadImage, Images
from tf_spot.data.plain_jpeg import read_plain
from tf_spot.errors import UserError

READERS = min(16, os.cpu_count() or 1)  # photos read at the same time; a fixed number keeps memory constant
SAMPLE = 64  # photos that the size of all is estimated from

Transform = Callable[[tf.Tensor], tf.Tensor]  # a photo, uint8 (height, width, 3), to an image
# (photo or its index, stream_index) to a view
RandomTransform = Callable[[tf.Tensor, tf.Tensor], tf.Tensor | tuple[tf.Tensor, ...]]


class Share(NamedTuple):
    """Which examples of every batch a stream gives: all of them, or one worker's."""

    batch_size: int  # examples of a whole batch
    first: int  # of them
    size: int
    start: int = 0  # index in the stream of the first example of batch 0; not 0 once the batch size has changed

    def stream_index(self, own_index: tf.Tensor | int) -> tf.Tensor | int:
        """Return the index in the stream of whole batches of this stream's example `own_index`: like `own_index`."""
        return self.start + own_index // self.size * self.batch_size + self.first + own_index % self.size

    def contains(self, stream_index: tf.Tensor | int) -> tf.Tensor | bool:
        """Return whether that example of the stream of whole batches belongs to this stream: like `stream_index`."""
        example = (stream_index - self.start) % self.batch_size
        return (example >= self.first) & (example < self.first + self.size)


def whole_share(batch_size: int, first_step: int, images_before: int | None) -> Share:
    """Return the share of all examples in a stream whose batch number `first_step` follows `images_before` images.

    Args:
        batch_size: examples of a batch from there on.
        first_step: batches before, of whatever size.
        images_before: examples of these batches; None: all of them had `batch_size`.
    """
    before = first_step * batch_size
    return Share(batch_size, 0, batch_size, (before if images_before is None else images_before) - before)


class Batch(NamedTuple):
    """Some photos of a split, as arrays."""

    images: np.ndarray  # (photos, ...), what `transform` returned
    labels: np.ndarray  # int32 (photos,); -1: none
    indices: np.ndarray  # int64 (photos,), in the split


@runtime_checkable
class Files(Protocol):
    """Photos that lie in a file each."""

    image_size: int

    def paths(self, indices: np.ndarray) -> list[bytes]:
        """Return the paths of the files, an empty one where there is no regular file."""


class Split(Protocol):
    """Photos as `tf.data`. Reading a photo and making an image of it are one step, as every step costs time."""

    has_labels: bool
    bad: dict[str, str]  # name: reason, of every photo found unreadable so far

    def __len__(self) -> int: ...

    def shuffled(self, seed: int, first_step: int, share: Share, transform: RandomTransform) -> tf.data.Dataset:
        """Return `transform(photo, stream_index)` for ever, each a function of (seed, stream_index) alone.

        Args:
            seed: of the order.
            first_step: batches that are skipped.
            share: the examples of every batch that are wanted; others are not decoded.
            transform: makes a random view of a photo, uint8 RGB (height, width, 3).
        """

    def shuffled_indices(self, seed: int, first_step: int, share: Share, transform: RandomTransform) -> tf.data.Dataset:
        """Return `transform(index, stream_index)` for ever: like `shuffled`, of photos that need not be decoded.

        Args:
            seed, first_step, share: see `shuffled`.
            transform: makes a random view of the photo at an index, int64 scalar.
        """

    def ordered(self, transform: Transform) -> tf.data.Dataset:
        """Return (`transform(photo)`, label int32) of every readable photo once; -1 where there is no label."""

    def in_chunks(
        self, transform: Transform, batch_size: int, chunk_size: int, first: int = 0
    ) -> Iterator[Iterator[Batch]]:
        """Yield the batches of every `chunk_size` photos from index `first` on: each readable photo once, in any order.

        Args:
            transform: makes an image of a photo, uint8 RGB (height, width, 3). Where images differ in size, those of a
                batch are filled up with zeros to the largest.
            batch_size: photos of a batch, at most.
            chunk_size: photos, a whole number of batches.
            first: index of a photo.
        """

    def mean_bytes(self) -> float:
        """Estimate the decoded size of a photo from some of them."""

    def name(self, index: int) -> str:
        """Return the photo's name."""

    def check(self) -> None:
        """Read every photo once, to fill `bad`."""


class ImageSplit:
    """Some of a sequence of photos.

    Args:
        images: the sequence.
        indices: int64 (photos of this split,), in `images`; None: all of them.
        bad: shared by the splits of the same photos.
    """

    def __init__(self, images: Images, indices: np.ndarray | None, bad: dict[str, str]) -> None:
        self.images, self.bad = images, bad
        self.indices = np.arange(len(images)) if indices is None else indices
        self.has_labels = images.labels is not None

    def __len__(self) -> int:
        return len(self.indices)

    def shuffled(self, seed: int, first_step: int, share: Share, transform: RandomTransform) -> tf.data.Dataset:
        """See `Split`. A photo that cannot be read is replaced by the next one that can."""

        def view(index: tf.Tensor, stream_index: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, ...]:
            return transform(self._decoded(index), stream_index)

        return self.shuffled_indices(seed, first_step, share, view)

    def shuffled_indices(self, seed: int, first_step: int, share: Share, transform: RandomTransform) -> tf.data.Dataset:
        """Return every epoch as a permutation of its own, computed index by index."""
        count = len(self)

        def view(own_index: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, ...]:
            stream_index = share.stream_index(own_index)
            key = tf.stack([tf.constant(seed, tf.int64), stream_index // count])  # (seed, epoch)
            # A permutation evaluated at one index: no table of the epoch's order, and a late start costs nothing.
            index = tf.random.experimental.index_shuffle(stream_index % count, seed=key, max_index=count - 1)
            return transform(index, stream_index)

        return tf.data.Dataset.counter(start=first_step * share.size).map(view, num_parallel_calls=READERS)

    def _decoded(self, index: tf.Tensor) -> tf.Tensor:
        """Return a photo, or the next readable one: uint8 (height, width, 3)."""
        photo = tf.numpy_function(self._read_this_or_next, [index], tf.uint8, stateful=False)
        return tf.ensure_shape(photo, (None, None, 3))

    def ordered(self, transform: Transform) -> tf.data.Dataset:
        examples = self._at(tf.data.Dataset.range(len(self)), transform)
        readable = examples.filter(lambda image, label, index, good: good)
        return readable.map(lambda image, label, index, good: (image, label))

    def in_chunks(
        self, transform: Transform, batch_size: int, chunk_size: int, first: int = 0
    ) -> Iterator[Iterator[Batch]]:
        for start in range(first, len(self), chunk_size):
            yield self._in_any_order(np.arange(start, min(start + chunk_size, len(self))), transform, batch_size)

    def _in_any_order(self, indices: np.ndarray, transform: Transform, batch_size: int) -> Iterator[Batch]:
        """Yield first the files that TensorFlow can read alone, if the photos are files, then all others."""
        left = np.ones(len(indices), bool)
        if isinstance(self.images, Files):
            paths, size = tf.constant(self.images.paths(self.indices[indices]), tf.string), self.images.image_size

            def read(path: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                return transform(read_plain(path, size)), index

            files = tf.data.Dataset.from_tensor_slices((paths, indices))
            plain = files.map(read, num_parallel_calls=READERS).ignore_errors()  # what is not plain comes below
            for images, these in batches_of(plain, batch_size).as_numpy_iterator():
                left[these - indices[0]] = False  # `indices` are consecutive
                yield Batch(images, self._labels(these), these)
        if not left.any():
            return
        others = self._at(tf.data.Dataset.from_tensor_slices(indices[left]), transform)
        for images, labels, these, good in batches_of(others, batch_size).as_numpy_iterator():
            if good.any():
                yield Batch(images[good], labels[good], these[good])

    def mean_bytes(self) -> float:
        some = np.unique(np.linspace(0, len(self) - 1, SAMPLE).astype(int))
        sizes = [photo.nbytes for photo in map(self.read, some) if photo is not None]
        return float(np.mean(sizes)) if sizes else 0.0

    def name(self, index: int) -> str:
        return self.images.name(int(self.indices[index]))

    def _at(self, indices: tf.data.Dataset, transform: Transform) -> tf.data.Dataset:
        """Return (image, label, index, good) of the photos at those indices; a blank image where `good` is false."""

        def read(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
            types = (tf.uint8, tf.int32, tf.bool)
            photo, label, good = tf.numpy_function(self._read_or_blank, [index], types, stateful=False)
            image = transform(tf.ensure_shape(photo, (None, None, 3)))
            return image, tf.ensure_shape(label, ()), index, tf.ensure_shape(good, ())

        return indices.map(read, num_parallel_calls=READERS)

    def check(self) -> None:
        for index in range(len(self)):
            self.read(index)

    def read(self, index: int) -> np.ndarray | None:
        """Return a photo, uint8 (height, width, 3); None, and an entry in `bad`, if it cannot be read."""
        image_index = int(self.indices[index])
        try:
            return self.images.read(image_index)
        except BadImage as error:
            self.bad.setdefault(self.images.name(image_index), str(error))
            return None

    def _read_this_or_next(self, index: np.int64) -> np.ndarray:
        """Return the photo, or the next readable one, from the first after the last: uint8 (height, width, 3)."""
        with READING.photo():
            for offset in range(len(self)):
                photo = self.read((int(index) + offset) % len(self))
                if photo is not None:
                    return photo
        raise UserError("none of the photos can be read any more; are they still there?")

    def _read_or_blank(self, index: np.int64) -> tuple[np.ndarray, np.ndarray, np.bool_]:
        """Return (photo, label, True), or a blank of 1x1 pixels and False: `tf.data` cannot skip within a map."""
        with READING.photo():
            photo = self.read(int(index))
        label = self._labels(index)
        return (np.zeros((1, 1, 3), np.uint8), label, np.False_) if photo is None else (photo, label, np.True_)

    def _labels(self, indices: np.ndarray | np.int64) -> np.ndarray:
        """Return labels, int32, like `indices`; -1 where there are none."""
        labels = self.images.labels
        return np.full_like(indices, -1, np.int32) if labels is None else labels[self.indices[indices]]


def batches_of(examples: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """Return batches of tuples that begin with an image; images of different sizes are filled up with zeros."""
    alike = examples.element_spec[0].shape.is_fully_defined()
    return (examples.batch if alike else examples.padded_batch)(batch_size).prefetch(2)


def whole_batches(photos: int, batch_size: int) -> int:
    """Round a number of photos up to whole batches, at least one."""
    return max(1, -(-photos // batch_size)) * batch_size
