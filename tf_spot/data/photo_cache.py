"""Photos decoded once and kept as uint8, in the memory of the host or of the device that trains."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from tf_spot.data.split import Split, whole_batches
from tf_spot.errors import UserError
from tf_spot.progress import Progress

Place = Literal["device", "host"]
# Pixels that a side is filled up to a multiple of. A photo then takes a multiple of 64 bytes, and TensorFlow takes it
# out of the bytes of all photos without copying it, which is half of the time of a crop.
FILL = np.array((8, 8, 1), np.int64)
BATCH = 16  # photos that are taken over at a time
SHAPE_BYTES = 24  # three int64
SECONDS_BETWEEN_REPORTS = 5.0
MIB = 2**20


class DoesNotFit(Exception):
    """The photos take more memory than they may; the message says how much."""


class PhotoCache(NamedTuple):
    """All photos of a split. One that cannot be read is the next one that can, as in the stream of files."""

    place: Place
    pixels: tf.Tensor  # uint8 (bytes,): photo after photo, each with its sides filled up
    offsets: tf.Tensor  # int64 (photos,): where each photo begins in `pixels`, in bytes
    shapes: tf.Tensor  # int64 (photos, 3): height, width and channels, as it was decoded

    def photo(self, index: tf.Tensor) -> tf.Tensor:
        """Return a photo with its sides filled up, uint8 (height, width, 3) of more than its shape."""
        shape = filled_up(self.shapes[index])
        return tf.reshape(tf.slice(self.pixels, self.offsets[index][None], tf.reduce_prod(shape)[None]), shape)


def filled_up(shape: tf.Tensor | np.ndarray) -> tf.Tensor | np.ndarray:
    """Return (..., 3): height and width up to multiples of `FILL`, and the channels."""
    return -(-shape // FILL) * FILL


def decode_all(
    split: Split, place: Place, most_bytes: int, estimate: float = 0.0, on_progress: Progress | None = None
) -> PhotoCache:
    """Read every photo of a split, on all cores.

    Args:
        split: whose photos.
        place: `host`; or `device`, the first GPU if there is one.
        most_bytes: that they may take.
        estimate: bytes; if it is above `most_bytes`, nothing is read.
        on_progress: called every five seconds with (photos done, photos, text).

    Raises:
        DoesNotFit: they take more.
        UserError: not one of them can be read.
    """
    if estimate > most_bytes:
        raise _too_large(f"about {estimate / MIB:,.0f}", place, most_bytes)
    count, end = len(split), 0
    room = _aligned(most_bytes)
    offsets, shapes = np.zeros(count, np.int64), np.zeros((count, 3), np.int64)
    for index, photo in _photos(split, on_progress):
        filled = filled_up(np.array(photo.shape))
        begin, end = end, end + int(filled.prod())
        if end > most_bytes:
            raise _too_large(f"more than {end / MIB:,.0f}", place, most_bytes)
        room[begin:end].reshape(filled)[: photo.shape[0], : photo.shape[1]] = photo
        offsets[index], shapes[index] = begin, photo.shape
    readable = _next_readable(shapes[:, 0] > 0)
    return PhotoCache(place, _pixels(room[:end], place), tf.constant(offsets[readable]), tf.constant(shapes[readable]))


def _aligned(num_bytes: int) -> np.ndarray:
    """Return uint8 (num_bytes,) that begins at a multiple of 64 bytes, where TensorFlow need not copy it."""
    room = np.empty(num_bytes + 64, np.uint8)  # what is never written to takes no memory
    return room[-room.ctypes.data % 64 :][:num_bytes]


def _pixels(room: np.ndarray, place: Place) -> tf.Tensor:
    """Return the bytes in `room`, in the memory of the place."""
    gpus = tf.config.list_logical_devices("GPU")
    if place == "device" and gpus:
        with tf.device(gpus[0].name):
            return tf.constant(room)
    # A tensor over the same memory. Not a variable, though `tf.data` copies none of them: reading one counts as an
    # operation with a state, and under op determinism photos would be taken one after the other.
    return tf.experimental.dlpack.from_dlpack(room.__dlpack__())


def _photos(split: Split, on_progress: Progress | None) -> Iterator[tuple[int, np.ndarray]]:
    """Yield index and uint8 (height, width, 3) of every readable photo."""
    count, done, reported = len(split), 0, time.monotonic()
    (batches,) = split.in_chunks(_with_shape, BATCH, whole_batches(count, BATCH))
    for batch in batches:
        for index, row in zip(batch.indices, batch.images, strict=True):
            shape = row[:SHAPE_BYTES].view(np.int64)
            yield int(index), row[SHAPE_BYTES : SHAPE_BYTES + shape.prod()].reshape(shape)
        done += len(batch.indices)
        if on_progress and time.monotonic() - reported >= SECONDS_BETWEEN_REPORTS:
            reported = time.monotonic()
            on_progress(done, count, "photos are decoded")


def _with_shape(photo: tf.Tensor) -> tf.Tensor:
    """Return the bytes of a photo's shape, and its own: uint8 (bytes,)."""
    # Photos differ in size, and one row of bytes each is what a batch can hold.
    return tf.concat([tf.reshape(tf.bitcast(tf.shape(photo, tf.int64), tf.uint8), [-1]), tf.reshape(photo, [-1])], 0)


def _too_large(mebibytes: str, place: Place, most_bytes: int) -> DoesNotFit:
    return DoesNotFit(
        f"{mebibytes} MiB of decoded photos, of which the memory of the {place} may hold {most_bytes / MIB:,.0f} MiB"
    )


def _next_readable(readable: np.ndarray) -> np.ndarray:
    """Return for each photo the first readable one from it on, the first after the last: int64 (photos,)."""
    good = np.flatnonzero(readable)
    if not len(good):
        raise UserError("none of the photos can be read any more; are they still there?")
    return good[np.searchsorted(good, np.arange(len(readable))) % len(good)]
