"""Features as a Keras model: their values, and what users do with a Keras model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tf_spot.errors import UserError
from tf_spot.inference.feature_extractor import feature_extractor
from tf_spot.models.backbones import Backbone
from tf_spot.runs.load import load_spotter

PHOTOS = np.random.default_rng(1).integers(0, 256, (6, 16, 16, 3), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])
TRAIN: dict[str, Any] = {"optimizer": "sgd", "loss": "sparse_categorical_crossentropy"}


def maps_of(run: Path, photos: np.ndarray = PHOTOS) -> dict[str, np.ndarray]:
    return load_spotter(run).backbone(photos / np.float32(127.5) - 1)


def backbone_of(model: keras.Model) -> Backbone:
    (backbone,) = [layer for layer in model._flatten_layers() if isinstance(layer, Backbone)]
    return backbone


@pytest.mark.parametrize("layer", ["conv1", "conv2", "conv3", "conv4", "conv5"])
def test_every_map_is_that_of_the_backbone(run, layer):
    expected = maps_of(run)[layer].numpy()
    whole, average = feature_extractor(run, layer, pooling=None), feature_extractor(run, layer)
    assert whole.input_shape == average.input_shape == (None, 16, 16, 3)
    assert whole.output_shape == (None, *expected.shape[1:]) and average.output_shape == (None, expected.shape[-1])
    # Scaled to [-1, 1] and back, 255 differs in its last digits.
    np.testing.assert_allclose(whole.predict(PHOTOS, verbose=0), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(average.predict(PHOTOS, verbose=0), expected.mean((1, 2)), rtol=1e-4, atol=1e-4)


def test_it_holds_no_layer_that_the_map_does_not_need(run):
    shallow, deep = feature_extractor(run, "conv2"), feature_extractor(run, "conv5")
    assert len(backbone_of(shallow).stages) == 2 and len(backbone_of(deep).stages) == 5
    assert shallow.count_params() < deep.count_params() / 2


def test_whole_numbers_and_floats_give_the_same(run):
    model = feature_extractor(run)
    floats = model.predict(PHOTOS.astype("float32"), verbose=0)
    np.testing.assert_array_equal(model.predict(PHOTOS, verbose=0), floats)
    given = keras.Input((16, 16, 3), dtype="uint8")
    np.testing.assert_array_equal(keras.Model(given, model(given)).predict(PHOTOS, verbose=0), floats)
    np.testing.assert_allclose(model(PHOTOS), floats, rtol=1e-4, atol=1e-4)  # not as a graph, which rounds differently


def test_frozen_its_weights_and_statistics_stay_under_fit(run):
    extractor = feature_extractor(run)
    before, features = backbone_of(extractor).get_weights(), extractor.predict(PHOTOS, verbose=0)
    model = keras.Sequential([extractor, keras.layers.Dense(3, activation="softmax")])
    model.compile(**TRAIN)
    model.fit(PHOTOS, LABELS, epochs=2, verbose=0)
    assert len(model.trainable_variables) == 2  # the head's
    for ours, theirs in zip(backbone_of(extractor).get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    head = model.layers[-1]
    with_batch_norm_of_inference = keras.ops.softmax(features @ head.kernel + head.bias)
    np.testing.assert_allclose(model(PHOTOS, training=True), with_batch_norm_of_inference, rtol=1e-4, atol=1e-5)


def test_finetuned_its_weights_and_statistics_follow(run):
    """Every weight learns: none of them makes a deeper map, for which there would be no gradient."""
    extractor = feature_extractor(run, "conv3", trainable=True)
    before = backbone_of(extractor).get_weights()
    photos = keras.Input((16, 16, 3))
    model = keras.Model(photos, keras.layers.Dense(3, activation="softmax")(extractor(photos)))
    model.compile(**TRAIN)
    model.fit(PHOTOS, LABELS, epochs=1, verbose=0)
    assert not [ours for ours, theirs in zip(backbone_of(extractor).get_weights(), before, strict=True)
                if np.array_equal(ours, theirs)]  # fmt: skip


def test_it_holds_copies(run):
    spotter = load_spotter(run)
    extractor = feature_extractor(spotter, "conv1")
    backbone_of(extractor).convs[0].kernel.assign_add(keras.ops.ones_like(backbone_of(extractor).convs[0].kernel))
    np.testing.assert_allclose(spotter.backbone(PHOTOS / np.float32(127.5) - 1)["conv1"], maps_of(run)["conv1"])


def test_a_run_its_files_and_their_models_give_the_same(run, tmp_path):
    spotter = load_spotter(run)
    spotter.discriminator.save(tmp_path / "discriminator.keras")
    spotter.backbone.save(tmp_path / "backbone.keras")
    expected = feature_extractor(run).predict(PHOTOS, verbose=0)
    sources = (str(run), run / "spotter.keras", spotter, spotter.discriminator, tmp_path / "discriminator.keras",
               spotter.backbone, tmp_path / "backbone.keras")  # fmt: skip
    for source in sources:
        np.testing.assert_allclose(feature_extractor(source)(PHOTOS), expected, rtol=1e-4, atol=1e-4)
    assert feature_extractor(spotter.backbone).input_shape == (None, None, None, 3)  # it says no size


def test_in_bfloat16_of_the_user_the_features_stay_float32(run):
    expected = feature_extractor(run)(PHOTOS)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        extractor = feature_extractor(run)
        model = keras.Sequential([extractor, keras.layers.Dense(3)])
        np.testing.assert_allclose(extractor(PHOTOS), expected, rtol=1e-4, atol=1e-4)
        assert model(PHOTOS).dtype == "bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")


LOAD = """
import sys
import tf_spot
import keras, numpy as np
model = keras.saving.load_model(sys.argv[1])
photos = np.random.default_rng(1).integers(0, 256, (6, 16, 16, 3), np.uint8)
np.save(sys.argv[2], model.predict(photos, verbose=0))
print(len(model.trainable_variables), model.input_shape, model.optimizer is not None)
"""


@pytest.mark.parametrize(("trainable", "variables"), [(False, 2), (True, 10)])
def test_saved_and_loaded_in_a_fresh_process(run, tmp_path, trainable, variables):
    """Frozen it is frozen there too: Keras' own way of loading would thaw the layers inside."""
    extractor = feature_extractor(run, trainable=trainable)
    model = keras.Sequential([extractor, keras.layers.Dense(3, activation="softmax")])
    model.compile(**TRAIN)
    model.fit(PHOTOS, LABELS, epochs=1, verbose=0)
    assert len(model.trainable_variables) == variables
    model.save(tmp_path / "model.keras")
    command = [sys.executable, "-c", LOAD, str(tmp_path / "model.keras"), str(tmp_path / "answers.npy")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{variables} (None, 16, 16, 3) True"
    np.testing.assert_allclose(np.load(tmp_path / "answers.npy"), model(PHOTOS), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"layer": "conv6"}, "layer must be one of conv1, .*conv5; received: 'conv6'"),
        ({"pooling": "max"}, "pooling must be 'avg' or None; received: 'max'"),
        ({"source": "nowhere"}, "a run folder, a .keras file or a pretrained name .*; received: nowhere"),
    ],
)
def test_mistakes_are_told(run, words, says):
    with pytest.raises(UserError, match=says):
        feature_extractor(**{"source": run} | words)


def test_a_model_without_a_backbone_is_refused(run, tmp_path):
    dense = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    dense.save(tmp_path / "dense.keras")
    with pytest.raises(UserError, match="a spotter, a discriminator.*received: .*dense.keras, Sequential"):
        feature_extractor(tmp_path / "dense.keras")
