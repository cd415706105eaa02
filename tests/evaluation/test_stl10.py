"""STL-10's ten folds from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.evaluation_data import ten_folds, write_stl10
from tf_spot.cli import main
from tf_spot.runs.run import Run


@pytest.mark.slow
def test_stl10_from_the_command_line(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten folds, two layers, finetuned; stopped in the middle it goes on; every figure is of the whole test set."""
    root = write_stl10(tmp_path, ten_folds())
    command = ["evaluate", str(run.path), "--data", f"stl10:{root}", "--task", "stl10", "--layers", "conv2,conv5",
               "--strategy", "none"]  # fmt: skip
    from tf_spot.evaluation import stl10

    def stop(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    real = stl10.fit_classifier
    monkeypatch.setattr(stl10, "fit_classifier", stop)
    assert main([*command, "--epochs", "1"]) == 130
    monkeypatch.setattr(stl10, "fit_classifier", real)
    assert main([*command, "--epochs", "1"]) == 0
    result = json.loads((run.path / "results" / "stl10-stl10.json").read_text())
    assert result["parts_resumed"] == 1
    for figures in (result, result["rivals"]["random"]):
        assert list(figures["by_layer"]) == list(figures["folds"]) == ["conv2", "conv5", "finetuned"]
        for name, values in figures["folds"].items():
            assert len(values) == 10 and all(round(value * 12 / 100, 2) % 1 in (0, 1) for value in values)
            assert figures["by_layer"][name] == pytest.approx(np.mean(values), abs=0.01)
            assert figures["deviation"][name] == pytest.approx(np.std(values, ddof=1), abs=0.01)
    assert (result["train_images"], result["test_images"]) == (24, 12)
    assert set(result["official_files"].values()) == {False}
    assert result["by_layer"]["conv2"] > 80  # colours are there without any training
    frozen = result
    assert main([*command, "--frozen-only"]) == 0
    result = json.loads((run.path / "results" / "stl10-stl10.json").read_text())
    assert list(result["by_layer"]) == ["conv2", "conv5"] and result["recipe"] is None
    assert result["folds"]["conv5"] == frozen["folds"]["conv5"]
    assert "conv5" in capsys.readouterr().out
