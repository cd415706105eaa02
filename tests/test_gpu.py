"""What depends on the hardware is chosen in one place; and on a GPU, where there is one, it trains as on a CPU."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.training.test_train import CONFIG
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.ops import hardware

GPU = bool(tf.config.list_physical_devices("GPU"))
STEPS = 3


def test_nothing_else_decides_about_xla() -> None:
    package = Path(hardware.__file__).parents[1]
    found = {path.name: re.findall(r"jit_compile=(\w+)", path.read_text()) for path in package.rglob("*.py")}
    del found["hardware.py"]
    assert {name: set(values) for name, values in found.items() if set(values) - {"form"}} == {}
    assert sum(map(len, found.values())) >= 5


def logs(stage: str, device: str, precision: str) -> dict[str, float]:
    """Of the last of a few steps on one batch."""
    config = CONFIG.replace(**{"training.precision": precision})
    with tf.device(device):
        model: Any = build_autoencoder(config)
        if stage == "spotter":
            model = build_spotter(config, model)
        images = tf.random.stateless_uniform((4, 16, 16, 3), (1, 2), -1, 1)
        history = model.fit(tf.data.Dataset.from_tensors(images).repeat(STEPS), epochs=1, shuffle=False, verbose=0)
    return {name: values[-1] for name, values in history.history.items()}


@pytest.mark.skipif(not GPU, reason="there is no GPU here")
@pytest.mark.parametrize("stage", ["autoencoder", "spotter"])
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-2), ("mixed_bfloat16", 1e-1)])
def test_a_gpu_trains_as_a_cpu_does(stage: str, precision: str, tolerance: float) -> None:
    """Convolutions on a GPU may use TF32, with 10 bits; Adam enlarges small differences a little."""
    ours, theirs = logs(stage, "/GPU:0", precision), logs(stage, "/CPU:0", "float32")
    for name, value in theirs.items():
        if "accuracy" not in name:
            np.testing.assert_allclose(ours[name], value, rtol=tolerance, err_msg=name)
