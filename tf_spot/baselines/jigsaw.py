"""Rival: in which order were the nine tiles?"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import tensorflow as tf

from tf_spot.baselines.patches import cut, whole_numbers
from tf_spot.baselines.pretext import Pretext, classification, head_on
from tf_spot.distributed.replicas import example_uniform
from tf_spot.ops.registry import register

PERMUTATIONS = 64
GREY_SHARE = 0.3  # of the images, made grey


@register
class Jigsaw(Pretext):
    """Tells which permutation of a fixed set was applied to a grid of 3 x 3 tiles.

    What the authors found necessary: each tile is cut at a random place of its cell, so that a gap of changing width
    lies between tiles and edges cannot be followed; each tile is normalised by its own mean and deviation, as
    neighbours have alike ones; some images are grey, against chromatic aberration; and the permutations are chosen far
    apart, so that a few tiles cannot settle the answer. Of two tiles none sees the other before the head.

    Source: Noroozi and Favaro, "Unsupervised learning of visual representations by solving jigsaw puzzles", ECCV 2016.
    Deviation: 64 permutations for the short budgets here, of 1000 there; one head layer after the nine tiles' features
    are joined, in place of a dense layer a tile and two after; no jitter of the colour channels.
    """

    def build_heads(self) -> None:
        side = self.grid_size(tile_size(self.image_size))
        self.permutations = permutation_set(PERMUTATIONS)
        self.head = head_on(self, PERMUTATIONS, 9 * side * side * self.channels)

    def figures(self, images: Any, labels: Any, step: Any, training: bool) -> dict[str, tf.Tensor]:
        batch, size = tf.shape(images)[0], tile_size(self.image_size)
        grey = example_uniform(self.seed, 31, step, batch, ())[:, None, None, None] < GREY_SHARE
        images = tf.where(grey, tf.reduce_mean(images, axis=-1, keepdims=True), images)
        tiles = cut(images, tile_corners(example_uniform(self.seed, 32, step, batch, (9, 2)), self.image_size), size)
        answers = whole_numbers(example_uniform(self.seed, 33, step, batch, ()), PERMUTATIONS)
        shuffled = tf.gather(tiles, tf.gather(self.permutations, answers), batch_dims=1)
        flat = normalised(tf.reshape(shuffled, (-1, size, size, 3)))
        conv5 = self.backbone(flat, training=training)["conv5"]
        return classification(self.head(tf.reshape(conv5, (batch, -1)), training=training), answers)


def tile_size(image_size: int) -> int:
    """Pixels: 64 of a cell's 75, as the authors'."""
    return image_size // 3 * 64 // 75


def tile_corners(jitter: Any, image_size: int) -> tf.Tensor:
    """Upper left corners of nine tiles, row by row, each anywhere in its cell: int32 (batch, 9, 2).

    Args:
        jitter: float32 (batch, 9, 2) in [0, 1).
        image_size: pixels.
    """
    cell = image_size // 3
    corners = tf.constant([(row * cell, column * cell) for row in range(3) for column in range(3)])
    return corners + whole_numbers(jitter, cell - tile_size(image_size) + 1)


def normalised(tiles: Any) -> tf.Tensor:
    """Each tile and channel with mean 0 and deviation 0.5, about that of a photo in [-1, 1]."""
    mean, variance = tf.nn.moments(tiles, axes=(1, 2), keepdims=True)
    return 0.5 * (tiles - mean) * tf.math.rsqrt(variance + 1e-4)


def permutation_set(count: int, seed: int = 0) -> np.ndarray:
    """Permutations of nine that are far apart, int (count, 9).

    The first is drawn; each next one is that of all 9! whose smallest Hamming distance to those chosen is largest, of
    equals the one farthest on average. Source: the authors' algorithm 1, which looks at the average alone.
    """
    every = np.array(list(itertools.permutations(range(9))), np.int8)
    chosen = [int(np.random.default_rng(seed).integers(len(every)))]
    smallest, total = np.full(len(every), 9, np.int64), np.zeros(len(every), np.int64)
    while len(chosen) < count:
        distance = (every != every[chosen[-1]]).sum(axis=1)
        smallest, total = np.minimum(smallest, distance), total + distance
        chosen.append(int(np.argmax(smallest * 1_000_000 + total)))
    return every[chosen].astype(np.int32)
