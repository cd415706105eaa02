"""What each format needs: named before any work is done, and installed by the extra that is named."""

import configparser
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tf_spot.errors import UserError
from tf_spot.exporters import export, verify
from tf_spot.exporters.export import FORMATS
from tf_spot.exporters.requirements import NEEDS, versions

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("kind", "module", "extra"), [
    ("saved_model", "tensorflow_serving", "serving"), ("tflite", "ai_edge_litert", "litert"),
    ("onnx", "onnxruntime", "onnx"), ("onnx", "tf2onnx", "onnx"),
])  # fmt: skip
def test_a_missing_extra_is_named(spotter, photos, tmp_path, monkeypatch, kind, module, extra) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    with pytest.raises(UserError, match=rf"which is missing; run pip install tf-spot\[{extra}\]"):
        export(spotter, tmp_path / "out", format=kind, photos=photos)
    assert not list(tmp_path.iterdir())


def test_verify_needs_only_what_runs_the_artifact(onnx_bundle, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    verify(onnx_bundle)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="onnxruntime, which is missing"):
        verify(onnx_bundle)


def test_each_extra_installs_what_its_format_needs() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    assert set(NEEDS) == set(FORMATS)
    for needs in NEEDS.values():
        lines = setup["options.extras_require"][needs.extra].split("\n")
        installed = {Requirement(line).name for line in lines if line}
        assert {package.name for package in needs.run + needs.write} <= installed


def test_versions_are_of_the_installed_packages() -> None:
    import onnxruntime

    found = versions("onnx")
    assert set(found) == {"onnxruntime", "onnx", "tf2onnx"} and found["onnxruntime"] == onnxruntime.__version__
    assert set(versions("tflite")) == {"ai-edge-litert"}
