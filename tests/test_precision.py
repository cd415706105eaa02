"""Training in mixed_bfloat16: what computes in which precision, and that all of a run works in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.test_train import CONFIG, spec  # noqa: F401 (the fixture)
from tf_spot.config import Config
from tf_spot.distributed.strategies import make_strategy
from tf_spot.errors import UserError
from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.models.layers import BatchNorm
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.runs.load import load_spotter
from tf_spot.runs.run import Run
from tf_spot.training.train import train

# Keras itself converts its variables in numpy 1's way when it saves.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

BF16 = CONFIG.replace(**{"training.precision": "mixed_bfloat16"})
# A bfloat16 keeps 8 bits, so every convolution rounds by up to 1 in 256; means over many values round off less.
ROUNDING = 2**-8


def pictures(count: int = 4, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).uniform(-1, 1, (count, 4, 4, 3)).astype("float32")
    return tf.image.resize(coarse, (16, 16)).numpy()


def build(config: Config) -> ArtifactSpotter:
    return build_spotter(config, build_autoencoder(config))


@pytest.fixture(scope="module")
def spotters() -> dict[str, ArtifactSpotter]:
    return {name: build(config) for name, config in (("float32", CONFIG), ("mixed_bfloat16", BF16))}


def all_layers(model: Any) -> list[Any]:
    return list(model._flatten_layers())


def test_the_field_sets_what_convolutions_compute_in_and_leaves_the_rest(spotters: dict[str, ArtifactSpotter]) -> None:
    for name, spotter in spotters.items():
        wide = name == "float32"
        convolutions = [x for x in all_layers(spotter) if isinstance(x, keras.layers.Conv2D)]
        kept = {x.name for x in convolutions if x.compute_dtype == "float32"}
        assert len(convolutions) > 10
        assert kept == ({x.name for x in convolutions} if wide else {"d3", "mask_head"})  # d3: the image itself
        assert spotter.discriminator.fc1.compute_dtype == ("float32" if wide else "bfloat16")
        assert spotter.discriminator.fc2.compute_dtype == "float32"
        assert {v.dtype for v in spotter.variables} <= {"float32", "int64"}
    assert keras.config.dtype_policy().name == "float32"  # nothing is left behind


def test_what_networks_give_is_float32_and_was_rounded(spotters: dict[str, ArtifactSpotter]) -> None:
    images, given = pictures(), {}
    for name, spotter in spotters.items():
        spotter.set_weights(spotters["float32"].get_weights())
        corrupted = spotter.corrupt(images, 0, training=True)
        answers = spotter(images)
        given[name] = dict(corrupted._asdict()) | answers
        assert {value.dtype for value in given[name].values()} == {tf.float32}
    for name, value in given["float32"].items():
        other = given["mixed_bfloat16"][name]
        assert name == "keep_mask" or np.any(value != other), name
        # A dozen layers, each a rounding of up to 2^-9, some amplified by batch norm over four images.
        apart = np.linalg.norm(np.ravel(other - value)) / np.linalg.norm(np.ravel(value))
        assert apart < 8 * ROUNDING, (name, apart)
    bits = given["mixed_bfloat16"]["decoded"]
    assert np.any(bits != tf.cast(tf.cast(bits, tf.bfloat16), tf.float32))  # images are finer than bfloat16


@pytest.mark.parametrize("shape", [(64, 3), (16, 4, 4, 3)])
def test_batch_norm_keeps_float32_moments_of_bfloat16_inputs(shape: tuple[int, ...]) -> None:
    """Mean 200 and deviation 1: in bfloat16 the mean itself would be a multiple of 1, the variance mostly rounding."""
    inputs = tf.cast(np.random.default_rng(0).normal(200, 1, shape), tf.bfloat16)
    seen = tf.cast(inputs, tf.float64).numpy()
    norm = BatchNorm(momentum=0.5, epsilon=1e-3, dtype="mixed_bfloat16")
    norm.build(shape)
    outputs = norm(inputs, training=True)
    axes = tuple(range(len(shape) - 1))
    assert outputs.dtype == tf.bfloat16
    np.testing.assert_allclose(norm.moving_mean, 0.5 * seen.mean(axes), rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, 0.5 + 0.5 * seen.var(axes), rtol=1e-3)
    expected = (seen - seen.mean(axes)) / np.sqrt(seen.var(axes) + 1e-3)
    np.testing.assert_allclose(tf.cast(outputs, tf.float32), expected, atol=4 * ROUNDING)


def steps(config: Config, count: int = 3) -> tuple[list[Any], ArtifactSpotter]:
    spotter, images = build(config), pictures(4 * count)
    dataset = tf.data.Dataset.from_tensor_slices(images).batch(4, drop_remainder=True).repeat()
    history = spotter.fit(dataset, epochs=count, steps_per_epoch=1, shuffle=False, verbose=0).history
    return [history[name] for name in ("discriminator_loss", "repair_loss", "mask_loss")], spotter


@pytest.mark.slow
def test_losses_follow_those_of_float32() -> None:
    """Means over a few logits, each some roundings off, which the steps carry on: seen up to 6 % apart."""
    wide, _ = steps(CONFIG)
    narrow, spotter = steps(BF16)
    np.testing.assert_allclose(narrow, wide, rtol=0.15)
    assert np.any(np.array(narrow) != np.array(wide))
    assert np.abs(spotter.past.images).max() > 0 and spotter.past.images.dtype == "float32"


def test_a_saved_model_computes_as_it_did(tmp_path: Path, spotters: dict[str, ArtifactSpotter]) -> None:
    spotter, images = spotters["mixed_bfloat16"], pictures()
    run = Run.create(tmp_path / "run", BF16, {"spec": "x", "name": "x", "fingerprint": "0", "counts": {}})
    spotter.save(run.model_path("spotter"))
    loaded = keras.saving.load_model(run.model_path("spotter"))
    for ours, theirs in zip(all_layers(spotter), all_layers(loaded), strict=True):
        assert (type(ours), ours.compute_dtype) == (type(theirs), theirs.compute_dtype)
    for name, value in spotter(images).items():
        np.testing.assert_array_equal(loaded(images)[name], value)
    again = load_spotter(run)  # computes in float32
    assert {layer.compute_dtype for layer in all_layers(again)} == {"float32"}
    for ours, theirs in zip(spotter.variables, again.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=ours.path)


def test_the_policy_of_keras_is_taken_in_a_notebook() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        spotter = ArtifactSpotter(Autoencoder(image_size=16, width=0.1, levels=2), history_batches=2)
        spotter.compile()
    finally:
        keras.config.set_dtype_policy("float32")
    assert spotter.backbone.convs[0].compute_dtype == "bfloat16"
    assert spotter.repair.blocks[0].first.conv.compute_dtype == "bfloat16"
    assert {x.compute_dtype for x in (spotter.damage, spotter.past, spotter.discriminator.dropout)} == {"float32"}


def test_other_precisions_are_refused_by_the_configuration() -> None:
    with pytest.raises(
        UserError, match="training.precision must be one of float32, mixed_bfloat16; received: 'float16'"
    ):
        CONFIG.replace(**{"training.precision": "float16"})


@pytest.mark.slow
def test_two_devices_train_as_one() -> None:
    """They sum in another order, which moves a value next to a rounding limit of bfloat16 by 1 in 256: seen by the
    losses as some thousandths, by a weight as a share of an update, at most the learning rate a step."""
    rate = {"training.discriminator_learning_rate": 1e-3, "training.repair_learning_rate": 1e-3}
    config = BF16.replace(**rate)
    one, first = steps(config, 2)
    with make_strategy("mirrored").scope():
        two, second = steps(config, 2)
    np.testing.assert_allclose(two, one, atol=0.02)
    for a, b in zip(first.trainable_variables, second.trainable_variables, strict=True):
        np.testing.assert_allclose(b.numpy(), a.numpy(), atol=2 * 2 * 1e-3, err_msg=a.path)


@pytest.mark.slow
def test_a_whole_run_and_what_is_done_with_it(spec: str, tmp_path: Path) -> None:  # noqa: F811
    """Both stages with health, pictures, checkpoints; the loaded spotter computes in float32, so it exports."""
    from tf_spot.exporters.signature import Signature

    path = tmp_path / "run"
    spotter = train(BF16, spec, path)
    assert "mixed_bfloat16" in (path / "config.json").read_text()
    assert keras.saving.load_model(Run(path).model_path("spotter")).backbone.convs[0].compute_dtype == "bfloat16"
    assert all(np.isfinite(v) for line in Run(path).metrics() for v in line.values() if isinstance(v, float))
    assert {layer.compute_dtype for layer in all_layers(spotter)} == {"float32"}
    (path / "spotter.keras").unlink()
    images, from_checkpoint = pictures(2), load_spotter(path)
    np.testing.assert_array_equal(from_checkpoint(images)["conv5"], spotter(images)["conv5"])
    exported = Signature(spotter, "features").images(images * 127.5 + 127.5)
    np.testing.assert_allclose(exported["conv5"], spotter(images)["conv5"], atol=1e-4)
