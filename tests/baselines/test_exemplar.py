"""The exemplar task: photos as classes, and triplets where they are too many."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_task import learn, make, pictures
from tf_spot.baselines import exemplar
from tf_spot.baselines.pretext import Pretext


def test_triplets_by_hand() -> None:
    """Two photos of two patches. Equal patches of one photo at right angles to the other's: 0 - 2 + 0.5 is below 0."""
    apart = tf.constant([[2.0, 0.0], [0.0, 3.0], [1.0, 0.0], [0.0, 1.0]])
    photos = tf.constant([4, 7, 4, 7])
    metrics = exemplar.triplets(apart, photos)
    assert float(metrics["pretext_loss"]) == 0 and float(metrics["pretext_accuracy"]) == 1
    mixed = tf.gather(apart, [0, 1, 3, 2])  # each patch is nearer to one of the other photo
    metrics = exemplar.triplets(mixed, photos)
    # Distance 2 to its own; 0 and 2 to the other's two: 2.5 and 0.5.
    assert float(metrics["pretext_loss"]) == pytest.approx(1.5, abs=1e-5)
    assert float(metrics["pretext_accuracy"]) == 0


def test_one_answer_for_all_photos_costs_the_margin() -> None:
    metrics = exemplar.triplets(tf.ones((6, 4)), tf.constant([0, 1, 2, 0, 1, 2]))
    assert float(metrics["pretext_loss"]) == pytest.approx(exemplar.MARGIN)
    assert float(metrics["pretext_accuracy"]) == 0


def test_patches_of_one_photo_are_never_negatives() -> None:
    """Also where a photo is twice in a batch, at the turn of an epoch."""
    metrics = exemplar.triplets(tf.random.stateless_uniform((4, 3), (0, 0)), tf.constant([5, 5, 5, 5]))
    assert float(metrics["pretext_loss"]) == 0 and float(metrics["pretext_accuracy"]) == 0


def test_the_number_of_photos_decides_the_form() -> None:
    few, many = (make("exemplar", classes=exemplar.MOST_CLASSES + more) for more in (0, 1))
    assert few.head.logits.kernel.shape[-1] == exemplar.MOST_CLASSES and not few.by_triplets
    assert many.head.logits.kernel.shape[-1] == exemplar.EMBEDDING and many.by_triplets
    with pytest.raises(ValueError, match="number of photos"):
        make("exemplar")


def losses(model: Pretext, *steps: int) -> list[float]:
    photos = tf.range(8)
    return [float(model.task_metrics(pictures(8), photos, step, training=False)["pretext_loss"]) for step in steps]


@pytest.mark.parametrize("classes", [8, 100_000])
def test_draws_are_functions_of_seed_and_step(classes: int) -> None:
    model, other = (make("exemplar", seed=seed, classes=classes) for seed in (5, 6))
    first, again, later = losses(model, 3, 3, 4)
    assert first == again != later
    other.set_weights(model.get_weights())
    assert losses(other, 3)[0] != first


@pytest.mark.slow
def test_classes_are_learnt() -> None:
    """Chance: 1/128 of the photos."""
    metrics = learn(make("exemplar", classes=128), 240, tf.range(128))
    assert metrics["pretext_accuracy"][1] > 5 / 128


@pytest.mark.slow
def test_triplets_are_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chance: 1/2 of the triplets."""
    monkeypatch.setattr(exemplar, "MOST_CLASSES", 100)
    metrics = learn(make("exemplar", classes=128), 120, tf.range(128))
    assert metrics["pretext_accuracy"][1] > 0.7
    assert metrics["pretext_loss"][1] < 0.8 * exemplar.MARGIN


@pytest.mark.parametrize("classes", [8, 100_000])
def test_the_whole_model_is_saved_and_loaded(tmp_path, classes: int) -> None:
    model, images, photos = make("exemplar", classes=classes), pictures(4), tf.range(4)
    model.train_step((images, photos))
    model.save(tmp_path / "exemplar.keras")
    again = keras.saving.load_model(tmp_path / "exemplar.keras", compile=False)
    expected, loaded = (one.task_metrics(images, photos, 0, training=False) for one in (model, again))
    assert float(loaded["pretext_loss"]) == pytest.approx(float(expected["pretext_loss"]), abs=1e-5)
    np.testing.assert_array_equal(again.backbone.first_conv.kernel, model.backbone.first_conv.kernel)
