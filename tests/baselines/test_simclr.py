"""The SimCLR task: the contrastive loss, crops and colours of views."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_task import check_draws, learn, make, noise, positions
from tf_spot.baselines import simclr

NUMBERS = np.random.default_rng(0)


def test_nt_xent_by_hand() -> None:
    """Two images whose views agree perfectly and are orthogonal to the other's: e^2 / (e^2 + 2)."""
    projections = tf.constant([[3.0, 0.0], [0.0, 1.0], [2.0, 0.0], [0.0, 5.0]])
    metrics = simclr.nt_xent(projections)
    assert float(metrics["pretext_loss"]) == pytest.approx(-np.log(np.exp(2) / (np.exp(2) + 2)), abs=1e-5)
    assert float(metrics["pretext_accuracy"]) == 1


def test_crops_of_views_are_parts_of_the_image() -> None:
    """Of an image whose channels are row and column: sizes as drawn, flipped for half the draws."""
    images = tf.repeat(tf.concat([positions(32), positions(32)[..., :1]], axis=-1), 64, axis=0)
    draws = tf.unstack(tf.constant(NUMBERS.uniform(size=(4, 64)), tf.float32))
    views = simclr.cropped(images, draws).numpy()
    height, width = np.ptp(views[:, :, 0, 0], axis=1) / 31, np.ptp(views[:, 0, :, 1], axis=1) / 31
    area = (height * width).astype(float)
    assert 0.15 < area.min() < 0.35 and area.max() > 0.8 and views.min() >= 0 and views.max() <= 31
    flipped = views[:, 0, 0, 1] > views[:, 0, -1, 1]
    np.testing.assert_array_equal(flipped, draws[3].numpy() < 0.5)


def test_colours_of_views_change_as_drawn() -> None:
    images = noise(NUMBERS, 1, 8, 8, 3) * 0.3
    middle, never = [tf.constant([0.5])] * 4, tf.constant([0.99])
    always = tf.constant([0.0])
    np.testing.assert_allclose(simclr.recoloured(images, [*middle, never, never]), images, atol=1e-5)
    np.testing.assert_allclose(simclr.recoloured(images, [*middle, always, never]), images, atol=1e-4)
    grey = simclr.recoloured(images, [*middle, never, always]).numpy()
    assert np.ptp(grey, axis=-1).max() < 1e-5 and grey.std() > 0.05
    bright = [tf.constant([1.0]), *middle[1:], always, never]
    np.testing.assert_allclose((simclr.recoloured(images, bright) + 1) / (images + 1), 1.4, rtol=1e-3)
    for which in (1, 2, 3):  # contrast, saturation, hue
        draws = list(middle)
        draws[which] = tf.constant([1.0])
        changed = simclr.recoloured(images, [*draws, always, never]).numpy()
        luma = [np.tensordot(x, simclr.YIQ[0], 1) for x in (changed, images.numpy())]
        assert np.abs(changed - images).max() > 0.01
        if which == 1:
            assert luma[0].std() / luma[1].std() == pytest.approx(1.4, rel=0.01)
        else:  # neither saturation nor hue touches the brightness
            np.testing.assert_allclose(luma[0], luma[1], atol=1e-4)


@pytest.mark.slow
def test_simclr_is_learnt() -> None:
    """Slowly: these pictures differ in little but their colours, which the views change."""
    before, after = learn(make("simclr"), 160)["pretext_loss"]
    assert after < 0.96 * before


@pytest.mark.slow
def test_draws_are_functions_of_seed_and_step() -> None:
    check_draws("simclr")
