"""Recomputation: the same numbers from fewer kept activations."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.test_spotter import BATCH, make, pictures
from tf_spot.commands.train import _config, add
from tf_spot.config import preset
from tf_spot.distributed.strategies import make_strategy
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.ops.rematerialization import recomputed


def trained(recompute: bool, micro_batches: int = 1, dtype: str = "float32") -> Any:
    keras.config.set_dtype_policy(dtype)
    try:
        spotter = make(history_batches=2, batch_size=BATCH, kept_weight=30.0)
    finally:
        keras.config.set_dtype_policy("float32")
    rates = keras.optimizers.SGD(0.05), keras.optimizers.SGD(0.05)
    spotter.compile(*rates, recompute=recompute, micro_batches=micro_batches)
    data = tf.data.Dataset.from_tensor_slices(pictures(2 * BATCH)).batch(BATCH, drop_remainder=True)
    spotter.fit(data, shuffle=False, verbose=0)
    return spotter


@pytest.mark.parametrize("micro_batches", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_recomputed_training_ends_with_the_same_weights(micro_batches: int) -> None:
    """The same sums; only threads of a convolution may add up in another order. Moving statistics move once."""
    kept, again = trained(False, micro_batches), trained(True, micro_batches)
    for a, b in zip(kept.variables, again.variables, strict=True):
        np.testing.assert_allclose(b, a, atol=1e-6, rtol=1e-5, err_msg=a.path)


@pytest.mark.slow
def test_recomputed_training_in_bfloat16_is_the_same_but_for_rounding() -> None:
    """TensorFlow may round at other places, by 1 in 256. One step of 0.05 moves kernels of the repair network by some
    tenths; a stage computed from other inputs would turn the step round."""
    start = make(history_batches=0).repair.trainable_variables
    kept, again = (trained(on, dtype="mixed_bfloat16").repair.trainable_variables for on in (False, True))
    for first, a, b in zip(start, kept, again, strict=True):
        if len(a.shape) > 1:
            one, other = (np.ravel(x - first) for x in (a, b))
            assert one @ other > 0.9 * np.linalg.norm(one) * np.linalg.norm(other), a.path


def test_recomputed_autoencoder_training_is_the_same() -> None:
    config = preset("tiny").override(["network.width=0.125", "data.image_size=16", "training.batch_size=8"])
    weights = []
    for recompute in (False, True):
        autoencoder = build_autoencoder(config.replace(**{"training.recompute": recompute}))
        autoencoder.fit(pictures(16), batch_size=8, shuffle=False, verbose=0)
        weights.append(autoencoder.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(b, a, atol=1e-6)


def test_the_stage_runs_again_in_the_backward_pass_and_moves_statistics_once() -> None:
    calls = []

    def stage(x: Any, update_statistics: bool) -> Any:
        calls.append(update_statistics)
        return tf.square(x)

    x = tf.constant([3.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = recomputed(stage, x)
    assert calls == [True]
    np.testing.assert_array_equal(tape.gradient(y, x), [6.0])
    assert calls == [True, False]
    recomputed(stage, x, update_statistics=False)
    assert calls[2:] == [False]


def test_the_setting_reaches_every_stage_that_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three layers of the decoder with their repair blocks; without it, none."""
    counted: list[int] = []
    original = tf.recompute_grad
    monkeypatch.setattr(tf, "recompute_grad", lambda f: counted.append(1) or original(f))
    for recompute, count in ((False, 0), (True, 3)):
        spotter = make()
        spotter.compile(recompute=recompute)
        counted.clear()
        spotter.train_step(pictures())
        assert len(counted) == count
        counted.clear()
        spotter.corrupt(pictures(), 0)  # nothing to recompute at inference
        assert not counted


@pytest.mark.slow
def test_two_devices_recompute_too() -> None:
    with make_strategy("mirrored").scope():
        two = trained(True)
    one = trained(True)
    for a, b in zip(one.variables, two.variables, strict=True):
        np.testing.assert_allclose(b.numpy(), a.numpy(), atol=5e-5, rtol=1e-5, err_msg=a.path)


def test_settings_of_compile_are_saved(tmp_path: Path) -> None:
    config = preset("tiny").override(["network.width=0.125", "data.image_size=16", "training.batch_size=8"])
    config = config.replace(**{"training.recompute": True, "training.micro_batches": 2})
    autoencoder = build_autoencoder(config)
    autoencoder.save(tmp_path / "autoencoder.keras")
    loaded = keras.saving.load_model(tmp_path / "autoencoder.keras")
    assert (loaded.micro_batches, loaded.decoder.recompute) == (2, True)
    build_spotter(config, autoencoder).save(tmp_path / "spotter.keras")
    loaded = keras.saving.load_model(tmp_path / "spotter.keras")
    assert (loaded.micro_batches, loaded.repair.recompute) == (2, True)


def test_the_flag_sets_the_field(tmp_path: Path) -> None:
    words = ["train", "--data", "photos", "--out", str(tmp_path), "--preset", "tiny"]
    for flags, expected in (([], False), (["--recompute"], True)):
        parser = argparse.ArgumentParser()
        add(parser.add_subparsers())
        assert _config(parser.parse_args([*words, *flags])).training.recompute is expected
