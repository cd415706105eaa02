"""The recipes of export/ as a user runs them, on a small run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.support.untrained_run import add_classifier, write_run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def run_with_classifier(run):
    return add_classifier(Path(shutil.copytree(run, run.with_name("with-classifier"))))


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
