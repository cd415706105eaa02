"""A split: which photos, in which order, each read when its turn comes."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from tf_spot.config import DataConfig
from tf_spot.data.images import BadImage, Images
from tf_spot.errors import UserError

READERS = min(16, os.cpu_count() or 1)  # photos read at the same time; a fixed number keeps memory constant


class Reading:
    """Counts the photos being read by `tf.data`'s threads, so that Python can wait for them before it exits.

    A thread that asks for a Python which is shutting down is ended by it; TensorFlow, closing the stream, would then
    wait for that thread's photo for ever.
    """

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.quiet_since = 0.0  # seconds, monotonic
        self._count, self._lock = 0, threading.Lock()

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Around the reading of a photo.

        Raises:
            RuntimeError: Python exits.
        """
        if self.stopped.is_set():
            raise RuntimeError("Python exits")
        self._change(1)
        try:
            yield
        finally:
            self._change(-1)

    def stop(self, patience: float = 0.1) -> None:
        """Refuses further photos and returns when none has been read for `patience` seconds."""
        self.stopped.set()
        while self._count or time.monotonic() - self.quiet_since < patience:
            time.sleep(0.01)

    def _change(self, by: int) -> None:
        with self._lock:
            self._count += by
            self.quiet_since = time.monotonic()


READING = Reading()
atexit.register(READING.stop)


class Split(Protocol):
    """Photos as `tf.data`: uint8 RGB (height, width, 3), any size."""

    has_labels: bool
    bad: dict[str, str]  # name: reason, of every photo found unreadable so far

    def __len__(self) -> int: ...

    def shuffled(self, seed: int, first: int) -> tf.data.Dataset:
        """(position int64, photo), for ever, from position `first` on; a function of (seed, position) alone."""

    def ordered(self) -> tf.data.Dataset:
        """(photo, label int32), every readable photo once; the label is -1 where there is none."""

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

    def shuffled(self, seed: int, first: int) -> tf.data.Dataset:
        """Every epoch is a permutation of its own, computed place by place.

        A photo that cannot be read is replaced by the next one that can.
        """
        count = len(self)

        def read(position: Any) -> tuple[Any, tf.Tensor]:
            key = tf.stack([tf.constant(seed, tf.int64), position // count])
            place = tf.random.experimental.index_shuffle(position % count, seed=key, max_index=count - 1)
            photo = tf.numpy_function(self._read_this_or_next, [place], tf.uint8, stateful=False)
            return position, tf.ensure_shape(photo, (None, None, 3))

        return tf.data.Dataset.counter(start=first).map(read, num_parallel_calls=READERS)

    def ordered(self) -> tf.data.Dataset:
        def read(place: Any) -> tuple[tf.Tensor, tf.Tensor]:
            photo, label = tf.numpy_function(self._read_or_empty, [place], (tf.uint8, tf.int32), stateful=False)
            return tf.ensure_shape(photo, (None, None, 3)), tf.ensure_shape(label, ())

        photos = tf.data.Dataset.range(len(self)).map(read, num_parallel_calls=READERS)
        return photos.filter(lambda photo, label: tf.size(photo) > 0)

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
        with READING.one():
            for offset in range(len(self)):
                photo = self.read((int(place) + offset) % len(self))
                if photo is not None:
                    return photo
        raise UserError("none of the photos can be read any more; are they still there?")

    def _read_or_empty(self, place: Any) -> tuple[np.ndarray, np.int32]:
        with READING.one():
            photo = self.read(int(place))
        labels = self.images.labels
        label = np.int32(-1 if labels is None else labels[self.indices[place]])
        return (np.zeros((0, 0, 3), np.uint8) if photo is None else photo), label


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
