"""What pretext tasks share: heads, loss, weight decay, saving."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.own_models import CONV_LAYERS, small_conv
from tests.support.pretext_task import make, one_step, pictures
from tf_spot.baselines import PRETEXTS, pretext_class
from tf_spot.baselines.pretext import Head, Pretext, built, classification
from tf_spot.config import PAPER
from tf_spot.models.backbones import KerasBackbone
from tf_spot.models.layers import BatchNorm


def test_classification_by_hand() -> None:
    """Two examples of two classes, the second one wrong: softmax of (0, ln 3) is (1/4, 3/4)."""
    logits = tf.math.log([[1.0, 3.0], [1.0, 3.0]])
    metrics = classification(logits, tf.constant([1, 0]))
    assert float(metrics["pretext_accuracy"]) == 0.5
    assert float(metrics["pretext_loss"]) == pytest.approx(-(np.log(3 / 4) + np.log(1 / 4)) / 2, abs=1e-6)


def test_a_head_flattens_maps() -> None:
    head = built(Head(units=5, outputs=3, norm_momentum=0.9, norm_epsilon=1e-3), 2, 2, 4)
    assert head.hidden.kernel.shape == (16, 5)
    maps = tf.random.stateless_uniform((6, 2, 2, 4), (0, 0))
    np.testing.assert_array_equal(head(maps), head(tf.reshape(maps, (6, 16))))
    assert head(maps).shape == (6, 3)


def test_a_head_can_leave_its_statistics_alone() -> None:
    head = built(Head(units=5, outputs=3, norm_momentum=0.9, norm_epsilon=1e-3), 4)
    inputs = tf.random.stateless_uniform((6, 4), (0, 0))
    before = head.norm.moving_mean.numpy()
    outputs = head(inputs, training=True, update_statistics=False)
    np.testing.assert_array_equal(head.norm.moving_mean, before)
    np.testing.assert_array_equal(head(inputs, training=True), outputs)
    assert np.abs(head.norm.moving_mean - before).max() > 1e-3


@pytest.mark.parametrize("method", ["rotation", "inpainting", "bigan", "lci", "noise-as-targets"])
def test_heads_beside_a_backbone_without_norm_settings_have_the_papers(method: str) -> None:
    backbone = KerasBackbone(small_conv(stride=4), CONV_LAYERS)
    model = pretext_class(method)(backbone, 32, units=8, classes=4)
    norms = [layer for layer in model._flatten_layers() if type(layer) is BatchNorm]
    assert norms and {(norm.momentum, norm.epsilon) for norm in norms} == {
        (PAPER.network.norm_momentum, PAPER.network.norm_epsilon)
    }


def test_every_pretext_task_is_found_by_its_name() -> None:
    for method, name in PRETEXTS.items():
        assert pretext_class(method).__name__ == name and issubclass(pretext_class(method), Pretext)
        assert "_" not in method


def test_weight_decay_and_heads_are_trained() -> None:
    """One step with a huge weight decay and no other gradient to speak of shrinks every kernel, head included."""
    model = make("rotation", weight_decay=1e4)
    before = {v.path: float(tf.norm(v)) for v in model.trainable_variables if len(v.shape) > 1}
    one_step(model, pictures(4))
    after = {v.path: float(tf.norm(v)) for v in model.trainable_variables if len(v.shape) > 1}
    assert len(before) == 7 and all(after[name] < before[name] for name in before)


def test_a_pretext_model_is_saved_and_loaded(tmp_path) -> None:
    model = make("rotation")
    images = pictures(4)
    one_step(model, images)
    model.save(tmp_path / "rotation.keras")
    again = keras.saving.load_model(tmp_path / "rotation.keras", compile=False)
    expected, loaded = (one.task_metrics(images, None, 0, training=False) for one in (model, again))
    assert float(loaded["pretext_loss"]) == pytest.approx(float(expected["pretext_loss"]), abs=1e-6)
    assert again.units == 32 and again.seed == model.seed
