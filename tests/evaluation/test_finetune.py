"""Finetuning from the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.evaluation_data import CONFIG, SIZE
from tf_spot.cli import main
from tf_spot.data import load
from tf_spot.evaluation import finetune as finetuning
from tf_spot.evaluation.fit_classifier import share_correct
from tf_spot.runs.load import load_classifier
from tf_spot.runs.run import Run


@pytest.mark.slow
def test_finetune_from_the_command_line(
    run: Run, folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stopped after its first half it goes on with the second; the record is whole, and the classifier is the run's."""
    command = ["evaluate", str(run.path), "--data", folder, "--task", "finetune", "--epochs", "2", "--patience", "2",
               "--trained-layers", "2", "--learning-rate", "0.002", "--strategy", "none", "--json"]  # fmt: skip
    real, started = finetuning.fit_classifier, []

    def stopped(start: Any, *arguments: Any, **options: Any) -> Any:
        started.append(start)
        if len(started) == 2:
            raise KeyboardInterrupt
        return real(start, *arguments, **options)

    monkeypatch.setattr(finetuning, "fit_classifier", stopped)
    assert main(command) == 130
    assert not list((run.path / "results").glob("*.json"))
    assert main(command) == 0
    assert len(started) == 3
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    (file,) = (run.path / "results").glob("finetune-*.json")
    assert json.loads(file.read_text()) == result
    assert (result["parts_resumed"], result["train_images"], result["test_images"]) == (1, 60, 12)
    assert result["recipe"]["trained_layers"] == 2 and result["recipe"]["learning_rate"] == 0.002
    assert {"config", "commit", "versions", "fingerprint", "seed", "evaluation_seconds", "machine"} < set(result)
    assert set(result["rivals"]) == {"random"}
    assert not (run.path / "results" / "parts").exists()
    classifier = load_classifier(run)
    source = load(folder, image_size=SIZE, config=CONFIG.data)
    assert classifier.class_names == ["b", "g", "r"]
    assert round(100 * share_correct(classifier, source.labelled("test", 8))[0], 2) == result["value"]
