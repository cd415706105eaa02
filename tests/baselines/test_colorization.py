"""The colorization task: Lab, grey images, colour bins and their weights."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from skimage.color import rgb2lab

from tests.support.pretext_task import learn, make, noise
from tf_spot.baselines import colorization

NUMBERS = np.random.default_rng(0)


def test_lab_is_that_of_scikit_image() -> None:
    images = noise(NUMBERS, 2, 5, 5, 3)
    np.testing.assert_allclose(colorization.lab(images), rgb2lab((images.numpy() + 1) / 2), atol=0.1)


def test_grey_has_no_colour_and_keeps_the_lightness() -> None:
    """Photos of one lightness and any colour look the same to the backbone."""
    images = tf.constant([[[[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]]]])
    np.testing.assert_allclose(colorization.grey(images)[0, 0], [[1, 1, 1], [-1, -1, -1]], atol=1e-3)
    coloured = colorization.grey(noise(NUMBERS, 1, 4, 4, 3)).numpy()
    assert np.ptp(coloured, axis=-1).max() == 0


def test_colour_bins_tell_colours() -> None:
    """Grey is at a = b = 0; the red of sRGB at a 80, b 67, so bins (11 + 8, 11 + 6)."""
    images = tf.constant([[[[1.0, -1.0, -1.0]] * 4] * 4, [[[-1.0] * 3] * 4] * 4])
    bins = colorization.colour_bins(images, 2).numpy()
    assert bins.shape == (2, 2, 2)
    assert (bins[0] == 19 * 22 + 17).all()
    assert set(np.unique(bins[1] // 22)) <= {10, 11} and set(np.unique(bins[1] % 22)) <= {10, 11}


def test_rare_colours_weigh_more() -> None:
    """Three cells in four of bin 5: frequencies 3/4 and 1/4, each half mixed with 1/484."""
    weights = colorization.rarity(tf.constant([[[5, 5], [5, 7]]])).numpy()
    assert weights.mean() == pytest.approx(1)
    assert weights[0, 1, 1] / weights[0, 0, 0] == pytest.approx((0.75 + 1 / 484) / (0.25 + 1 / 484), rel=1e-4)


@pytest.mark.slow
def test_colorization_is_learnt() -> None:
    """484 bins; the pictures hold some dozens."""
    metrics = learn(make("colorization"), 80)
    assert metrics["pretext_loss"][1] < 0.8 * metrics["pretext_loss"][0]
