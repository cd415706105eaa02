"""A split: which photos, in which order, each read when its turn comes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import tensorflow as tf

from tf_spot.config import DataConfig
from tf_spot.data.exit_guard import READING
from tf_spot.data.images import BadImage, Images
from tf_spot.data.plain_jpeg import read_plain
from tf_spot.errors import UserError

READERS = min(16, os.cpu_count() or 1)  # photos read at the same time; a fixed number keeps memory constant


class Rows(NamedTuple):
    """Which rows of every batch a stream gives: all of them, or one worker's."""

    batch: int  # rows of a whole batch
    first: int
    size: int

    def position(self, number: Any) -> Any:
        """Where in the stream of all rows the given row of this stream is."""
        return number // self.size * self.batch + self.first + number % self.size

    def has(self, position: Any) -> Any:
        """Is the row in that place of the stream of all rows one of these?"""
        row = position % self.batch
        return (row >= self.first) & (row < self.first + self.size)


class Batch(NamedTuple):
    """Some photos of a split, as arrays."""

    images: np.ndarray  # (photos, ...), what `finish` gave
    labels: np.ndarray  # int32 (photos,)
    places: np.ndarray  # int64 (photos,), in the split


@runtime_checkable
class Files(Protocol):
    """Photos that lie in a file each."""

    image_size: int

    def paths(self, indices: np.ndarray) -> list[bytes]:
        """Where the files are."""


class Split(Protocol):
    """Photos as `tf.data`, each read and made an image in one step, as every step of `tf.data` costs time."""

    has_labels: bool
    bad: dict[str, str]  # name: reason, of every photo found unreadable so far

    def __len__(self) -> int: ...

    def shuffled(self, seed: int, first_step: int, rows: Rows, finish: Callable[[Any, Any], Any]) -> tf.data.Dataset:
        """`finish(photo, position)` for ever, each a function of (seed, position) alone.

        Args:
            seed: of the order.
            first_step: batches that are passed over.
            rows: those of every batch that are wanted; others are not decoded.
            finish: makes an image of a photo, uint8 RGB (height, width, 3).
        """

    def ordered(self, finish: Callable[[Any], Any]) -> tf.data.Dataset:
        """(`finish(photo)`, label int32), every readable photo once; the label is -1 where there is none."""

    def in_chunks(
        self, finish: Callable[[Any], Any], batch_size: int, chunk: int, first: int = 0
    ) -> Iterator[Iterator[Batch]]:
        """The batches of every `chunk` places from place `first` on: every readable photo there once, in any order.

        Args:
            finish: makes an image of a photo, uint8 RGB (height, width, 3).
            batch_size: photos of a batch, at most.
            chunk: places, a whole number of batches.
            first: place.
        """

    def name(self, place: int) -> str:
        """What the photo in that place is called."""

    def check(self) -> None:
        """Reads every photo once, for the sake of `bad`."""


class ImageSplit:
    """Some of a sequence of photos.

    Args:
        images: the sequence.
        indices: int64 (photos of this split,); None: all of them.
        bad: shared by the splits of a source.
    """

    def __init__(self, images: Images, indices: np.ndarray | None, bad: dict[str, str]) -> None:
        self.images, self.bad = images, bad
        self.indices = np.arange(len(images)) if indices is None else indices
        self.has_labels = images.labels is not None

    def __len__(self) -> int:
        return len(self.indices)

    def shuffled(self, seed: int, first_step: int, rows: Rows, finish: Callable[[Any, Any], Any]) -> tf.data.Dataset:
        """Every epoch is a permutation of its own, computed place by place.

        A photo that cannot be read is replaced by the next one that can.
        """
        count = len(self)

        def read(number: Any) -> Any:
            position = rows.position(number)
            key = tf.stack([tf.constant(seed, tf.int64), position // count])
            place = tf.random.experimental.index_shuffle(position % count, seed=key, max_index=count - 1)
            photo = tf.numpy_function(self._read_this_or_next, [place], tf.uint8, stateful=False)
            return finish(tf.ensure_shape(photo, (None, None, 3)), position)

        return tf.data.Dataset.counter(start=first_step * rows.size).map(read, num_parallel_calls=READERS)

    def ordered(self, finish: Callable[[Any], Any]) -> tf.data.Dataset:
        readable = self._at(tf.data.Dataset.range(len(self)), finish).filter(lambda image, label, place, good: good)
        return readable.map(lambda image, label, place, good: (image, label))

    def in_chunks(
        self, finish: Callable[[Any], Any], batch_size: int, chunk: int, first: int = 0
    ) -> Iterator[Iterator[Batch]]:
        for start in range(first, len(self), chunk):
            yield self._in_any_order(np.arange(start, min(start + chunk, len(self))), finish, batch_size)

    def _in_any_order(self, places: np.ndarray, finish: Callable[[Any], Any], batch_size: int) -> Iterator[Batch]:
        """First the files that TensorFlow can read alone, if the photos are files, then all others."""
        left = np.ones(len(places), bool)
        if isinstance(self.images, Files):
            paths, size = tf.constant(self.images.paths(self.indices[places]), tf.string), self.images.image_size

            def read(path: Any, place: Any) -> tuple[Any, Any]:
                return finish(read_plain(path, size)), place

            files = tf.data.Dataset.from_tensor_slices((paths, places))
            plain = files.map(read, num_parallel_calls=READERS).ignore_errors()
            for images, these in plain.batch(batch_size).prefetch(2).as_numpy_iterator():
                left[these - places[0]] = False
                yield Batch(images, self._labels(these), these)
        if not left.any():
            return
        others = self._at(tf.data.Dataset.from_tensor_slices(places[left]), finish)
        for images, labels, these, good in others.batch(batch_size).prefetch(2).as_numpy_iterator():
            if good.any():
                yield Batch(images[good], labels[good], these[good])

    def name(self, place: int) -> str:
        return self.images.name(int(self.indices[place]))

    def _at(self, places: tf.data.Dataset, finish: Callable[[Any], Any]) -> tf.data.Dataset:
        """(image, label, place, good) of the photos in those places."""

        def read(place: Any) -> tuple[Any, tf.Tensor, tf.Tensor, tf.Tensor]:
            types = (tf.uint8, tf.int32, tf.bool)
            photo, label, good = tf.numpy_function(self._read_or_blank, [place], types, stateful=False)
            image = finish(tf.ensure_shape(photo, (None, None, 3)))
            return image, tf.ensure_shape(label, ()), place, tf.ensure_shape(good, ())

        return places.map(read, num_parallel_calls=READERS)

    def check(self) -> None:
        for place in range(len(self)):
            self.read(place)

    def read(self, place: int) -> np.ndarray | None:
        """The photo in that place, or None and a line in `bad`."""
        index = int(self.indices[place])
        try:
            return self.images.read(index)
        except BadImage as error:
            self.bad.setdefault(self.images.name(index), str(error))
            return None

    def _read_this_or_next(self, place: Any) -> np.ndarray:
        with READING.photo():
            for offset in range(len(self)):
                photo = self.read((int(place) + offset) % len(self))
                if photo is not None:
                    return photo
        raise UserError("none of the photos can be read any more; are they still there?")

    def _read_or_blank(self, place: Any) -> tuple[np.ndarray, np.int32, np.bool_]:
        with READING.photo():
            photo = self.read(int(place))
        label = self._labels(place)
        return (np.zeros((1, 1, 3), np.uint8), label, np.False_) if photo is None else (photo, label, np.True_)

    def _labels(self, places: Any) -> Any:
        """int32, like `places`."""
        labels = self.images.labels
        return np.full_like(places, -1, np.int32) if labels is None else labels[self.indices[places]]


def whole_batches(photos: int, batch_size: int) -> int:
    """A number of photos rounded up to whole batches, one at least."""
    return max(1, -(-photos // batch_size)) * batch_size


def hold_out(images: Images, config: DataConfig) -> tuple[np.ndarray, np.ndarray]:
    """Indices (held out, trained on).

    Which are held out depends on their names alone, so that it hardly changes when photos are added.
    """
    count = min(config.held_out_images, int(config.held_out_share * len(images)))
    hashes = np.fromiter((name_hash(images.name(i)) for i in range(len(images))), np.uint64, len(images))
    order = np.argsort(hashes, kind="stable")
    return np.sort(order[:count]), np.sort(order[count:])


def name_hash(name: str, purpose: bytes = b"held out") -> int:
    """A whole number below 2^64 that is spread evenly, and is another one for another purpose."""
    digest = hashlib.blake2b(os.fsencode(name), digest_size=8, person=purpose)
    return int.from_bytes(digest.digest(), "little")
