"""Feature maps of any size to vectors of about the same length, so that layers compare fairly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import keras
import numpy as np
import tensorflow as tf

from tf_spot.config import LAYERS
from tf_spot.distributed.strategies import fill_up, num_workers, share_rows
from tf_spot.errors import UserError
from tf_spot.features.prefetch import one_at_a_time

ImageBatch: TypeAlias = np.ndarray | tf.Tensor  # float32 (batch, height, width, 3) in [-1, 1]
Extractor = Callable[[ImageBatch], dict[str, tf.Tensor]]  # images to maps (batch, h, w, channels) by layer
KINDS = ("average", "max")


@dataclass(frozen=True)
class Pooling:
    """Adaptive pooling of a map to a square grid.

    Args:
        num_values: about how many values an image keeps; the grid is the one whose number of values is nearest.
        kind: `average`, or `max` as in RotNet and CMC.

    Source: paper, Tables 4 and 5 (the number); which pooling the paper used is not known.
    """

    num_values: int = 9_000
    kind: str = "average"

    def __post_init__(self) -> None:
        if self.num_values < 1:
            raise UserError(f"num_values must be 1 or more; received: {self.num_values}")
        if self.kind not in KINDS:
            raise UserError(f"pooling must be one of {', '.join(KINDS)}; received: {self.kind!r}")

    def grid(self, height: int, width: int, channels: int) -> int:
        """Return the cells a side for maps of this size: at least 1, at most the map's shorter side."""
        sides = range(1, min(height, width) + 1)
        return min(sides, key=lambda side: (abs(side * side * channels - self.num_values), side))

    def __call__(self, maps: tf.Tensor) -> tf.Tensor:
        """Pool maps (batch, h, w, channels) to float32 (batch, grid * grid * channels)."""
        maps = tf.cast(maps, tf.float32)
        _, height, width, channels = maps.shape
        side = self.grid(height, width, channels)
        if self.kind == "max":
            pooled = _max_over(_max_over(maps, side, axis=1), side, axis=2)
        else:
            pooled = _averages(maps, side)
        return tf.reshape(pooled, (-1, side * side * channels))  # from (batch, side, side, channels)


def bins(side: int, size: int) -> list[tuple[int, int]]:
    """Return (start, stop) of the pixels, of `size`, that each of `side` cells touches.

    Where `side` does not divide `size`, neighbours overlap by a pixel (the usual adaptive pooling).
    """
    return [(cell * size // side, -(-(cell + 1) * size // side)) for cell in range(side)]


def _averages(maps: tf.Tensor, side: int) -> tf.Tensor:
    """Pool (batch, h, w, channels) to (batch, side, side, channels), several times faster than one `einsum`."""
    _, height, width, channels = maps.shape
    if height % side == 0 and width % side == 0:
        cell = (height // side, width // side)
        return tf.nn.avg_pool2d(maps, cell, cell, "VALID") if max(cell) > 1 else maps
    # (side, h) @ (batch, h, w * channels)
    rows = tf.matmul(_averaging(side, height), tf.reshape(maps, (-1, height, width * channels)))
    # (side, w) @ (batch, side, w, channels)
    return tf.matmul(_averaging(side, width), tf.reshape(rows, (-1, side, width, channels)))


def _averaging(side: int, size: int) -> np.ndarray:
    """Return float32 (side, size): row i averages the pixels of cell i."""
    weights = np.zeros((side, size), np.float32)
    for cell, (start, stop) in enumerate(bins(side, size)):
        weights[cell, start:stop] = 1 / (stop - start)
    return weights


def _max_over(maps: tf.Tensor, side: int, axis: int) -> tf.Tensor:
    """Pool one axis of `maps` to `side` cells."""
    cells = [tf.gather(maps, tf.range(start, stop), axis=axis) for start, stop in bins(side, maps.shape[axis])]
    return tf.stack([tf.reduce_max(cell, axis=axis) for cell in cells], axis=axis)


def pooled(
    extract: Extractor,
    pooling: Pooling,
    layers: list[str] | None = None,
    share: Callable[[Extractor], Extractor] = share_rows,
) -> Callable[[ImageBatch], dict[str, np.ndarray]]:
    """Return a function from images to vectors by layer.

    Args:
        extract: images to maps. A Keras model or a `tf.function` is run as one graph together with the pooling.
        pooling: makes vectors of maps.
        layers: names to keep, in this order; None: all.
        share: makes the replicas of the open scope share every batch.

    Returns:
        a function of images, float32 (batch, height, width, 3) in [-1, 1], to float32 (batch, values) by layer. It
        raises a `UserError` for a layer that `extract` does not have, and for a value that is not finite.
    """

    def vectors_of(images: ImageBatch) -> dict[str, tf.Tensor]:
        maps = extract(images)
        unknown = [name for name in layers or () if name not in maps]
        if unknown:
            raise UserError(f"unknown layer; allowed: {', '.join(maps)}; received: {', '.join(unknown)}")
        return {name: pooling(maps[name]) for name in layers or maps}

    if isinstance(extract, keras.Model | tf.types.experimental.PolymorphicFunction):
        shared = _full_batches(share(tf.function(vectors_of, autograph=False, reduce_retracing=True)))
    else:
        shared = one_at_a_time(share(vectors_of))

    def checked(images: ImageBatch) -> dict[str, np.ndarray]:
        vectors = {name: np.asarray(values) for name, values in shared(images).items()}
        for name in layers or vectors:
            if not _finite(vectors[name]):
                raise UserError(
                    f"features must be finite; received NaN or infinity in {name}; the weights or the images are "
                    "broken: evaluate an earlier checkpoint, or look at the images' range, which must be [-1, 1]"
                )
        return {name: vectors[name] for name in layers or vectors}  # TensorFlow sorts the names

    return checked


def _full_batches(vectors_of: Extractor) -> Extractor:
    """Return `vectors_of`, called with the largest batch so far: a graph for any number of images is slower.

    A smaller batch, such as the last one, is filled up with copies of its last image.
    """
    largest = 0

    def filled(images: ImageBatch) -> dict[str, tf.Tensor]:
        nonlocal largest
        count = len(images)
        largest = max(largest, count)
        if count < largest:
            images = fill_up(images, largest)
        return {name: values[:count] for name, values in vectors_of(images).items()}

    return filled


def _finite(values: np.ndarray) -> bool:
    """True if all values are finite."""
    # The sum is several times faster than a look at every value. It may overflow though all are finite: only then look.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum()) or np.isfinite(values).all())


def averaged(backbone: Extractor, layer: str = "conv5") -> Callable[[ImageBatch], np.ndarray]:
    """Return a function from images to one layer of a backbone, averaged over the map: float32 (batch, channels).

    Of several workers each runs it alone, on photos of its own.

    Raises:
        UserError: an unknown layer.
    """
    if layer not in LAYERS:
        raise UserError(f"--layer must be one of {', '.join(LAYERS)}; received: {layer}")
    alone = num_workers(tf.distribute.get_strategy()) > 1
    share = (lambda vectors_of: vectors_of) if alone else share_rows
    vectors_of = pooled(backbone, Pooling(num_values=1), [layer], share)  # one cell: the average over the map
    return lambda images: vectors_of(images)[layer]
