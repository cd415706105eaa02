"""The colorization task: grey images, and that it is learnt."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_inputs import inputs_of
from tests.support.pretext_task import learn, make, noise
from tf_spot.baselines import colorization
from tf_spot.baselines.colour_code import BINS, colour_bins

NUMBERS = np.random.default_rng(0)


def test_grey_has_no_colour_and_keeps_the_lightness() -> None:
    """Photos of one lightness and any colour look the same to the backbone."""
    images = tf.constant([[[[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]]]])
    np.testing.assert_allclose(colorization.grey(images)[0, 0], [[1, 1, 1], [-1, -1, -1]], atol=1e-3)
    coloured = colorization.grey(noise(NUMBERS, 1, 4, 4, 3)).numpy()
    assert np.ptp(coloured, axis=-1).max() == 0


def test_no_colour_reaches_the_backbone() -> None:
    """Taken out: grey, without which the answer is in the picture."""
    model = make("colorization")
    assert np.ptp(inputs_of(model.backbone, model, noise(NUMBERS, 2, 32, 32, 3)), axis=-1).max() == 0


def test_rare_colours_weigh_more_in_the_loss() -> None:
    """Three red photos and a blue one, and a network that always says red: red and blue cost about the same share.

    Taken out: the weights, without which to be wrong on all that is rare is cheap.
    """
    model = make("colorization")
    images = tf.constant([[[[1.0, -1.0, -1.0]]]] * 3 + [[[[-1.0, -1.0, 1.0]]]]) * tf.ones((1, 32, 32, 1))
    red, blue = colour_bins(images, 1).numpy()[[0, 3], 0, 0]
    model.head.kernel.assign(tf.zeros_like(model.head.kernel))
    model.head.bias.assign(5 * tf.one_hot(red, BINS**2))
    everything = np.log(np.exp(5) + BINS**2 - 1)
    assert red != blue
    loss = float(model.task_metrics(images, None, 0, training=False)["pretext_loss"])
    assert loss == pytest.approx(((everything - 5) + everything) / 2, rel=0.01)


@pytest.mark.slow
def test_colorization_is_learnt() -> None:
    """484 bins; the pictures hold some dozens."""
    metrics = learn(make("colorization"), 80)
    assert metrics["pretext_loss"][1] < 0.8 * metrics["pretext_loss"][0]
