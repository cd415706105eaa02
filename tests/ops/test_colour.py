"""Lab colours."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from skimage.color import rgb2lab

from tests.support.pretext_task import noise
from tf_spot.ops.colour import lab

NUMBERS = np.random.default_rng(0)


def test_lab_is_that_of_scikit_image() -> None:
    images = noise(NUMBERS, 2, 5, 5, 3)
    np.testing.assert_allclose(lab(images), rgb2lab((images.numpy() + 1) / 2), atol=0.1)


def test_gradients_are_finite_at_black_and_white() -> None:
    images = tf.constant([[[[-1.0] * 3, [1.0] * 3]]])
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(lab(images))
    assert np.isfinite(tape.gradient(total, images)).all()
