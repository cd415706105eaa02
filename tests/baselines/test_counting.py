"""The counting task: whole and parts, the margin, traces of downsampling, colours."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_inputs import inputs_of
from tests.support.pretext_task import check_draws, learn, make, noise, one_step, pictures, positions
from tf_spot.baselines import counting
from tf_spot.baselines.patches import normalised

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


def test_the_margin_acts_from_the_first_step() -> None:
    """Taken out: the unit, without which photos begin farther apart than the margin and nothing keeps them there."""
    model, images = make("counting"), pictures(32)
    counts = model.counts(normalised(counting.downsampled(images, tf.zeros(32, tf.int32))), training=True)
    distances = tf.reduce_sum(tf.math.squared_difference(counts, tf.roll(counts, 1, axis=0)), axis=1)
    assert float(tf.reduce_mean(distances)) < counting.MARGIN / 2


def test_the_whole_is_made_smaller_in_three_ways() -> None:
    """Taken out: the draw of the method, without which equal photos have equal wholes."""
    image = noise(NUMBERS, 1, 32, 32, 3)
    model = make("counting")
    seen = inputs_of(model.backbone, model, tf.repeat(image, 128, axis=0))
    assert seen.shape == (5 * 128, 16, 16, 3)
    wholes = np.unique(np.round(seen[:128], 3), axis=0)
    assert len(wholes) == 3


def test_each_method_is_its_own() -> None:
    image = noise(NUMBERS, 1, 16, 16, 3)
    small = counting.downsampled(tf.repeat(image, 3, axis=0), tf.constant([2, 0, 1]))
    np.testing.assert_allclose(small[1], tf.nn.avg_pool2d(image, 2, 2, "VALID")[0], atol=1e-6)
    differences = np.abs(small[:, None] - small[None]).mean(axis=(2, 3, 4))
    assert differences[np.triu_indices(3, 1)].min() > 0.01
    means = tf.reduce_mean(small, axis=(1, 2, 3))  # whatever the method, the photo's brightness is kept
    np.testing.assert_allclose(means, tf.reduce_mean(image), atol=0.03)


def test_downsampling_keeps_what_antialiasing_takes() -> None:
    """Taken out: that there is no antialiasing, without which a whole is less sharp than its parts."""
    image = noise(NUMBERS, 1, 32, 32, 3)
    for method in (1, 2):
        smooth = tf.image.resize(image, (16, 16), counting.DOWNSAMPLINGS[method], antialias=True)
        sharp = counting.downsampled(image, tf.constant([method]))
        assert np.std(sharp) > 1.1 * np.std(smooth)


def test_every_picture_is_normalised() -> None:
    model = make("counting")
    seen = inputs_of(model.backbone, model, 0.3 * noise(NUMBERS, 8, 32, 32, 3) + 0.5)
    np.testing.assert_allclose(tf.reduce_mean(seen, axis=(1, 2)), 0, atol=1e-4)


def test_most_batches_are_grey_all_photos_or_none() -> None:
    """Taken out: grey for a whole batch, without which colour alone tells two photos apart; or grey at all."""
    model, images, grey = make("counting"), noise(NUMBERS, 4, 16, 16, 3), []
    for step in range(60):
        seen = inputs_of(model.backbone, model, images, step).numpy()
        of_each = np.ptp(seen, axis=-1).max(axis=(1, 2)) < 1e-5
        assert of_each.all() or not of_each.any()
        grey.append(of_each[0])
    assert 0.5 < np.mean(grey) < 0.83


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
