"""Patches cut from images, their normalisation, and integers from uniform draws."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tests.support.pretext_task import noise, positions
from tf_spot.baselines.patches import cut, normalised, whole_numbers

NUMBERS = np.random.default_rng(0)


def test_cut_takes_the_patch_below_and_right_of_its_corner() -> None:
    images = tf.concat([positions(6), positions(6) + 100], axis=0)
    patches = cut(images, tf.constant([[[0, 0], [3, 1]], [[4, 4], [2, 0]]]), 2)
    assert patches.shape == (2, 2, 2, 2, 2)
    np.testing.assert_array_equal(patches[0, 1, ..., 0], [[3, 3], [4, 4]])
    np.testing.assert_array_equal(patches[0, 1, ..., 1], [[1, 2], [1, 2]])
    np.testing.assert_array_equal(patches[1, 0, ..., 0], [[104, 104], [105, 105]])


def test_patches_are_normalised_one_by_one() -> None:
    patches = noise(NUMBERS, 4, 8, 8, 3) * tf.constant([0.1, 1.0, 0.5, 0.2])[:, None, None, None] + 0.3
    mean, variance = tf.nn.moments(normalised(patches), axes=(1, 2))
    np.testing.assert_allclose(mean, 0, atol=1e-5)
    np.testing.assert_allclose(np.sqrt(variance), 0.5, rtol=0.02)


def test_whole_numbers_fill_their_range() -> None:
    np.testing.assert_array_equal(whole_numbers(tf.constant([0.0, 0.34, 0.67, 0.9999999]), 3), [0, 1, 2, 2])
