"""The recipes of export/ as a user runs them, on a small run, and the subcommands export and verify."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tf_spot.cli import main
from tf_spot.config import preset
from tf_spot.models.classifier import Classifier
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.runs.load import load_spotter
from tf_spot.runs.run import Run

ROOT = Path(__file__).parents[2]
CONFIG = preset("tiny").replace(**{"network.width": 0.125, "network.fc_units": 8})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose spotter is not trained, on photos that have gone since."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    Run.create(folder, CONFIG, {"spec": "folder:/gone", "name": "gone", "fingerprint": "", "counts": {}})
    build_spotter(CONFIG, build_autoencoder(CONFIG)).save(folder / "spotter.keras")
    return folder


@pytest.fixture(scope="module")
def run_with_classifier(run):
    folder = run.with_name("with-classifier")
    shutil.copytree(run, folder)
    backbone = load_spotter(folder).backbone
    Classifier(backbone, ["höhe", "tiefe"], image_size=CONFIG.data.image_size).save(folder / "classifier.keras")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("last", ["embedding", "class"])
@pytest.mark.parametrize("name", ["to_saved_model", "to_tflite", "to_onnx"])
def test_recipe(run, run_with_classifier, tmp_path, name, last) -> None:
    run = run_with_classifier if last == "class" else run
    Image.new("RGB", (90, 60), "orange").save(tmp_path / "photo.jpg")
    command = [sys.executable, ROOT / "export" / f"{name}.py", run, tmp_path / "out", tmp_path / "photo.jpg"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    lines = [line[:20].strip() for line in done.stdout.splitlines()]
    assert lines[-4:] == ["size", "largest difference", "one photo", last]
    if last == "class":
        assert re.search(r"(höhe|tiefe), probability (0\.[5-9]\d|1\.00)", done.stdout)


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
    assert main([*words, "--probe"]) == 2
    assert "--probe needs labelled photos" in capsys.readouterr().err
    assert main(["verify", str(tmp_path)]) == 2
    assert "tf-spot export" in capsys.readouterr().err


@pytest.mark.slow
def test_the_verb_probes_and_exports_classifiers(run, run_with_classifier, tmp_path, capsys) -> None:
    words = ["--format", "tflite", "--data", "photos", "--json"]
    assert main(["export", str(run), "--out", str(tmp_path / "probed"), "--quantize", "int8", "--probe", *words]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0 < figures["probe_artifact"] <= 100 and 0 < figures["probe_float32"] <= 100 and figures["probe_stderr"] > 0
    assert figures["stays_float"] == "nothing"
    classifier = ["export", str(run_with_classifier), "--out", str(tmp_path / "classes"), "--part", "classifier"]
    assert main([*classifier, *words]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["artifact"] == "classifier.tflite"
    assert main(["export", str(run), "--out", str(tmp_path / "none"), "--part", "classifier", *words]) == 2
    assert "--task finetune" in capsys.readouterr().err
