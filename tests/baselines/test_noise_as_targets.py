"""Noise as targets: fixed points, and their exchange within a batch."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_task import learn, make, pictures
from tf_spot.baselines.gradient_images import GradientBackbone
from tf_spot.baselines.noise_as_targets import NoiseAsTargets, best_exchange, unit_noise
from tf_spot.baselines.pretext import Pretext

NUMBERS = np.random.default_rng(0)


def step(model: Pretext, images: tf.Tensor, photos: list[int]) -> None:
    model.train_step((images, tf.constant(photos)))


def test_points_lie_on_the_sphere_and_depend_on_the_seed() -> None:
    points = unit_noise(500, seed=3)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, rtol=1e-5)
    assert np.linalg.norm(points.mean(axis=0)) < 0.1
    np.testing.assert_array_equal(points, unit_noise(500, seed=3))
    assert np.abs(points - unit_noise(500, seed=4)).max() > 0.1


def test_the_exchange_is_the_best_of_all() -> None:
    similarities = NUMBERS.normal(size=(5, 5)).astype(np.float32)
    order = best_exchange(similarities, np.array([7, 2, 9, 4, 0], np.int32))
    sums = {one: similarities[range(5), one].sum() for one in itertools.permutations(range(5))}
    assert tuple(order) == max(sums, key=sums.get) and order.dtype == np.int32


def test_a_photo_that_is_twice_in_a_batch_keeps_to_one_point() -> None:
    """Its first row decides; the point of no other photo is given twice."""
    similarities = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 9]], np.float32)
    np.testing.assert_array_equal(best_exchange(similarities, np.array([5, 3, 5], np.int32)), [1, 0, 1])


def test_training_exchanges_points_and_nothing_else() -> None:
    """Within the batch and one to one. Fails if there is no exchange, or if each photo takes its nearest point."""
    model = make("noise-as-targets", classes=12)
    points = model.points.numpy()
    images, photos = pictures(12), NUMBERS.permutation(12)
    rest = photos[8:]
    for _ in range(3):
        step(model, images[:8], photos[:8].tolist())
        taken = model.point_of_photo.numpy()
        assert sorted(taken) == list(range(12))
        np.testing.assert_array_equal(taken[rest], rest)
    assert (taken != np.arange(12)).any()
    np.testing.assert_array_equal(model.points, points)
    assert {id(model.points), id(model.point_of_photo)}.isdisjoint(map(id, model.trainable_variables))


def test_an_exchange_brings_points_nearer() -> None:
    model = make("noise-as-targets", classes=16)
    images, photos = pictures(16), tf.range(16)
    features = model.features(images, training=True)
    apart = float(tf.reduce_mean(tf.reduce_sum(tf.math.squared_difference(features, model.points), axis=1)))
    near, again = (float(model.task_metrics(images, photos, 0, training=True)["pretext_loss"]) for _ in range(2))
    assert near < apart - 0.05
    assert again == pytest.approx(near, abs=1e-5), "the best exchange is the best one still"


@pytest.mark.slow
def test_in_a_graph_the_exchange_is_the_same() -> None:
    taken = []
    for graph in (False, True):
        model = make("noise-as-targets", classes=4)
        train = tf.function(model.train_step) if graph else model.train_step
        train((pictures(4), tf.range(4)))
        taken.append(model.point_of_photo.numpy())
    np.testing.assert_array_equal(taken[0], taken[1])


def test_the_network_sees_gradients_in_training_and_what_transfers_does_too() -> None:
    """Fails if colours are let in: a tint of the whole photo changes neither the features nor the backbone's maps."""
    model = make("noise-as-targets", classes=4)
    images = pictures(4) * 0.5
    assert isinstance(model.backbone, GradientBackbone)
    tinted = images + tf.constant((0.3, -0.3, 0.2))
    np.testing.assert_allclose(model.features(tinted, False), model.features(images, False), atol=1e-4)
    np.testing.assert_allclose(model(tinted)["conv5"], model(images)["conv5"], atol=1e-3)
    np.testing.assert_allclose(tf.norm(model.features(images, True), axis=1), 1, rtol=1e-5)


def test_it_wants_the_number_of_photos() -> None:
    with pytest.raises(ValueError, match="number of photos"):
        make("noise-as-targets")


@pytest.mark.slow
def test_noise_as_targets_is_learnt() -> None:
    """Chance: 1/16 of the images have their own point nearest."""
    metrics = learn(make("noise-as-targets", classes=128), 160, tf.range(128))
    assert metrics["pretext_accuracy"][1] > 0.5
    assert metrics["pretext_loss"][1] < 0.8 * metrics["pretext_loss"][0]


def test_the_whole_model_is_saved_and_loaded(tmp_path) -> None:
    """With the points as they are exchanged, and not one backbone of gradients within another."""
    model, images = make("noise-as-targets", classes=8), pictures(8)
    step(model, images, list(range(8)))
    model.save(tmp_path / "noise.keras")
    again = keras.saving.load_model(tmp_path / "noise.keras", compile=False)
    assert isinstance(again, NoiseAsTargets) and not isinstance(again.backbone.inner, GradientBackbone)
    np.testing.assert_array_equal(again.point_of_photo, model.point_of_photo)
    np.testing.assert_array_equal(again.points, model.points)
    expected, loaded = (one.task_metrics(images, tf.range(8), 0, training=False) for one in (model, again))
    assert float(loaded["pretext_loss"]) == pytest.approx(float(expected["pretext_loss"]), abs=1e-6)
