"""`tf-spot embed`: what is refused before anything is loaded. Its rows are tested in tests/inference."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.example import Recorder, last_line
from tf_spot.cli import main


def test_devices_do_not_share_an_exported_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    words = ["--data", "photos", "--out", str(tmp_path / "a.npz"), "--strategy", "mirrored"]
    assert main(["embed", str(tmp_path), *words]) == 2
    assert f"--strategy mirrored needs a run folder; received: {tmp_path}" in capsys.readouterr().err


@pytest.fixture
def embed(monkeypatch) -> Recorder:
    recorder = Recorder({"rows": 12, "dim": 256})
    monkeypatch.setattr("tf_spot.inference.embed.embed", recorder)
    return recorder


@pytest.mark.usefixtures("empty_run")
def test_options_reach_the_job(embed, tmp_path, capsys) -> None:
    words = ["--layer", "conv3", "--split", "test", "--batch-size", "7", "--resume", "--strategy", "none", "--json"]
    assert main(["embed", "RUN", "--data", "photos", "--out", str(tmp_path / "x.npz"), *words]) == 0
    assert embed.received("photos", tmp_path / "x.npz", "conv3", "test", 7, True)
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["rows", "12"] and last_line(out) == {"rows": 12, "dim": 256}


@pytest.mark.usefixtures("empty_run")
def test_defaults(embed, tmp_path) -> None:
    assert main(["embed", "RUN", "--data", "photos", "--out", str(tmp_path / "x.npz"), "--strategy", "none"]) == 0
    assert embed.received("conv5", "all", 64, False)


def test_an_exported_model_is_not_mirrored(embed, tmp_path, capsys) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    words = ["embed", str(tmp_path), "--data", "photos", "--out", str(tmp_path / "x.npz"), "--strategy", "mirrored"]
    assert main(words) == 2
    assert "--strategy mirrored" in capsys.readouterr().err and embed.given == []
