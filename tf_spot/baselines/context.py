"""Baseline: predict where one patch lies relative to another."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from tf_spot.baselines.patches import cut, normalised, whole_numbers
from tf_spot.baselines.pretext import Pretext, classification, head_on
from tf_spot.distributed.replicas import example_uniform
from tf_spot.ops.registry import register

# The eight neighbours of a patch, (row, column) offsets in units of a patch and a gap.
NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
GRID = tuple((row, column) for row in range(3) for column in range(3))  # the patches of an image
# All pairs of neighbouring patches, as (first, second, which neighbour of the first the second is).
PAIRS = np.array(
    [
        (GRID.index(first), GRID.index(second), neighbour)
        for first in GRID
        for neighbour, (down, right) in enumerate(NEIGHBOURS)
        if (second := (first[0] + down, first[1] + right)) in GRID
    ],
    np.int32,
)  # (40, 3)


@register
class Context(Pretext):
    """Classifies which of its eight neighbours a patch is, from the pair of them.

    Nine patches of every image, each a quarter of the image's side, are passed through the backbone once, and make 40
    pairs of neighbours. As with the authors, one patch is thus in several pairs: with one pair per image a short
    training learns next to nothing.

    The authors' precautions, without which the network matches edges, textures and lenses instead of objects: a gap of
    half a patch between neighbours; jitter of every patch, by up to a quarter of the gap; pairs from all over the
    image, so that the place of one patch does not tell where the other is; and dropped colours, all but one channel of
    each patch replaced by noise of a hundredth of the kept channel's deviation, as chromatic aberration reveals the
    position in the image. Also, each patch is normalised by its own mean and deviation, as those of neighbours are
    alike (Noroozi and Favaro, ECCV 2016).

    Source: Doersch, Gupta and Efros, "Unsupervised visual representation learning by context prediction", ICCV 2015.
    Deviation: the grid of patches is always in the middle of the image and has nine, there it is larger and displaced;
    jitter is an eighth of the patch, inwards alone where the grid reaches the image's border, there it was 7 of 96
    pixels; patches are not made coarse at random. The corners of the grid have fewer neighbours than its middle: always
    to answer with the commonest neighbour is right in 6 of 40.
    """

    def build_heads(self) -> None:
        side = self.grid_size(patch_size(self.image_size))
        self.head = head_on(self, len(NEIGHBOURS), 2 * side * side * self.channels)

    def task_metrics(
        self, images: tf.Tensor, labels: tf.Tensor | None, step: tf.Tensor | int, training: bool
    ) -> dict[str, tf.Tensor]:
        """Return cross entropy and accuracy over the eight neighbours: float32 scalars."""
        batch, size = tf.shape(images)[0], patch_size(self.image_size)
        corners = patch_corners(example_uniform(self.seed, 22, step, batch, (len(GRID), 2)), self.image_size)
        patches = normalised(tf.reshape(cut(images, corners, size), (-1, size, size, 3)))  # (9 batch, size, size, 3)
        kept = whole_numbers(example_uniform(self.seed, 23, step, batch, (len(GRID),)), 3)
        noise = example_uniform(self.seed, 24, step, batch, (len(GRID), size, size, 3))
        patches = drop_colours(patches, tf.reshape(kept, (-1,)), tf.reshape(noise, tf.shape(patches)))
        conv5 = self.backbone(patches, training=training)["conv5"]  # (9 batch, side, side, channels)
        pairs, neighbours = pairs_of(tf.reshape(conv5, (batch, len(GRID), -1)))
        return classification(self.head(pairs, training=training), neighbours)


def patch_size(image_size: int) -> int:
    """Return a patch's side in pixels: three patches and two gaps of half a patch make the image's side."""
    return image_size // 4


def patch_corners(jitter: tf.Tensor, image_size: int) -> tf.Tensor:
    """Return the upper left corners of the patches of an image.

    Args:
        jitter: float32 (batch, 9, 2) in [0, 1).
        image_size: pixels.

    Returns:
        int32 (batch, 9, 2): row and column, in the order of `GRID`.
    """
    size = patch_size(image_size)
    gap, margin = size // 2, (image_size - 3 * size - 2 * (size // 2)) // 2
    furthest = gap // 4
    still = margin + (size + gap) * tf.constant(GRID)  # (9, 2)
    return tf.clip_by_value(still + whole_numbers(jitter, 2 * furthest + 1) - furthest, 0, image_size - size)


def pairs_of(features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Join the features of every two neighbouring patches.

    Args:
        features: float32 (batch, 9, values), in the order of `GRID`.

    Returns:
        pairs, float32 (40 batch, 2 values); which neighbour of its first patch each pair's second is, int32
        (40 batch,).
    """
    first, second, neighbours = PAIRS.T
    pairs = tf.concat([tf.gather(features, first, axis=1), tf.gather(features, second, axis=1)], axis=-1)
    all_neighbours = tf.tile(neighbours, (tf.shape(features)[0],))
    return tf.reshape(pairs, (tf.size(all_neighbours), -1)), all_neighbours


def drop_colours(patches: tf.Tensor, kept: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """Replace all but one channel of each patch by noise.

    Args:
        patches: float32 (batch, size, size, 3).
        kept: int32 (batch,), the channel that stays.
        noise: float32 in [0, 1), like `patches`.

    Returns:
        float32, like `patches`.
    """
    keep = tf.one_hot(kept, 3)[:, None, None, :]  # (batch, 1, 1, 3)
    only = tf.reduce_sum(patches * keep, axis=-1, keepdims=True)  # (batch, size, size, 1)
    deviation = tf.math.reduce_std(only, axis=(1, 2), keepdims=True)
    unit = math.sqrt(3) * (2 * noise - 1)  # of deviation 1
    return patches * keep + (1 - keep) * unit * deviation / 100
