"""`tf-spot doctor`."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from pathlib import Path

import pytest
import tensorflow as tf

from tf_spot.cli import main
from tf_spot.commands import doctor


def test_it_prints_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--out", str(tmp_path / "not" / "yet"), "--json"]) == 0
    out = capsys.readouterr().out
    found = json.loads(out.splitlines()[-1])
    assert found["versions"]["tensorflow"] == tf.__version__ and found["problems"] == []
    assert found["devices"]["CPU"] >= 1 and found["disk_free_gib"] > 0 and found["cpu_cores"] >= 1
    assert f"tensorflow             {tf.__version__}" in out


def test_a_missing_extra_names_its_command() -> None:
    extra = doctor.examine_extra("onnx", ["numpy", "no-such-package"])
    assert extra == {"missing": ["no-such-package"], "install": "pip install tf-spot[onnx]"}
    found = {"versions": {}, "cpu_cores": 2, "memory_gib": 1.0, "disk_free_gib": 2.0, "extras": {"onnx": extra}}
    text = doctor.format_findings(found | {"problems": ["something"]})
    assert "missing no-such-package; install with: pip install tf-spot[onnx]" in text and "problem: something" in text


def test_extras_are_read_from_the_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "numpy>=2",
        "onnx; extra == 'onnx'",
        'keras-tuner[bayesian]; extra == "tune"',
        "tf2onnx>1; extra == 'onnx'",
    ]
    others = {"keras-tuner": ["numpy", "scipy; extra == 'bayesian'", "black; extra == 'tests'"]}
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: others.get(name, lines))
    assert doctor.extras_of("anything") == {"onnx": ["onnx", "tf2onnx"], "tune": ["keras-tuner", "scipy"]}
    monkeypatch.undo()
    assert doctor.extras_of("no-such-distribution") == {}


def test_the_extra_for_gpus_is_not_ready_without_their_libraries() -> None:
    wanted = doctor.extras_of("tf-spot")["gpu"]
    assert "tensorflow" in wanted and any(name.startswith("nvidia-cudnn") for name in wanted)
    missing = doctor.examine_extra("gpu", wanted)["missing"]
    assert not importlib.util.find_spec("nvidia") or missing == []
    assert importlib.util.find_spec("nvidia") or {name.partition("-")[0] for name in missing} == {"nvidia"}


def test_a_gpu_that_tensorflow_does_not_see_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(doctor, "DRIVER", tmp_path / "version")
    assert doctor._unseen_gpu(0) == []  # no driver
    doctor.DRIVER.touch()
    (problem,) = doctor._unseen_gpu(0)
    assert "pip install tf-spot[gpu]" in problem
    assert doctor._unseen_gpu(1) == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert doctor._unseen_gpu(0) == []  # hidden on purpose


def test_gpus_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda: [gpu])
    details = {"device_name": "Card 9", "compute_capability": (9, 0)}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: details)
    found = doctor.examine()
    assert found["gpus"] == ["Card 9"] and found["devices"]["GPU"] == 1 and "Card 9" in found["bfloat16"]
    assert "GPU 0                  Card 9" in doctor.format_findings(found)


def test_too_little_disk_and_a_missing_package_are_problems(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = type("usage", (), {"free": 2**29})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    monkeypatch.setattr(doctor, "CORE", (*doctor.CORE, "no-such-package"))
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "problem: less than 1 GiB is free" in out and "problem: no-such-package is not installed" in out
