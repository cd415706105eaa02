"""Other backbones than the paper's: what they give, and that all that is done with a backbone works with them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tf_spot
from tests.support.small_backbones import ALEXNET, MAPS, NORM, OTHERS, WIDTHS, discriminator, moments, pictures
from tf_spot.baselines.kmeans import initialise
from tf_spot.config import BACKBONES, Config, preset
from tf_spot.data import load
from tf_spot.errors import UserError
from tf_spot.inference.heat_map import spot
from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.backbones import AlexNet, Application, Backbone, ResNet18, build_backbone
from tf_spot.models.classifier import Classifier
from tf_spot.models.discriminator import Discriminator
from tf_spot.models.from_config import build_autoencoder, build_discriminator, build_spotter
from tf_spot.models.layers import BatchNorm
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.visualization.pictures import conv1_filters

# Keras itself converts its variables in numpy 1's way when it saves.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

CONFIG = preset("tiny").replace(
    **{
        "data.image_size": 32,
        "data.held_out_share": 0.25,
        "network.width": 0.125,
        "network.stem_stride": 4,
        "network.fc_units": 8,
        "game.history_batches": 2,
        "training.deterministic": False,  # it cannot be switched off again in this process
        "training.batch_size": 4,
        "training.autoencoder_steps": 2,
        "training.spotter_steps": 2,
        "training.steps_per_epoch": 2,
        "training.checkpoint_steps": 2,
    }
)


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["network.backbone=vgg"], "network.backbone must be one of alexnet, resnet18, .*MobileNetV3Small.*: 'vgg'"),
        (["network.backbone=InceptionV3"], "must be one of alexnet.*received: 'InceptionV3'"),
        (["network.backbone=resnet18", "network.stem_stride=2"], "16 pixels.*add --set network.stem_stride=4"),
        (["network.backbone=VGG16", "network.width=0.5"], "wants network.width=1; received: 0.5; add --set"),
    ],
)
def test_mistakes_are_refused_by_the_configuration(texts: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Config().override(texts)
    assert Config().override(["network.backbone=MobileNetV3Small", "network.width=0.5"]).network.levels == 4


def test_the_name_makes_the_class() -> None:
    common = {"width": 0.05} | NORM
    assert isinstance(build_backbone("alexnet", **ALEXNET, **common), AlexNet)
    assert isinstance(build_backbone("resnet18", **ALEXNET, **common), ResNet18)
    config = CONFIG.replace(**{"network.backbone": "resnet18"})
    assert isinstance(build_discriminator(config).backbone, ResNet18)


# --- maps -------------------------------------------------------------------------------------------------------------


def test_channels_and_grids(judge: Discriminator) -> None:
    """ResNet-18's are a quarter of 64, 64, 128, 256 and 512. MobileNetV3Small's by table 2 of its paper: of the stem,
    where its blocks 2 and 4 expand, after block 6, where block 9 expands."""
    resnet = isinstance(judge.backbone, ResNet18)
    channels = (16, 16, 32, 64, 128) if resnet else (16, 72, 96, 40, 288)
    maps = judge.backbone.compute_output_spec(keras.KerasTensor((2, 48, 48, 3)))
    assert list(maps) == MAPS
    assert [maps[name].shape for name in MAPS] == [
        (2, g, g, c) for g, c in zip((24, 12, 6, 3, 3), channels, strict=True)
    ]
    assert judge.grid_size == 2 and judge.backbone.grid_size(64) == 4 and judge.backbone.channels == channels[-1]


def test_answers_follow_the_grid_and_gradients_reach_every_weight(judge: Discriminator) -> None:
    images = pictures()
    with tf.GradientTape() as tape:
        answers = judge(images, training=True, update_statistics=False, step=0, halves=2)
        loss = tf.reduce_sum(answers["realness_logits"][:, 0]) + tf.reduce_sum(answers["mask_logits"])
    assert answers["mask_logits"].shape == (4, 2, 2, 1) and {x.dtype for x in answers.values()} == {tf.float32}
    missing = [
        variable.path
        for variable, gradient in zip(
            judge.trainable_variables, tape.gradient(loss, judge.trainable_variables), strict=True
        )
        if gradient is None
    ]
    assert not missing


@pytest.mark.slow
def test_deeper_maps_are_made_of_the_maps_before(judge: Discriminator) -> None:
    """Without the layers of stage n, the maps above it are others and those below are the same."""
    backbone, images = judge.backbone, pictures(1)
    before = backbone(images)
    for number, layers in enumerate(backbone.stages):
        norm = next(layer for layer in reversed(list(_norms(layers))))
        shift = norm.beta.numpy()
        norm.beta.assign(shift + 1.0)
        after = backbone(images)
        norm.beta.assign(shift)
        same = [np.array_equal(before[name], after[name]) for name in MAPS]
        assert same == [True] * number + [False] * (5 - number)


def _norms(layers: list[Any]) -> Any:
    for layer in layers:
        yield from [layer] if isinstance(layer, BatchNorm) else getattr(layer, "norms", [])


def test_stages_hold_every_weight_once(judge: Discriminator) -> None:
    held = [id(weight) for layer in itertools.chain(*judge.backbone.stages) for weight in layer.weights]
    assert sorted(held) == sorted(id(weight) for weight in judge.backbone.weights)


# --- batch norm -------------------------------------------------------------------------------------------------------


def test_statistics_follow_in_training_and_stand_still_when_asked(judge: Discriminator) -> None:
    images, norms, weights = pictures(), judge.backbone.norms, judge.get_weights()
    assert len(norms) > 15 and len(norms) == len(list(_norms([*itertools.chain(*judge.backbone.stages)])))
    before = moments(norms)
    frozen = tf.function(lambda: judge(images, training=True, update_statistics=False)["mask_logits"])
    still = frozen()
    assert all(map(np.array_equal, moments(norms), before))
    moved = judge(images, training=True)["mask_logits"]
    assert not any(map(np.array_equal, moments(norms), before))
    judge.set_weights(weights)
    np.testing.assert_allclose(still, moved, rtol=1e-3, atol=1e-4)  # the same moments normalise both
    assert {(norm.momentum, norm.epsilon) for norm in norms} == {(0.9, 1e-3)}


# --- files and precision ----------------------------------------------------------------------------------------------


def test_a_saved_discriminator_loads(judge: Discriminator, tmp_path: Path) -> None:
    images = pictures()
    judge.save(tmp_path / "judge.keras")
    loaded = keras.saving.load_model(tmp_path / "judge.keras")
    assert type(loaded.backbone) is type(judge.backbone)
    expected, answers = judge(images), loaded(images)
    for name, value in expected.items():
        np.testing.assert_array_equal(answers[name], value, err_msg=name)


@pytest.mark.slow
def test_bfloat16_computes_almost_the_same_maps(judge: Discriminator) -> None:
    """Convolutions in bfloat16; what scales pixels, moments and the maps stay float32."""
    name = judge.get_config()["backbone"]
    rough = build_backbone(name, **ALEXNET, **NORM, width=WIDTHS[name], dtype="mixed_bfloat16")
    rough.set_weights(judge.backbone.get_weights())
    layers = list(rough._flatten_layers())
    assert {x.compute_dtype for x in layers if isinstance(x, keras.layers.Conv2D)} == {"bfloat16"}
    assert {x.compute_dtype for x in layers if isinstance(x, keras.layers.Rescaling)} <= {"float32"}
    images = pictures()
    fine, coarse = (x(images, training=True, update_statistics=False) for x in (judge.backbone, rough))
    for name in MAPS:
        assert coarse[name].dtype == tf.float32
        apart = np.linalg.norm(coarse[name] - fine[name]) / np.linalg.norm(fine[name])
        assert 0 < apart < 0.1, (name, apart)  # dozens of layers, each a rounding of up to 1 in 512


# --- what sits on a backbone ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_classifier_trains_the_stages_from_the_top(judge: Discriminator) -> None:
    classifier = Classifier(judge.backbone, ["a", "b"], image_size=32)
    stages = judge.backbone.stages
    for count in (0, 2, 5):
        classifier.train_layers(count)
        trained = {id(variable) for variable in judge.backbone.trainable_variables}
        for number, layers in enumerate(stages, start=1):
            kernels = [layer.kernel for layer in layers if hasattr(layer, "kernel")]
            assert all((id(kernel) in trained) == (number > 5 - count) for kernel in kernels)
    assert len(judge.backbone.trainable_variables) > 50


@pytest.mark.slow
@pytest.mark.parametrize("num_maps", [1, 3])
def test_a_cut_backbone_makes_the_first_maps_alone(judge: Discriminator, num_maps: int) -> None:
    shallow, images = judge.backbone.cut(num_maps), pictures()
    maps, expected = shallow(images), judge.backbone(images)
    assert list(maps) == MAPS[:num_maps] and len(shallow.stages) == num_maps
    for name, value in maps.items():
        np.testing.assert_array_equal(value, expected[name])
    assert shallow.channels == maps[MAPS[num_maps - 1]].shape[-1] and shallow.first_conv.kernel.shape[2] == 3


def test_a_frozen_backbone_is_in_inference_mode_and_loads_frozen(judge: Discriminator, tmp_path: Path) -> None:
    frozen, images = judge.backbone.cut(5), pictures()
    frozen.trainable = False
    np.testing.assert_array_equal(frozen(images, training=True)["conv5"], judge.backbone(images)["conv5"])
    frozen.save(tmp_path / "frozen.keras")
    loaded = keras.saving.load_model(tmp_path / "frozen.keras")
    assert not [variable for variable in loaded.variables if variable.trainable]


def test_the_first_filters_are_those_that_see_the_pixels(judge: Discriminator) -> None:
    assert judge.backbone.first_conv.kernel.shape[2] == 3
    assert conv1_filters(judge.backbone).shape[2] == 3


@pytest.mark.slow
def test_grids_must_agree() -> None:
    with pytest.raises(ValueError, match="encoding 4x4 at 32 pixels, conv5 2x2.*with another backbone.*levels = 4"):
        ArtifactSpotter(Autoencoder(image_size=32, width=0.1, levels=3), discriminator("resnet18", width=0.1))


# --- slow -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Photos of one colour or another: 60 to learn from, 12 to test."""
    root, numbers = tmp_path_factory.mktemp("lights"), np.random.default_rng(0)
    for split, count in (("train", 60), ("test", 12)):
        for number in range(count):
            place = root / split / "rgb"[number % 3]
            place.mkdir(parents=True, exist_ok=True)
            photo = numbers.integers(0, 120, (8, 8, 3), np.uint8)
            photo[..., number % 3] += 120
            Image.fromarray(photo).resize((40, 40)).save(place / f"{number:02d}.png")
    return f"folder:{root}"


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_a_whole_run_and_what_is_done_with_it(name: str, folder: str, tmp_path: Path) -> None:
    from tf_spot.evaluation.evaluate_run import evaluate_run
    from tf_spot.evaluation.finetune import Recipe
    from tf_spot.exporters import verify
    from tf_spot.report import report

    config, path = CONFIG.replace(**{"network.backbone": name}), tmp_path / "run"
    spotter = tf_spot.train(config, folder, path)
    assert json.loads((path / "config.json").read_text())["network"]["backbone"] == name
    found = evaluate_run(path, folder, "linear", num_values=100)
    assert list(found["by_layer"]) == MAPS and found["by_layer"]["conv1"] > 80  # colours need no training
    seen = spot(spotter, np.full((40, 60, 3), 90, np.uint8))
    assert seen.heat_map.shape == (2, 3)
    for kind, export in (("saved_model", tf_spot.export_saved_model), ("onnx", tf_spot.export_onnx)):
        manifest = export(spotter, tmp_path / kind, config=config)
        assert set(MAPS) < set(manifest["outputs"])
        assert verify(tmp_path / kind)["format"] == kind
    recipe = Recipe(epochs=1, trained_layers=2, rescale=True, batch_size=18)
    tuned = evaluate_run(path, folder, "finetune", recipe=recipe)
    assert 0 <= tuned["value"] <= 100
    tf_spot.export_saved_model(tf_spot.load_classifier(path), tmp_path / "classifier", part="classifier", config=config)
    assert "Filters of conv1" in report(path).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_two_devices_and_bfloat16_train(name: str, folder: str) -> None:
    """Batch norm's moments are over both: after two steps both devices and one have the same ones."""
    from tf_spot.distributed.strategies import make_strategy

    def after_two_steps(config: Config) -> ArtifactSpotter:
        spotter = build_spotter(config, build_autoencoder(config))
        images = tf.data.Dataset.from_tensor_slices(pictures(8)).batch(4, drop_remainder=True)
        spotter.fit(images, epochs=1, shuffle=False, verbose=0)
        return spotter

    slow = {"training.discriminator_learning_rate": 1e-6, "network.backbone": name}  # Adam amplifies rounding
    config = CONFIG.replace(**slow)
    one = after_two_steps(config)
    with make_strategy("mirrored").scope():
        two = after_two_steps(config)
    for ours, theirs in zip(moments(one.backbone.norms), moments(two.backbone.norms), strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=0.02, atol=1e-3)
    rough = after_two_steps(config.replace(**{"training.precision": "mixed_bfloat16"}))
    assert all(np.all(np.isfinite(weight)) for weight in rough.get_weights())


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_kmeans_fits_the_first_filters(name: str, folder: str) -> None:
    backbone: Backbone = build_backbone(name, **ALEXNET, **NORM, width=0.25)
    before = backbone.first_conv.kernel.numpy()
    used, _ = initialise(backbone, load(folder, image_size=32), 0)
    assert used > 30 and not np.array_equal(before, backbone.first_conv.kernel)
    assert isinstance(backbone, ResNet18 | Application) and name in BACKBONES
