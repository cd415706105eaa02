"""Patches cut from images, and integers from uniform draws."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tests.support.pretext_task import positions
from tf_spot.baselines.patches import cut, whole_numbers


def test_cut_takes_the_patch_below_and_right_of_its_corner() -> None:
    images = tf.concat([positions(6), positions(6) + 100], axis=0)
    patches = cut(images, tf.constant([[[0, 0], [3, 1]], [[4, 4], [2, 0]]]), 2)
    assert patches.shape == (2, 2, 2, 2, 2)
    np.testing.assert_array_equal(patches[0, 1, ..., 0], [[3, 3], [4, 4]])
    np.testing.assert_array_equal(patches[0, 1, ..., 1], [[1, 2], [1, 2]])
    np.testing.assert_array_equal(patches[1, 0, ..., 0], [[104, 104], [105, 105]])


def test_whole_numbers_fill_their_range() -> None:
    np.testing.assert_array_equal(whole_numbers(tf.constant([0.0, 0.34, 0.67, 0.9999999]), 3), [0, 1, 2, 2])
