"""The colorization task: grey images, and that it is learnt."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_task import learn, make, noise
from tf_spot.baselines import colorization

NUMBERS = np.random.default_rng(0)


def test_grey_has_no_colour_and_keeps_the_lightness() -> None:
    """Photos of one lightness and any colour look the same to the backbone."""
    images = tf.constant([[[[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]]]])
    np.testing.assert_allclose(colorization.grey(images)[0, 0], [[1, 1, 1], [-1, -1, -1]], atol=1e-3)
    coloured = colorization.grey(noise(NUMBERS, 1, 4, 4, 3)).numpy()
    assert np.ptp(coloured, axis=-1).max() == 0


@pytest.mark.slow
def test_colorization_is_learnt() -> None:
    """484 bins; the pictures hold some dozens."""
    metrics = learn(make("colorization"), 80)
    assert metrics["pretext_loss"][1] < 0.8 * metrics["pretext_loss"][0]
