"""Bins of colour and of lightness, and the weights of rare colours."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tf_spot.baselines import colour_code


def test_colour_bins_tell_colours() -> None:
    """Grey is at a = b = 0; the red of sRGB at a 80, b 67, so bins (11 + 8, 11 + 6)."""
    images = tf.constant([[[[1.0, -1.0, -1.0]] * 4] * 4, [[[-1.0] * 3] * 4] * 4])
    bins = colour_code.colour_bins(images, 2).numpy()
    assert bins.shape == (2, 2, 2)
    assert (bins[0] == 19 * 22 + 17).all()
    assert set(np.unique(bins[1] // 22)) <= {10, 11} and set(np.unique(bins[1] % 22)) <= {10, 11}


def test_lightness_bins_tell_dark_from_light() -> None:
    """Black, the middle grey of sRGB at L 53.4, and white, which is no bin of its own above the last."""
    images = tf.constant([[[[-1.0] * 3] * 4] * 4, [[[0.0] * 3] * 4] * 4, [[[1.0] * 3] * 4] * 4])
    bins = colour_code.lightness_bins(images, 2).numpy()
    assert bins.shape == (3, 2, 2)
    assert [np.unique(one).tolist() for one in bins] == [[0], [26], [49]]


def test_rare_colours_weigh_more() -> None:
    """Three cells in four of bin 5: frequencies 3/4 and 1/4, each half mixed with 1/484."""
    weights = colour_code.rarity(tf.constant([[[5, 5], [5, 7]]])).numpy()
    assert weights.mean() == pytest.approx(1)
    assert weights[0, 1, 1] / weights[0, 0, 0] == pytest.approx((0.75 + 1 / 484) / (0.25 + 1 / 484), rel=1e-4)
