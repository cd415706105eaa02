"""Baseline: predict the order of nine shuffled tiles."""

from __future__ import annotations

import itertools

import numpy as np
import tensorflow as tf

from tf_spot.baselines.patches import cut, normalised, whole_numbers
from tf_spot.baselines.pretext import Pretext, classification, head_on
from tf_spot.distributed.replicas import example_uniform
from tf_spot.ops.registry import register

PERMUTATIONS = 64
GREY_SHARE = 0.3  # of the images, made grey


@register
class Jigsaw(Pretext):
    """Classifies which permutation of a fixed set was applied to a grid of 3 x 3 tiles.

    The authors' precautions: each tile is cut at a random offset in its cell, so that a gap of varying width lies
    between tiles and edges cannot be followed; each tile is normalised by its own mean and deviation, as those of
    neighbours are alike; some images are grey, against chromatic aberration; and the permutations are far apart, so
    that a few tiles do not determine the order. The backbone sees each tile alone; only the head sees all nine.

    Source: Noroozi and Favaro, "Unsupervised learning of visual representations by solving jigsaw puzzles", ECCV 2016.
    Deviation: 64 permutations for the short budgets here, of 1000 there; one head layer after the nine tiles' features
    are joined, in place of a dense layer per tile and two after; no jitter of the colour channels.
    """

    def build_heads(self) -> None:
        side = self.grid_size(tile_size(self.image_size))
        self.permutations = permutation_set(PERMUTATIONS)
        self.head = head_on(self, PERMUTATIONS, 9 * side * side * self.channels)

    def task_metrics(
        self, images: tf.Tensor, labels: tf.Tensor | None, step: tf.Tensor | int, training: bool
    ) -> dict[str, tf.Tensor]:
        """Return cross entropy and accuracy over the permutations: float32 scalars."""
        batch, size = tf.shape(images)[0], tile_size(self.image_size)
        grey = example_uniform(self.seed, 31, step, batch, ())[:, None, None, None] < GREY_SHARE
        images = tf.where(grey, tf.reduce_mean(images, axis=-1, keepdims=True), images)
        corners = tile_corners(example_uniform(self.seed, 32, step, batch, (9, 2)), self.image_size)
        tiles = cut(images, corners, size)  # (batch, 9, size, size, 3)
        orders = whole_numbers(example_uniform(self.seed, 33, step, batch, ()), PERMUTATIONS)
        shuffled = tf.gather(tiles, tf.gather(self.permutations, orders), batch_dims=1)
        flat = normalised(tf.reshape(shuffled, (-1, size, size, 3)))  # (9 batch, size, size, 3)
        conv5 = self.backbone(flat, training=training)["conv5"]
        # The nine maps of an image become one vector: (batch, 9 * side * side * channels).
        return classification(self.head(tf.reshape(conv5, (batch, -1)), training=training), orders)


def tile_size(image_size: int) -> int:
    """Return a tile's side in pixels: 64 of a cell's 75, as the authors'."""
    return image_size // 3 * 64 // 75


def tile_corners(jitter: tf.Tensor, image_size: int) -> tf.Tensor:
    """Return the upper left corners of nine tiles, row by row, each anywhere in its cell.

    Args:
        jitter: float32 (batch, 9, 2) in [0, 1).
        image_size: pixels.

    Returns:
        int32 (batch, 9, 2): row and column.
    """
    cell = image_size // 3
    corners = tf.constant([(row * cell, column * cell) for row in range(3) for column in range(3)])  # (9, 2)
    return corners + whole_numbers(jitter, cell - tile_size(image_size) + 1)


def permutation_set(count: int, seed: int = 0) -> np.ndarray:
    """Choose permutations of nine that are far apart.

    The first is drawn; each next one is that of all 9! whose smallest Hamming distance to those chosen is largest, of
    equals the one farthest on average.

    Returns:
        int32 (count, 9), each row a permutation of 0 ... 8.

    Source: the authors' algorithm 1, which looks at the average alone.
    """
    every = np.array(list(itertools.permutations(range(9))), np.int8)  # (9!, 9)
    chosen = [int(np.random.default_rng(seed).integers(len(every)))]
    smallest, total = np.full(len(every), 9, np.int64), np.zeros(len(every), np.int64)
    while len(chosen) < count:
        distance = (every != every[chosen[-1]]).sum(axis=1)
        smallest, total = np.minimum(smallest, distance), total + distance
        # The factor is larger than any sum of distances: the sum decides between equal minima only.
        chosen.append(int(np.argmax(smallest * 1_000_000 + total)))
    return every[chosen].astype(np.int32)
