"""The split-brain task: what each half sees, what it is asked, what transfers."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from skimage.color import lab2rgb

from tests.support.pretext_task import learn, make, one_step, pictures
from tf_spot.baselines.colour_code import colour_bins, lightness_bins
from tf_spot.models.backbones import LabHalves

NUMBERS = np.random.default_rng(0)


def of_lab(lightness: np.ndarray, colours: np.ndarray) -> tf.Tensor:
    """Return images in [-1, 1] from L (batch, 32, 32) in [40, 60] and a, b (batch, 32, 32, 2) in [-15, 15].

    All such colours exist in sRGB, so nothing is clipped.
    """
    return tf.constant(2 * lab2rgb(np.concatenate([lightness[..., None], colours], axis=-1)) - 1, tf.float32)


def parts(count: int = 2) -> tuple[np.ndarray, np.ndarray]:
    return NUMBERS.uniform(40, 60, (count, 32, 32)), NUMBERS.uniform(-15, 15, (count, 32, 32, 2))


def test_no_half_sees_its_own_target() -> None:
    """Other colours leave the maps of the lightness as they are, another lightness those of the colours."""
    backbone = make("split-brain").backbone
    (lightness, colours), (other_lightness, other_colours) = parts(), parts()
    maps = [
        {name: np.split(value, 2, axis=-1) for name, value in backbone(images).items()}
        for images in (of_lab(lightness, colours), of_lab(lightness, other_colours), of_lab(other_lightness, colours))
    ]
    for name in ("conv1", "conv5"):
        before, recoloured, relit = (one[name] for one in maps)
        scale = [np.abs(half).max() for half in before]
        assert np.abs(recoloured[0] - before[0]).max() < 0.02 * scale[0] < np.abs(relit[0] - before[0]).max(), name
        assert np.abs(relit[1] - before[1]).max() < 0.02 * scale[1] < np.abs(recoloured[1] - before[1]).max(), name


def test_each_half_is_asked_for_what_the_other_one_sees() -> None:
    """With one head silenced to equal logits, its loss is the logarithm of its classes and the other one's gradient
    reaches its own half alone."""
    model, images = make("split-brain"), pictures(4)
    for head, half, other in (
        (model.colour_head, model.backbone.lightness, model.backbone.colour),
        (model.lightness_head, model.backbone.colour, model.backbone.lightness),
    ):
        weights = model.get_weights()
        silenced = model.lightness_head if head is model.colour_head else model.colour_head
        silenced.kernel.assign(tf.zeros_like(silenced.kernel))
        with tf.GradientTape() as tape:
            loss = model.task_metrics(images, None, 0, training=True)["pretext_loss"]
        own, foreign = tape.gradient(loss, [half.first_conv.kernel, other.first_conv.kernel])
        assert np.abs(own).max() > 0 and (foreign is None or np.abs(foreign).max() == 0)
        model.set_weights(weights)


def test_the_loss_is_the_sum_and_the_accuracy_the_mean_of_both() -> None:
    model, images = make("split-brain"), pictures(4)
    for head in (model.colour_head, model.lightness_head):
        head.kernel.assign(tf.zeros_like(head.kernel))
    # With equal logits the answer is class 0: a colour that no picture has, and black.
    metrics = model.task_metrics(images, None, 0, training=False)
    assert float(metrics["pretext_loss"]) == pytest.approx(np.log(484) + np.log(50), rel=1e-5)
    black = float(np.mean(lightness_bins(images, 8).numpy() == 0))
    assert float(metrics["colour_accuracy"]) == 0 and float(metrics["lightness_accuracy"]) == pytest.approx(black)
    assert float(metrics["pretext_accuracy"]) == pytest.approx(black / 2)


def test_a_split_model_is_saved_and_loaded(tmp_path: Path) -> None:
    """Loaded, its halves are taken as they are and not split again."""
    model, images = make("split-brain"), pictures(4)
    one_step(model, images)
    model.save(tmp_path / "split.keras")
    again = keras.saving.load_model(tmp_path / "split.keras", compile=False)
    assert isinstance(again.backbone, LabHalves) and again.channels == model.channels
    expected, loaded = (one.task_metrics(images, None, 0, training=False) for one in (model, again))
    for name, value in expected.items():
        assert float(loaded[name]) == pytest.approx(float(value), abs=1e-6)


def entropy(bins: tf.Tensor) -> float:
    """Return the cross entropy of the best constant answer."""
    shares = np.unique(bins, return_counts=True)[1] / tf.size(bins).numpy()
    return float(-np.sum(shares * np.log(shares)))


@pytest.mark.slow
def test_both_sides_are_learnt() -> None:
    """Better than any constant answer, which is chance here."""
    images = pictures(16 * 8)
    colours, lightness = colour_bins(images, 8), lightness_bins(images, 8)
    metrics = learn(make("split-brain"), 240)
    assert metrics["pretext_loss"][1] < 0.9 * (entropy(colours) + entropy(lightness))
    for bins, name in ((colours, "colour_accuracy"), (lightness, "lightness_accuracy")):
        most_frequent = np.unique(bins, return_counts=True)[1].max() / tf.size(bins).numpy()
        assert metrics[name][1] > 1.2 * most_frequent, name
