"""`tf-spot export` and `tf-spot verify` on a small run, from beginning to end."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.support.untrained_run import CONFIG, add_classifier, write_run
from tf_spot.cli import main
from tf_spot.commands.export import _photos
from tf_spot.runs.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def run_with_classifier(run):
    return add_classifier(Path(shutil.copytree(run, run.with_name("with-classifier"))))


def test_photos_of_the_run_that_are_gone_are_replaced_by_the_embedded_ones(run) -> None:
    size = CONFIG.data.image_size
    photos, name = _photos(Run(run), Run(run).config, None)
    assert photos.dtype == np.uint8 and photos.shape[1:] == (size, size, 3) and name == "bundled photos"
    np.testing.assert_array_equal(photos, _photos(Run(run), Run(run).config, "photos")[0])


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
