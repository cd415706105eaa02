"""`tf-spot embed`: what is refused before anything is loaded. Its rows are tested in tests/inference."""

from __future__ import annotations

from pathlib import Path

import pytest

from tf_spot.cli import main


def test_devices_do_not_share_an_exported_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    words = ["--data", "photos", "--out", str(tmp_path / "a.npz"), "--strategy", "mirrored"]
    assert main(["embed", str(tmp_path), *words]) == 2
    assert f"--strategy mirrored needs a run folder; received: {tmp_path}" in capsys.readouterr().err
