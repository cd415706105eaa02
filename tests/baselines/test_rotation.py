"""The rotation task: quarter turns, learning to tell them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_task import learn, make
from tf_spot.baselines.rotation import four_rotations


def test_four_rotations_are_quarter_turns_counter_clockwise() -> None:
    image = tf.reshape(tf.range(4.0), (1, 2, 2, 1))  # 0 1 / 2 3
    rotated, turns = four_rotations(tf.concat([image, image + 10], axis=0))
    np.testing.assert_array_equal(turns, [0, 0, 1, 1, 2, 2, 3, 3])
    np.testing.assert_array_equal(rotated[0, ..., 0], [[0, 1], [2, 3]])
    np.testing.assert_array_equal(rotated[2, ..., 0], [[1, 3], [0, 2]])
    np.testing.assert_array_equal(rotated[7, ..., 0], [[12, 10], [13, 11]])


@pytest.mark.slow
def test_rotation_is_learnt() -> None:
    """Chance: 1/4 of the rotations."""
    assert learn(make("rotation"), 60)["pretext_accuracy"][1] > 0.6
