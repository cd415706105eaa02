"""The recipes of export/ as a user runs them, on a small run, and the two verbs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tf_spot.cli import main
from tf_spot.config import preset
from tf_spot.runs import Run
from tf_spot.training import build_autoencoder, build_spotter

ROOT = Path(__file__).parent.parent
CONFIG = preset("tiny").replace(**{"network.width": 0.125, "network.fc_units": 8})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose spotter is not trained, on photos that have gone since."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    Run.create(folder, CONFIG, {"spec": "folder:/gone", "name": "gone", "fingerprint": "", "counts": {}})
    build_spotter(CONFIG, build_autoencoder(CONFIG)).save(folder / "spotter.keras")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["to_saved_model", "to_tflite", "to_onnx"])
def test_recipe(run, tmp_path, name) -> None:
    Image.new("RGB", (90, 60), "orange").save(tmp_path / "photo.jpg")
    command = [sys.executable, ROOT / "export" / f"{name}.py", run, tmp_path / "out", tmp_path / "photo.jpg"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    lines = [line[:20].strip() for line in done.stdout.splitlines()]
    assert lines[-4:] == ["size", "largest difference", "one photo", "embedding"]


@pytest.mark.slow
def test_export_and_verify_verbs(run, tmp_path, capsys) -> None:
    out = str(tmp_path / "out")
    words = ["export", str(run), "--format", "tflite", "--out", out]
    assert main([*words, "--part", "spotter", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["artifact"] == "spotter.tflite" and figures["share"] <= 1e-4
    assert main(["verify", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["files"] == 4
    assert main([*words, "--quantize", "int8"]) == 2
    assert "--data" in capsys.readouterr().err
    assert main(["verify", str(tmp_path)]) == 2
    assert "tf-spot export" in capsys.readouterr().err
