"""Two views of an image: crops, colours, draws."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_inputs import inputs_of
from tests.support.pretext_task import make, noise, pictures, positions
from tf_spot.baselines import two_views

NUMBERS = np.random.default_rng(0)


def test_crops_of_views_are_parts_of_the_image() -> None:
    """Of an image whose channels are row and column: sizes as drawn, flipped for half the draws."""
    images = tf.repeat(tf.concat([positions(32), positions(32)[..., :1]], axis=-1), 64, axis=0)
    draws = tf.unstack(tf.constant(NUMBERS.uniform(size=(4, 64)), tf.float32))
    views = two_views.cropped(images, draws).numpy()
    height, width = np.ptp(views[:, :, 0, 0], axis=1) / 31, np.ptp(views[:, 0, :, 1], axis=1) / 31
    area = (height * width).astype(float)
    assert 0.15 < area.min() < 0.35 and area.max() > 0.8 and views.min() >= 0 and views.max() <= 31
    flipped = views[:, 0, 0, 1] > views[:, 0, -1, 1]
    np.testing.assert_array_equal(flipped, draws[3].numpy() < 0.5)


def test_colours_of_views_change_as_drawn() -> None:
    images = noise(NUMBERS, 1, 8, 8, 3) * 0.3
    middle, never = [tf.constant([0.5])] * 4, tf.constant([0.99])
    always = tf.constant([0.0])
    np.testing.assert_allclose(two_views.recoloured(images, [*middle, never, never]), images, atol=1e-5)
    np.testing.assert_allclose(two_views.recoloured(images, [*middle, always, never]), images, atol=1e-4)
    grey = two_views.recoloured(images, [*middle, never, always]).numpy()
    assert np.ptp(grey, axis=-1).max() < 1e-5 and grey.std() > 0.05
    bright = [tf.constant([1.0]), *middle[1:], always, never]
    np.testing.assert_allclose((two_views.recoloured(images, bright) + 1) / (images + 1), 1.4, rtol=1e-3)
    for which in (1, 2, 3):  # contrast, saturation, hue
        draws = list(middle)
        draws[which] = tf.constant([1.0])
        changed = two_views.recoloured(images, [*draws, always, never]).numpy()
        luma = [np.tensordot(x, two_views.YIQ[0], 1) for x in (changed, images.numpy())]
        assert np.abs(changed - images).max() > 0.01
        if which == 1:
            assert luma[0].std() / luma[1].std() == pytest.approx(1.4, rel=0.01)
        else:  # neither saturation nor hue touches the brightness
            np.testing.assert_allclose(luma[0], luma[1], atol=1e-4)


def test_views_are_two_of_every_image_and_functions_of_seed_and_step() -> None:
    images = pictures(3)
    views = two_views.two_views(images, 5, 7).numpy()
    assert views.shape == (6, 32, 32, 3) and np.abs(views).max() <= 1
    np.testing.assert_array_equal(two_views.two_views(images, 5, tf.constant(7)), views)
    np.testing.assert_array_equal(two_views.view(images, 5, 7, two_views.SALTS[1]), views[3:])
    for other in (views[3:], two_views.two_views(images, 6, 7)[:3], two_views.two_views(images, 5, 8)[:3]):
        assert np.abs(other - views[:3]).max(axis=(1, 2, 3)).min() > 0.05


def test_views_are_cropped_and_recoloured() -> None:
    """Taken out: the crops, without which pixels match; or the jitter, without which colours do."""
    colour = tf.constant((0.4, -0.2, 0.1))
    flat = two_views.view(tf.ones((64, 16, 16, 3)) * colour, 0, 0, two_views.SALTS[0])[:, 8, 8]
    assert (np.abs(flat - colour).max(axis=1) > 0.02).mean() > 0.7
    edges = tf.repeat(tf.repeat(tf.sign(positions(32)[..., :1] - 15.5) / 2, 3, axis=-1), 64, axis=0)
    views = two_views.view(edges, 0, 0, two_views.SALTS[0]).numpy()
    assert np.diff(views.mean(axis=(2, 3)), axis=1).argmax(axis=1).std() > 2, "the edge is not always in one row"


@pytest.mark.parametrize("method", ["simclr", "byol", "barlow-twins"])
def test_tasks_see_two_views(method: str) -> None:
    model, images = make(method), pictures(3)
    seen = inputs_of(model.backbone, model, images, step=2)
    np.testing.assert_array_equal(seen, two_views.two_views(images, model.seed, 2))
