"""`tf-spot export`: options that need photos, and what it prints of the manifest."""

import json
import shutil

import pytest

from tests.commands.example import Recorder, last_line
from tf_spot.cli import main
from tf_spot.exporters.signature import Signature
from tf_spot.runs.load import load_spotter
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_json

MANIFEST = dict.fromkeys(("part", "format", "quantization", "artifact"), "x") | {
    "size_bytes": 9,
    "photos": {"data": "", "compared": 6, "calibrated": 0},
    "parity": {"1": {"conv5": {"share": 0.0, "relative_rms": 0.0}}},
}


@pytest.mark.parametrize("words", [["--probe"], ["--quantize", "int8"], ["--quantize", "int8-integer"]])
def test_photos_are_asked_for_before_anything_is_loaded(words, tmp_path, capsys) -> None:
    assert main(["export", "no-such-run", "--format", "tflite", "--out", str(tmp_path / "x"), *words]) == 2
    assert "received no --data" in capsys.readouterr().err


def test_options_reach_the_exporter_and_the_manifest_is_printed(run, tmp_path, monkeypatch, capsys) -> None:
    """Of all batches and outputs the largest deviation is printed."""
    parity = {"1": {"conv1": {"share": 0.1, "relative_rms": 0.01}}, "4": {"conv5": {"share": 0.3, "relative_rms": 0.0}}}
    manifest = {"part": "spotter", "format": "onnx", "quantization": "int8", "artifact": "model.onnx", "size_bytes": 9}
    manifest["photos"] = {"data": "bundled photos", "compared": 64, "calibrated": 128}
    manifest |= {"parity": parity, "float_operations": [], "linear_probe": {"float32": 1, "artifact": 2, "stderr": 3}}
    export = Recorder(manifest)
    monkeypatch.setattr("tf_spot.exporters.export", export)
    words = ["--format", "onnx", "--part", "spotter", "--quantize", "int8", "--data", "photos", "--probe", "--json"]
    assert main(["export", str(run), "--out", str(tmp_path / "x"), *words]) == 0
    assert export.received(tmp_path / "x", "onnx", "spotter", "int8", "fixed", "photos")
    out = capsys.readouterr().out
    printed = last_line(out)
    assert (printed["share"], printed["relative_rms"], printed["stays_float"]) == (0.3, 0.01, "nothing")
    assert (printed["probe_float32"], printed["probe_artifact"], printed["probe_stderr"]) == (1, 2, 3)
    assert (printed["compared_on"], printed["calibrated_on"]) == ("64 of bundled photos", "128 of bundled photos")
    assert export.received("bundled photos")
    assert "model.onnx" in out.splitlines()[3]


@pytest.mark.parametrize(("moved", "name"), [(False, "{folder}"), (True, "bundled photos")])
def test_photos_of_the_run_that_cannot_be_opened_are_replaced_aloud(
    run, spec, tmp_path, monkeypatch, capsys, moved, name
) -> None:
    own = tmp_path / "run"
    shutil.copytree(run, own)
    if moved:
        data = json.loads((own / "data.json").read_text())
        (own / "data.json").write_text(json.dumps(data | {"spec": "folder:gone"}))
    export = Recorder(MANIFEST)
    monkeypatch.setattr("tf_spot.exporters.export", export)
    assert main(["export", str(own), "--format", "onnx", "--out", str(tmp_path / "x"), "--json"]) == 0
    said, name = capsys.readouterr(), name.format(folder=spec.rpartition("/")[2])
    printed = last_line(said.out)
    assert printed["compared_on"] == f"6 of {name}" and "calibrated_on" not in printed
    assert export.received(name)
    reason = "those of the run cannot be read: folder:PATH must be a folder; received: gone, missing"
    assert (reason in said.err) is moved and ("bundled" in said.err) is moved


def test_pretrained_weights_by_name(tmp_path, monkeypatch, capsys) -> None:
    """They are the features alone, and are compared on the bundled photos."""
    recorder = Recorder(MANIFEST)
    monkeypatch.setattr("tf_spot.exporters.export", recorder)
    words = ["export", "imagenette96-small", "--format", "onnx", "--out", str(tmp_path / "out")]
    assert main([*words, "--part", "spotter"]) == 2
    assert "--part spotter needs a run folder; received: imagenette96-small, weights" in capsys.readouterr().err
    assert main(words) == 0
    assert recorder.received("imagenette96-small", tmp_path / "out", "onnx", "features", "bundled photos")


def test_a_row_of_a_comparison_has_features_alone(run, tmp_path, monkeypatch, capsys) -> None:
    row = Run.create(tmp_path / "rotation-0", Run(run).config, Run(run).data)
    load_spotter(run).backbone.save(row.model_path("backbone"))
    write_json(row.path / "result.json", {"method": "rotation", "images_seen": 640, "seconds": 1.5})
    recorder = Recorder(MANIFEST)
    monkeypatch.setattr("tf_spot.exporters.export", recorder)
    words = ["export", str(row.path), "--format", "onnx", "--out", str(tmp_path / "out")]
    assert main([*words, "--part", "spotter"]) == 2
    assert "it is of the method rotation, which trains a backbone alone" in capsys.readouterr().err
    assert main(words) == 0
    assert recorder.received("features")
    assert Signature(recorder.given[0], "features").image_size == 16
