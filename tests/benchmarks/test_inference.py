"""Ratios to PyTorch, the weights that PyTorch gets, and that all of our formats are timed."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tf_spot.config import preset
from tf_spot.models.backbones import AlexNet

ROOT = Path(__file__).parents[2]


@pytest.fixture
def inference(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("inference")


def test_ratios_are_to_the_better_layout_of_pytorch(inference) -> None:
    runs = {
        "TFLite float32": {"1": [10.0, 90.0, 12.0], "32": [100.0]},
        "SavedModel": {"1": [6.0], "32": [200.0]},
        "PyTorch": {"1": [6.0], "32": [50.0]},
        "PyTorch channels-last": {"1": [3.0], "32": [160.0]},
    }
    found = inference.summary(runs)
    assert found["images_per_second"]["TFLite float32"] == {"1": 12.0, "32": 100.0}
    assert found["ratios"] == {
        "TFLite float32": {"1": 2.0, "32": 0.625},
        "SavedModel": {"1": 1.0, "32": 1.25},
        "best of ours": {"1": 2.0, "32": 1.25},
    }
    assert inference.summary({"SavedModel": {"1": [6.0], "32": [200.0]}})["ratios"] == {}


@pytest.mark.parametrize("norm", ["response", "batch"])
def test_the_weights_for_pytorch_are_those_of_the_first_layer(inference, norm) -> None:
    """A cell of conv1 by hand: 16 pixels, a 5 x 5 kernel at stride 2, so SAME puts 1 before and 2 after."""
    network = preset("tiny").network
    backbone = AlexNet(0.1, 5, 2, norm, norm_momentum=network.norm_momentum, norm_epsilon=network.norm_epsilon)
    if norm == "batch":
        backbone.norms[0].moving_mean.assign(np.linspace(-9, 9, 8))
        backbone.norms[0].moving_variance.assign(np.linspace(1, 9, 8))
    photos = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), np.uint8)
    known = inference.known_of(backbone, photos)
    padded = np.pad(photos[0] - known["mean"], ((1, 2), (1, 2), (0, 0)))
    by_hand = np.einsum("yxc,yxco->o", padded[4:9, 10:15], known["kernel1"]) + known["shift1"]  # row 2, column 5
    np.testing.assert_allclose(known["conv1"][0, 2, 5], np.maximum(by_hand, 0), rtol=1e-3, atol=1e-2)
    assert known["groups"].tolist() == [1, 2, 1, 2, 2] and known["strides"].tolist() == [2, 1, 1, 1, 1]
    assert len(known["response"]) == (4 if norm == "response" else 0)


@pytest.mark.slow
def test_all_of_ours_are_timed(tmp_path) -> None:
    words = ["--rounds", "1", "--seconds", "0.01", "--size", "32", "--width", "0.125", "--out", tmp_path / "x.json"]
    command = [sys.executable, ROOT / "benchmarks" / "inference.py", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "x.json").read_text())
    assert len(found["images_per_second"]) == 6
    assert all(rate > 0 for rates in found["images_per_second"].values() for rate in rates.values())
    assert found["versions"]["onnxruntime"] and found["cores"] == 2 and found["ratios"] == {}
