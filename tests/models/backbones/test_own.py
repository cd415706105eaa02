"""One's own Keras model as a backbone: what it gives, how it is saved, and what is refused with which words."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_spot
from tests.support.own_models import CONV_LAYERS, small_conv, small_vit
from tests.support.small_backbones import MAPS, pictures
from tf_spot.errors import UserError
from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.backbones import KerasBackbone, load_own
from tf_spot.models.classifier import Classifier
from tf_spot.models.discriminator import Discriminator
from tf_spot.models.spotter import ArtifactSpotter

layers = keras.layers
# Keras itself converts its variables in numpy 1's way when it saves.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")


@pytest.fixture(scope="module")
def judge() -> Discriminator:
    """Tests leave it as it was."""
    keras.utils.set_random_seed(0)
    return Discriminator(image_size=32, backbone=small_conv(), layers=CONV_LAYERS, fc_units=8)


# --- maps -------------------------------------------------------------------------------------------------------------


def test_the_named_layers_are_the_five_maps_of_the_same_weights() -> None:
    """Without dropout, batch norm at inference: the values of the model itself, on images in [-1, 1]."""
    model = small_conv()
    backbone = KerasBackbone(model, CONV_LAYERS)
    maps = backbone(pictures(2))
    itself = keras.Model(model.input, [model.get_layer(name).output for name in CONV_LAYERS])(pictures(2))
    assert list(maps) == MAPS and [value.shape[1] for value in maps.values()] == [16, 8, 4, 2, 2]
    for value, expected in zip(maps.values(), itself, strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-5)
    assert backbone.channels == 20 and backbone.grid_size(64) == 4 and backbone.first_conv.kernel.shape == (3, 3, 3, 4)


def test_layers_are_chosen_by_stride_or_are_the_outputs_where_none_are_named() -> None:
    by_stride = KerasBackbone(small_conv())
    assert [by_stride(pictures(1))[name].shape[1] for name in MAPS] == [16, 8, 4, 2, 2]
    vit = KerasBackbone(small_vit(patch=8))
    assert [vit(pictures(1))[name].shape for name in MAPS] == [(1, 4, 4, 16)] * 5
    assert vit.input_size == 32 and by_stride.input_size is None


@pytest.mark.parametrize("name", ["-1..1", "0..1", "0..255", "resnet"])
def test_the_model_takes_what_it_says_it_takes(name: str) -> None:
    """Seen by a model whose maps are copies of its input."""
    inputs = keras.Input((None, None, 3))
    x, taps = inputs, []
    for number in range(5):
        x = layers.MaxPooling2D(1, 2 if number == 0 else 1, name=f"tap{number}")(x)
        taps.append(x)
    seen = KerasBackbone(keras.Model(inputs, taps), preprocess=name)(np.ones((1, 2, 2, 3), np.float32))["conv1"]
    expected = {"-1..1": [1, 1, 1], "0..1": [1, 1, 1], "0..255": [255] * 3, "resnet": [151.061, 138.221, 131.32]}[name]
    np.testing.assert_allclose(seen[0, 0, 0], expected, rtol=1e-4)  # resnet: BGR less the mean


def test_a_model_of_keras_applications_brings_its_preprocessing() -> None:
    model = small_conv(name="resnet50")
    assert KerasBackbone(model, CONV_LAYERS).get_config()["preprocess"] == "resnet"
    assert KerasBackbone(small_conv(name="mine"), CONV_LAYERS).get_config()["preprocess"] == "-1..1"


def test_batch_norm_is_ours_with_its_own_numbers_and_dropout_is_left_out(judge: Discriminator) -> None:
    norms = judge.backbone.norms
    assert {(norm.momentum, norm.epsilon) for norm in norms} == {(0.8, 1e-4)} and len(norms) == 5
    before, images = [norm.moving_mean.numpy() for norm in norms], pictures()
    first = judge.backbone(images, training=True, update_statistics=False)["conv5"]
    np.testing.assert_array_equal(first, judge.backbone(images, training=True, update_statistics=False)["conv5"])
    assert all(np.array_equal(norm.moving_mean, mean) for norm, mean in zip(norms, before, strict=True))
    judge.backbone(images, training=True)
    assert not any(np.array_equal(norm.moving_mean, mean) for norm, mean in zip(norms, before, strict=True))
    for norm, mean in zip(norms, before, strict=True):
        norm.moving_mean.assign(mean)


def test_every_weight_is_in_one_stage_and_has_a_gradient(judge: Discriminator) -> None:
    held = [weight.path for stage in judge.backbone.stages for layer in stage for weight in layer.weights]
    assert sorted(held) == sorted(weight.path for weight in judge.backbone.weights)
    assert [len(stage) for stage in judge.backbone.stages] == [2] * 5  # a convolution and its norm
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(judge(pictures(), training=True, step=0, halves=2)["mask_logits"])
    # The mask head alone: fc_1 and what follows have none.
    found = tape.gradient(loss, judge.backbone.trainable_variables)
    assert all(gradient is not None for gradient in found)


# --- the game, files, labels ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [pytest.param("conv", marks=pytest.mark.slow), "vit"])
def test_a_spotter_trains_it_and_opens_in_a_process_that_imports_tf_spot_alone(kind: str, tmp_path: Path) -> None:
    own = small_conv() if kind == "conv" else small_vit()
    names = CONV_LAYERS if kind == "conv" else None
    autoencoder = Autoencoder(image_size=32, width=0.05, levels=4)
    judge = Discriminator(image_size=32, backbone=own, layers=names, fc_units=8)
    spotter = ArtifactSpotter(autoencoder, judge, history_batches=0)
    spotter.compile()
    before = [weight.numpy() for weight in judge.backbone.trainable_variables]
    spotter.fit(pictures(4), batch_size=4, epochs=2, verbose=0)
    moved = [np.any(weight != old) for weight, old in zip(judge.backbone.trainable_variables, before, strict=True)]
    assert np.mean(moved) > 0.9  # keys of attention have a bias without effect
    spotter.save(tmp_path / "spotter.keras")
    code = (
        "import sys, numpy as np, tf_spot, keras\n"
        "spotter = keras.saving.load_model(sys.argv[1])\n"
        "np.save(sys.argv[2], spotter.backbone(np.load(sys.argv[3]))['conv5'])"
    )
    np.save(tmp_path / "pictures.npy", pictures(2))
    files = [str(tmp_path / name) for name in ("spotter.keras", "conv5.npy", "pictures.npy")]
    subprocess.run([sys.executable, "-c", code, *files], check=True)
    np.testing.assert_allclose(np.load(files[1]), spotter.backbone(pictures(2))["conv5"], atol=1e-5)


def test_a_classifier_and_a_feature_extractor_sit_on_it(judge: Discriminator) -> None:
    classifier = Classifier(judge.backbone, ["a", "b"], image_size=32)
    classifier.train_layers(2)
    assert [any(layer.trainable for layer in stage) for stage in judge.backbone.stages] == [False] * 3 + [True] * 2
    classifier.train_layers(5)
    features = tf_spot.feature_extractor(judge, layer="conv3")
    photos = (pictures(2) + 1) * 127.5
    expected = tf.reduce_mean(judge.backbone(pictures(2))["conv3"], axis=(1, 2))
    np.testing.assert_allclose(features(photos), expected, atol=1e-4)


def test_its_file_is_opened_by_name_in_another_precision(tmp_path: Path) -> None:
    backbone = KerasBackbone(small_conv(), CONV_LAYERS)
    backbone.save(tmp_path / "mine.keras")
    again = load_own(tmp_path / "mine.keras", "mixed_bfloat16")
    assert again.compute_dtype == "bfloat16" and isinstance(again, KerasBackbone)
    rough, fine = again(pictures(1))["conv5"], backbone(pictures(1))["conv5"]
    assert rough.dtype == tf.float32 and 0 < np.abs(rough - fine).max() < 0.1
    small_conv().save(tmp_path / "plain.keras")  # a plain Keras model, its maps chosen by stride
    assert load_own(tmp_path / "plain.keras").grid_size(32) == 2
    (tmp_path / "bad.keras").write_bytes(b"no model")
    for name, message in (("absent.keras", "which is no file; write one with"), ("bad.keras", "received: .*bad.keras")):
        with pytest.raises(UserError, match=message):
            load_own(tmp_path / name)


# --- what is refused --------------------------------------------------------------------------------------------------


class Subclassed(keras.Model):
    """A model whose layers Keras does not know."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs


class Unregistered(layers.Layer):
    """A layer that a file cannot name."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs


def growing() -> keras.Model:
    x = inputs = keras.Input((None, None, 3))
    maps = []
    for number, step in enumerate((4, 2, 2, 1)):
        maps.append(x := layers.Conv2D(4, 3, strides=step, padding="same", name=f"down{number}")(x))
    return keras.Model(inputs, [*maps, layers.UpSampling2D(name="up")(x)])


def with_layer(layer: Any) -> Callable[[], keras.Model]:
    """Return a maker of a model that has `layer` before its maps."""

    def make() -> keras.Model:
        x = layer(inputs := keras.Input((None, None, 3)))
        maps = []
        for number in range(5):
            maps.append(x := layers.Conv2D(4, 3, strides=2, padding="same", name=f"c{number}")(x))
        return keras.Model(inputs, maps)

    return make


def aside() -> keras.Model:
    """conv1 has a convolution that leads nowhere else."""
    model = small_conv()
    dead_end = layers.Conv2D(4, 1, name="aside")(model.get_layer("one").output)
    return keras.Model(model.inputs, [dead_end, *(model.get_layer(name).output for name in CONV_LAYERS[1:])])


@pytest.mark.parametrize(
    ("make", "names", "message"),
    [
        (small_conv, ["one", "two", "three", "four", "fife"], r"has 23 layers, such as .*five.*; received: 'fife'"),
        (small_conv, CONV_LAYERS[:4], "takes the names of 5 different layers, for conv1 to conv5; received"),
        (small_conv, "five", "takes the names of 5 different layers"),
        (
            small_conv,
            ["one", "two", "three", "five", "four"],
            "must lead to the next, as conv4 to conv5; received: layer",
        ),
        (aside, None, "must lead to the next, as conv1 to conv2; received: layer aside"),
        (lambda: small_conv(48, 4), [*CONV_LAYERS[:4], "global_average_pooling2d"], "received: 'global_average"),
        (lambda: keras.Sequential([layers.Conv2D(4, 3)]), None, r"must begin with keras.Input\(\(height, width, 3\)\)"),
        (Subclassed, CONV_LAYERS, "functional or sequential model.*class Subclassed; build it with keras.Model"),
        (lambda: 3, None, "is a Keras model; received: int"),
        (lambda: keras.Sequential([keras.Input((8,)), layers.Dense(3)]), None, r"one input, photos .*\(None, 8\)"),
        (with_layer(Unregistered()), None, "registered with keras.saving.register_keras_serializable"),
        (with_layer(layers.Lambda(lambda x: x)), None, "no Lambda layers"),
        (with_layer(layers.RandomFlip("horizontal")), None, "must not draw at random.*RandomFlip"),
        (with_layer(layers.BatchNormalization(center=False)), None, "batch norm must have center=True.*center=False"),
    ],
)
def test_what_cannot_be_a_backbone_is_refused_with_a_reason(make: Any, names: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        KerasBackbone(make(), names)


def test_tokens_are_no_map_and_the_message_says_how_they_become_one() -> None:
    x = inputs = keras.Input((32, 32, 3))
    tokens = [x := layers.Reshape((4, 768), name="tokens0")(x)]
    tokens += [x := layers.Dense(8, name=f"tokens{number}")(x) for number in range(1, 5)]
    with pytest.raises(UserError, match=r"received: \(None, 4, 768\) of layer tokens0 .*keras.layers.Reshape"):
        KerasBackbone(keras.Model(inputs, tokens))


@pytest.mark.parametrize(
    ("make", "pixels", "message"),
    [
        (growing, 32, "must shrink from conv1 to conv5.*down3 2x2, up 4x4; choose layers from shallow to deep"),
        (lambda: small_vit(), 48, "takes images of 32 pixels; received: 48; set data.image_size=32"),
    ],
)
def test_sizes_are_checked_for_the_images_of_the_training(make: Any, pixels: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Discriminator(image_size=pixels, backbone=make(), fc_units=8)


def test_words_and_backbones_that_do_not_fit_each_other_are_refused(judge: Discriminator) -> None:
    with pytest.raises(UserError, match=r"preprocess must be -1..1, .*resnet.*; received: '\[0, 1\]'"):
        KerasBackbone(small_conv(), CONV_LAYERS, preprocess="[0, 1]")
    with pytest.raises(UserError, match="layers and preprocess belong to a Keras model"):
        Discriminator(image_size=32, backbone=judge.backbone, layers=CONV_LAYERS)
    with pytest.raises(UserError, match="precision of the discriminator, mixed_bfloat16; received: float32"):
        Discriminator(image_size=32, backbone=judge.backbone, dtype="mixed_bfloat16")
    with pytest.raises(UserError, match="alexnet, whose five layers are fixed"):
        Discriminator(image_size=32, backbone="alexnet", layers=CONV_LAYERS)
