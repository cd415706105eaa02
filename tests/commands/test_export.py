"""`tf-spot export`: options that need photos, and what it prints of the manifest."""

import pytest

from tests.commands.example import Recorder, last_line
from tf_spot.cli import main


@pytest.mark.parametrize("words", [["--probe"], ["--quantize", "int8"], ["--quantize", "int8-integer"]])
def test_photos_are_asked_for_before_anything_is_loaded(words, tmp_path, capsys) -> None:
    assert main(["export", "no-such-run", "--format", "tflite", "--out", str(tmp_path / "x"), *words]) == 2
    assert "received no --data" in capsys.readouterr().err


def test_options_reach_the_exporter_and_the_manifest_is_printed(run, tmp_path, monkeypatch, capsys) -> None:
    """Of all batches and outputs the largest deviation is printed."""
    parity = {"1": {"conv1": {"share": 0.1, "relative_rms": 0.01}}, "4": {"conv5": {"share": 0.3, "relative_rms": 0.0}}}
    manifest = {"part": "spotter", "format": "onnx", "quantization": "int8", "artifact": "model.onnx", "size_bytes": 9}
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
    assert "model.onnx" in out.splitlines()[3]
