"""The BYOL task: the moving target, and what keeps the answers from becoming one constant."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_task import check_draws, learn, make, one_step, pictures
from tf_spot.baselines import byol
from tf_spot.baselines.byol import BYOL
from tf_spot.baselines.pretext import Pretext
from tf_spot.baselines.two_views import two_views


def target_weights(model: Pretext) -> list[keras.Variable]:
    return [*model.target_backbone.weights, *model.target_projection.weights]


def online_weights(model: Pretext) -> list[keras.Variable]:
    return [*model.backbone.weights, *model.projection.weights]


def test_the_loss_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each view predicts the target of the other one: unit vectors at right angles are at the squared distance 2."""
    model = make("byol")
    monkeypatch.setattr(BYOL, "projected", lambda self, views, training: tf.eye(4, 8))
    monkeypatch.setattr(BYOL, "targets", lambda self, views, training: tf.eye(4, 8) * 3)
    monkeypatch.setattr(model.prediction, "call", lambda inputs, training: inputs)
    metrics = model.task_metrics(pictures(2), None, 0, training=False)
    assert float(metrics["pretext_loss"]) == pytest.approx(2)  # e_i against e_(i + 2)
    assert float(metrics["pretext_accuracy"]) == 1  # its own image's other view is as near as can be
    model.prediction.call = lambda inputs, training: tf.roll(inputs, 2, axis=0)
    assert float(model.task_metrics(pictures(2), None, 0, training=False)["pretext_loss"]) == pytest.approx(0)
    model.prediction.call = lambda inputs, training: tf.roll(inputs, 1, axis=0)  # the other image's
    assert float(model.task_metrics(pictures(2), None, 0, training=False)["pretext_accuracy"]) == 0


def test_the_target_is_the_moving_average_of_the_online_network() -> None:
    """Every weight, batch norm's moving moments included; it begins as a copy."""
    model = make("byol")
    before = [weight.numpy() for weight in target_weights(model)]
    for old, online in zip(before, online_weights(model), strict=True):
        np.testing.assert_array_equal(old, online)
    one_step(model, pictures(4))
    moved = 0
    for old, target, online in zip(before, target_weights(model), online_weights(model), strict=True):
        expected = byol.TAU * old + (1 - byol.TAU) * online.numpy()
        np.testing.assert_allclose(target, expected, rtol=1e-5, atol=1e-7)
        moved += np.abs(online.numpy() - old).max() > 1e-4
    assert moved > 10


def test_no_gradient_and_no_optimizer_reach_the_target() -> None:
    """Fails without `stop_gradient`, and if the target's weights were trainable."""
    model = make("byol")
    targets = [weight.value for weight in target_weights(model)]
    with tf.GradientTape() as tape:
        tape.watch(targets)
        loss = model.task_metrics(pictures(4), None, 0, training=True)["pretext_loss"]
    assert tape.gradient(loss, targets) == [None] * len(targets)
    trained = {id(weight) for weight in model.trainable_variables}
    assert not trained & {id(weight) for weight in target_weights(model)}
    assert trained > {id(weight) for weight in model.backbone.trainable_variables}


def test_the_online_backbone_transfers_and_the_target_does_not() -> None:
    model = make("byol")
    one_step(model, pictures(4))
    maps = model(pictures(2))
    np.testing.assert_allclose(maps["conv5"], model.backbone(pictures(2))["conv5"], atol=1e-6)
    assert np.abs(maps["conv5"] - model.target_backbone(pictures(2))["conv5"]).max() > 1e-4


class WithoutPrecautions(BYOL):
    """The online network learns to agree with itself: neither a predictor nor a target of its own."""

    def build_heads(self):
        super().build_heads()
        self.prediction.trainable = False  # it has no part in the loss
        self.prediction.call = lambda inputs, training: inputs

    def targets(self, views, training):
        return self.projected(views, training)


def unit_targets(model: Pretext) -> np.ndarray:
    """Return the targets of the views of pictures, unit vectors: float32 (128, units)."""
    return tf.math.l2_normalize(model.targets(two_views(pictures(64), model.seed, 0), training=True), axis=-1).numpy()


def spread(model: Pretext) -> float:
    """Return how far apart the targets are: the mean squared distance to their mean, 0 to 1."""
    targets = unit_targets(model)
    return float(np.square(targets - targets.mean(axis=0)).sum(axis=1).mean())


@pytest.mark.slow
def test_byol_is_learnt_and_without_its_precautions_collapses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chance level is the loss of the best constant. Collapsed, all views have one projection and the loss is 0."""
    monkeypatch.setattr(byol, "TAU", 0.9)  # a target that follows within a training of some hundred steps
    model = make("byol")
    learn(model, 120)
    loss = float(model.task_metrics(pictures(64), None, 0, training=True)["pretext_loss"])
    constant = 2 - 2 * np.linalg.norm(unit_targets(model).mean(axis=0))
    monkeypatch.setattr(byol, "BYOL", WithoutPrecautions)
    careless = make("byol")
    collapsed = learn(careless, 80)["pretext_loss"][1]
    assert loss < constant and spread(model) > 0.3
    assert collapsed < 0.05 and spread(careless) < 0.1 * spread(model)


@pytest.mark.slow
def test_draws_are_functions_of_seed_and_step() -> None:
    check_draws("byol")


def test_the_whole_model_is_saved_and_loaded(tmp_path) -> None:
    """The target too, which differs from the online network by then."""
    model, images = make("byol"), pictures(4)
    one_step(model, images)
    model.save(tmp_path / "byol.keras")
    again = keras.saving.load_model(tmp_path / "byol.keras", compile=False)
    expected, loaded = (one.task_metrics(images, None, 0, training=False) for one in (model, again))
    assert float(loaded["pretext_loss"]) == pytest.approx(float(expected["pretext_loss"]), abs=1e-6)
    for old, new in zip(target_weights(model), target_weights(again), strict=True):
        np.testing.assert_array_equal(old, new)
    assert len(again.trainable_variables) == len(model.trainable_variables)
