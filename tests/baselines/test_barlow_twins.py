"""The Barlow Twins task: correlations of outputs, and what keeps the outputs different from each other."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_task import check_draws, learn, make, noise, one_step, pictures
from tf_spot.baselines import barlow_twins
from tf_spot.baselines.pretext import Pretext

NUMBERS = np.random.default_rng(0)


def test_correlations_are_those_of_numpy() -> None:
    first, second = noise(NUMBERS, 9, 3), noise(NUMBERS, 9, 3) * 4 + 1
    found = barlow_twins.correlations(barlow_twins.normalised(first), barlow_twins.normalised(second))
    np.testing.assert_allclose(found, np.corrcoef(first.numpy().T, second.numpy().T)[:3, 3:], atol=1e-4)


def test_the_loss_by_hand() -> None:
    """Two outputs: equal views that say different things cost nothing, the same thing twice costs the redundancy."""
    different = barlow_twins.normalised(tf.constant([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]))
    twice = tf.repeat(different[:, :1], 2, axis=1)
    assert float(barlow_twins.correlation_loss(different, different, 0.1)) == pytest.approx(0, abs=1e-6)
    assert float(barlow_twins.correlation_loss(twice, twice, 0.1)) == pytest.approx(2 * 0.1, abs=1e-5)
    # Opposite views: (1 - -1)^2 for each of two outputs.
    assert float(barlow_twins.correlation_loss(different, -different, 0.1)) == pytest.approx(2 * 4, abs=1e-3)


def test_a_constant_is_no_answer() -> None:
    """Outputs that are the same for all images do not agree between views, however small their noise is."""
    outputs = 5 + 1e-6 * noise(NUMBERS, 8, 4)
    normalised = barlow_twins.normalised(outputs)
    assert float(barlow_twins.correlation_loss(normalised, normalised)) > 4 * 0.9


def test_the_task_normalises_the_outputs_of_each_view(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken out: the normalisation in the task, without which the loss depends on how large the outputs are."""
    model, outputs, losses = make("barlow-twins"), noise(NUMBERS, 16, barlow_twins.PROJECTION), []
    for changed in (outputs, 3 * outputs + 5):
        monkeypatch.setattr(model, "projection", lambda pooled, training, changed=changed: changed)
        losses.append(float(model.task_metrics(pictures(8), None, 0, training=False)["pretext_loss"]))
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_the_task_minimises_the_redundancy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken out: the redundancy term, without which outputs that all say one thing cost nothing.

    All outputs are one number of mean 0 and variance 1, the same for both views.
    """
    model, size = make("barlow-twins"), barlow_twins.PROJECTION
    same = tf.tile([[1.0], [-1.0]], (8, size))
    monkeypatch.setattr(model, "projection", lambda pooled, training: same)
    loss = float(model.task_metrics(pictures(8), None, 0, training=False)["pretext_loss"])
    assert loss == pytest.approx(barlow_twins.REDUNDANCY * size * (size - 1), rel=1e-3)


def redundancy(model: Pretext) -> float:
    """Return the mean squared correlation between two different outputs over pictures, 0 to 1."""
    maps = model.backbone(pictures(128, seed=1), training=True)["conv5"]
    outputs = model.projection(tf.reduce_mean(maps, axis=(1, 2)), training=True).numpy()
    squares = np.square(np.corrcoef(outputs.T))
    return float((squares.sum() - np.trace(squares)) / (squares.size - len(squares)))


@pytest.mark.slow
def test_barlow_twins_are_learnt_and_without_the_redundancy_term_say_one_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chance: 1/16 of the images."""
    model = make("barlow-twins")
    metrics = learn(model, 80)
    whole = barlow_twins.correlation_loss
    monkeypatch.setattr(barlow_twins, "correlation_loss", lambda first, second: whole(first, second, 0.0))
    careless = make("barlow-twins")
    learn(careless, 80)
    assert metrics["pretext_loss"][1] < 0.95 * metrics["pretext_loss"][0]
    assert metrics["pretext_accuracy"][1] > 3 / 16
    assert redundancy(careless) > 2 * redundancy(model)


@pytest.mark.slow
def test_draws_are_functions_of_seed_and_step() -> None:
    check_draws("barlow-twins")


def test_the_whole_model_is_saved_and_loaded(tmp_path) -> None:
    model, images = make("barlow-twins"), pictures(4)
    one_step(model, images)
    model.save(tmp_path / "twins.keras")
    again = keras.saving.load_model(tmp_path / "twins.keras", compile=False)
    expected, loaded = (one.task_metrics(images, None, 0, training=False) for one in (model, again))
    assert float(loaded["pretext_loss"]) == pytest.approx(float(expected["pretext_loss"]), rel=1e-5)
