"""The counting task: whole and parts, the margin, traces of downsampling, colours."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_inputs import inputs_of
from tests.support.pretext_task import check_draws, learn, make, noise, one_step, pictures, positions
from tf_spot.baselines import counting

NUMBERS = np.random.default_rng(0)


def test_quarters_are_the_image_row_by_row() -> None:
    image = positions(8)
    upper_left, upper_right, lower_left, lower_right = counting.quarters(image)
    joined = tf.concat([tf.concat([upper_left, upper_right], 2), tf.concat([lower_left, lower_right], 2)], 1)
    np.testing.assert_array_equal(joined, image)


def test_contrast_by_hand() -> None:
    """Photo 0 is counted right and 5 away from photo 1 in squares; photo 1 is off by 1 and 4 away from photo 0."""
    whole, total = tf.constant([[1.0, 0.0], [0.0, 2.0]]), tf.constant([[1.0, 0.0], [1.0, 2.0]])
    metrics = counting.contrast(whole, total)
    assert float(metrics["pretext_loss"]) == pytest.approx((0 + (10 - 5) + 1 + (10 - 4)) / 2)
    assert float(metrics["pretext_accuracy"]) == 1


def test_counts_are_not_negative() -> None:
    """Taken out: the ReLU, without which the head's numbers are of both signs."""
    model = make("counting")
    assert float(tf.reduce_min(model.counts(noise(NUMBERS, 8, 16, 16, 3), training=True))) == 0


def test_counting_nothing_is_no_solution(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken out: the margin, without which counts of zero have the loss zero."""
    nothing = tf.zeros((4, 8))
    assert float(counting.contrast(nothing, nothing)["pretext_loss"]) == 10
    monkeypatch.setattr(counting, "MARGIN", 0.0)
    assert float(counting.contrast(nothing, nothing)["pretext_loss"]) == 0


def test_the_whole_is_made_smaller_in_four_ways() -> None:
    """Taken out: the draw of the method, without which equal photos have equal wholes."""
    image = noise(NUMBERS, 1, 32, 32, 3)
    model = make("counting")
    seen = inputs_of(model.backbone, model, tf.repeat(image, 128, axis=0))
    assert seen.shape == (5 * 128, 16, 16, 3) and np.abs(seen).max() <= 1
    wholes = np.unique(np.round(tf.reduce_mean(tf.square(seen[:128]), axis=(1, 2)), 4), axis=0)
    assert len(wholes) == 2 * 4  # by four methods, grey or not
    means = tf.reduce_mean(seen, axis=(1, 2, 3))  # of any method: the whole keeps the photo's brightness
    np.testing.assert_allclose(means[:128], tf.reduce_mean(image), atol=0.03)


def test_each_method_is_its_own() -> None:
    image = noise(NUMBERS, 1, 16, 16, 3)
    small = counting.downsampled(tf.repeat(image, 4, axis=0), tf.constant([3, 0, 1, 2]))
    np.testing.assert_allclose(small[1], tf.nn.avg_pool2d(image, 2, 2, "VALID")[0], atol=1e-6)
    differences = np.abs(small[:, None] - small[None]).mean(axis=(2, 3, 4))
    assert differences[np.triu_indices(4, 1)].min() > 0.01


def test_most_photos_are_grey_the_whole_with_its_parts() -> None:
    """Taken out: the grey photos, without which every picture has colours."""
    model = make("counting")
    seen = inputs_of(model.backbone, model, noise(NUMBERS, 64, 32, 32, 3)).numpy()
    grey = (np.ptp(seen, axis=-1).max(axis=(1, 2)) < 1e-5).reshape(5, 64)
    assert (grey == grey[0]).all() and 0.5 < grey[0].mean() < 0.83


def test_a_counting_model_is_saved_and_loaded(tmp_path) -> None:
    model, images = make("counting"), pictures(4)
    one_step(model, images)
    model.save(tmp_path / "counting.keras")
    again = keras.saving.load_model(tmp_path / "counting.keras", compile=False)
    expected, loaded = (one.task_metrics(images, None, 0, training=False) for one in (model, again))
    assert float(loaded["pretext_loss"]) == pytest.approx(float(expected["pretext_loss"]), abs=1e-5)


@pytest.mark.slow
def test_counting_is_learnt() -> None:
    """Chance: one half; and the loss of counting nothing is 10."""
    metrics = learn(make("counting"), 120)
    assert metrics["pretext_accuracy"][1] > 0.8 and metrics["pretext_loss"][1] < 8


@pytest.mark.slow
def test_draws_are_functions_of_seed_and_step() -> None:
    check_draws("counting")
