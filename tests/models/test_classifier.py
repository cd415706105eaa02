"""The classifier on the backbone: what it computes, what it lets be trained, and that it survives a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_spot.config import preset
from tf_spot.errors import UserError
from tf_spot.models.backbones import AlexNet
from tf_spot.models.classifier import Classifier
from tf_spot.runs.load import load_classifier
from tf_spot.runs.run import Run

SIZE = 16
CONFIG = preset("tiny").replace(**{"data.image_size": SIZE})


def backbone(norm: str = "batch", seed: int = 0) -> Any:
    keras.utils.set_random_seed(seed)
    return AlexNet(width=0.1, stem_kernel=5, stem_stride=1, trunk_norm=norm, norm_momentum=0.9, norm_epsilon=1e-3)


def images(count: int = 8) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (count, SIZE, SIZE, 3)).astype(np.float32)


def test_logits_are_a_linear_layer_on_all_of_conv5() -> None:
    net = backbone()
    classifier = Classifier(net, ["ant", "bee", "cat"], image_size=SIZE)
    features = net(images())["conv5"].numpy().reshape(8, -1)
    assert classifier.backbone is net and features.shape == (8, 4 * 4 * net.convs[-1].filters)
    kernel, bias = (weight.numpy() for weight in classifier.head.weights)
    assert 0.003 < kernel.std() < 0.006 and not bias.any()
    np.testing.assert_allclose(classifier(images()), features @ kernel, atol=1e-5)


def test_a_file_keeps_all_of_it(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", CONFIG, {"spec": "x", "name": "x", "fingerprint": "0", "counts": {}})
    with pytest.raises(UserError, match="no classifier.keras; make one with: tf-spot evaluate"):
        load_classifier(run)
    classifier = Classifier(backbone("response"), ["ant", "bee"], image_size=SIZE, norms="frozen")
    classifier.save(run.model_path("classifier"))
    loaded = load_classifier(run.path)
    assert (loaded.class_names, loaded.image_size, loaded.norms) == (["ant", "bee"], SIZE, "frozen")
    np.testing.assert_array_equal(loaded(images()), classifier(images()))


def test_large_layers_are_those_of_the_authors_first_code(tmp_path: Path) -> None:
    """At the paper's size, 6 x 6 x 256 values of conv5, their head has 54,575,114 weights."""
    head = 9_216 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 10 + 10  # a norm's shift in place of a bias, and no scale
    assert head == 54_575_114
    classifier = Classifier(backbone(), ["ant", "bee"], image_size=SIZE, hidden_units=(12, 6), dropout_rate=0.25)
    values = 4 * 4 * classifier.backbone.convs[-1].filters
    sizes = [int(np.prod(v.shape)) for layer in (*classifier.hidden, classifier.head) for v in layer.trainable_weights]
    assert sizes == [values * 12, 12, 12 * 6, 6, 6 * 2, 2]
    classifier.save(tmp_path / "classifier.keras")
    loaded = keras.saving.load_model(tmp_path / "classifier.keras", compile=False)
    assert (loaded.hidden_units, loaded.dropout_rate) == ((12, 6), 0.25)
    np.testing.assert_array_equal(loaded(images()), classifier(images()))
    assert not np.array_equal(classifier(images(), training=True), classifier(images()))


@pytest.mark.parametrize("count", [0, 2, 5])
def test_only_the_top_convolutions_and_the_head_are_trained(count: int) -> None:
    classifier = Classifier(backbone(), ["ant", "bee"], image_size=SIZE)
    classifier.train_layers(count)
    classifier.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = [conv.kernel.numpy() for conv in classifier.backbone.convs]
    head = classifier.head.kernel.numpy()
    classifier.train_on_batch(images(), np.arange(8) % 2)
    moved = [not np.array_equal(a, conv.kernel) for a, conv in zip(before, classifier.backbone.convs, strict=True)]
    assert moved == [number >= 5 - count for number in range(5)]
    assert not np.array_equal(head, classifier.head.kernel)


def test_norms_adapt_or_stay() -> None:
    for norms in ("adapt", "frozen"):
        classifier = Classifier(backbone(), ["ant", "bee"], image_size=SIZE, norms=norms)
        classifier.train_layers(0)
        still = classifier(images()).numpy()
        first = classifier(images(), training=True).numpy()
        assert np.allclose(first, still) == (norms == "frozen")
        assert np.allclose(classifier(images()), still) == (norms == "frozen")


def test_mistakes() -> None:
    classifier = Classifier(backbone(), ["ant", "bee"], image_size=SIZE)
    with pytest.raises(UserError, match="0 .* to 5 convolutions can be trained; received: 6"):
        classifier.train_layers(6)
    with pytest.raises(ValueError, match="adapt or frozen"):
        Classifier(backbone(), ["ant"], image_size=SIZE, norms="both")
    assert tf.shape(classifier(images(1))).numpy().tolist() == [1, 2]
