"""What depends on the hardware is chosen in one place; and on a GPU, where there is one, it trains as on a CPU."""

from __future__ import annotations

import dataclasses
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.test_resume import photos, train, weights  # noqa: F401 (the fixture `photos`)
from tests.training.test_train import CONFIG
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.ops import hardware

STEPS = 3
# Convolutions on a GPU may use TF32, with 10 bits; Adam enlarges small differences a little.
TOLERANCES = {"float32": 1e-2, "mixed_bfloat16": 1e-1}


def test_nothing_else_decides_about_xla() -> None:
    package = Path(hardware.__file__).parents[1]
    found = {path.name: re.findall(r"jit_compile=(\w+)", path.read_text()) for path in package.rglob("*.py")}
    del found["hardware.py"]
    assert {name: set(values) for name, values in found.items() if set(values) - {"form"}} == {}
    assert sum(map(len, found.values())) >= 5


def logs(stage: str, device: str, precision: str, **form: bool) -> dict[str, float]:
    """Of the last of a few steps on one batch."""
    config = CONFIG.replace(**{"training.precision": precision})
    with tf.device(device), hardware.trial(**form):
        model: Any = build_autoencoder(config)
        if stage == "spotter":
            model = build_spotter(config, model)
        images = tf.random.stateless_uniform((4, 16, 16, 3), (1, 2), -1, 1)
        history = model.fit(tf.data.Dataset.from_tensors(images).repeat(STEPS), epochs=1, shuffle=False, verbose=0)
    return {name: values[-1] for name, values in history.history.items()}


def assert_near(ours: dict[str, float], theirs: dict[str, float], tolerance: float) -> None:
    for name, value in theirs.items():
        if "accuracy" not in name:
            np.testing.assert_allclose(ours[name], value, rtol=tolerance, err_msg=name)


@pytest.mark.gpu
@pytest.mark.parametrize("stage", ["autoencoder", "spotter"])
@pytest.mark.parametrize("precision", TOLERANCES)
def test_a_gpu_trains_as_a_cpu_does(stage: str, precision: str) -> None:
    assert_near(logs(stage, "/GPU:0", precision), logs(stage, "/CPU:0", "float32"), TOLERANCES[precision])


@pytest.mark.gpu
@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(hardware.Form)])
def test_every_form_trains_as_a_cpu_does(name: str, precision: str) -> None:
    changed = {name: not getattr(hardware.GPU, name)}
    assert_near(logs("spotter", "/GPU:0", precision, **changed), logs("spotter", "/CPU:0", "float32"),
                TOLERANCES[precision])  # fmt: skip


@pytest.mark.gpu
def test_a_run_stopped_on_a_gpu_goes_on_to_the_same_bits(photos: Path, tmp_path: Path) -> None:  # noqa: F811
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    for words, expected in (((whole,), 0), ((stopped, "KILL", "spotter", 10), -signal.SIGKILL), ((stopped,), 0)):
        code, _, err = train(photos, *words, gpu="0")
        assert code == expected, err
    ours, theirs = weights(stopped), weights(whole)
    assert ours.keys() == theirs.keys()
    assert not [name for name in ours if ours[name].tobytes() != theirs[name].tobytes()]


# What other methods and evaluations compute beyond the two stages; twice, in a process of its own: TensorFlow cannot
# switch determinism off again.
DETERMINISTIC = """
import keras, numpy as np, tensorflow as tf
from tf_spot.baselines.colorization import rarity
from tf_spot.evaluation.voc.fast_rcnn import pool_regions
keras.utils.set_random_seed(0)
tf.config.experimental.enable_op_determinism()
maps, boxes = tf.random.normal((2, 6, 8, 16)), tf.random.uniform((64, 4), 0, 0.5) + [0, 0, 0.5, 0.5]
bins, owners = tf.random.uniform((8, 6, 6), 0, 484, tf.int32), tf.repeat([0, 1], 32)

def computed():
    with tf.GradientTape() as tape:
        tape.watch(maps)
        pooled = pool_regions(maps, boxes, owners)
    return [rarity(bins), tape.gradient(pooled, maps)]

for a, b in zip(computed(), computed()):
    assert np.isfinite(a).all() and np.array_equal(a, b)
"""


@pytest.mark.gpu
def test_what_training_needs_is_deterministic_on_a_gpu() -> None:
    done = subprocess.run([sys.executable, "-c", DETERMINISTIC], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
