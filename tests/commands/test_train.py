"""What `tf-spot train` makes of its options and prints of the plan; the training itself is a stand-in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tf_spot.cli import main
from tf_spot.config import preset
from tf_spot.runs.run import Run
from tf_spot.training import train as training

KNOWN = {"data": "mine (folder:mine)", "photos": 24}
COUNTS = [{"autoencoder_parameters": 9075}, {"discriminator_parameters": 671955}]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments that `train` is called with."""
    seen: dict[str, Any] = {}

    def train(config: Any, spec: str, out: Path, **options: Any) -> None:
        seen.update(options, config=config, spec=spec)
        for numbers in (KNOWN, *COUNTS):
            options["on_plan"](numbers)
        run = Run.create(out, config, {"spec": spec, "name": "mine", "fingerprint": "1f", "counts": {}})
        run.add_metrics({"stage": "spotter", "step": 3, "mask_loss": 0.123456789})

    monkeypatch.setattr(training, "train", train)
    return seen


def test_the_plan_is_printed_as_it_becomes_known_and_whole_in_json(
    asked: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "run")
    assert main(["train", "--data", "folder:mine", "--out", out, "--preset", "tiny", "--json"]) == 0
    printed = capsys.readouterr()
    assert [line.split(maxsplit=1) for line in printed.err.splitlines()] == [
        ["data", "mine (folder:mine)"],
        ["photos", "24"],
        ["autoencoder", "parameters     9075"],
        ["discriminator", "parameters   671955"],
    ]
    result = json.loads(printed.out.splitlines()[-1])
    assert list(result["plan"].items()) == [*KNOWN.items(), *COUNTS[0].items(), *COUNTS[1].items()]
    assert result["run"] == out and result["last"]["mask_loss"] == 0.123456789


def test_options_reach_the_training(asked: dict[str, Any], tmp_path: Path) -> None:
    words = ["--set", "game.drop_rate=0.3", "--recompute", "--strict", "--autoencoder", "other", "--strategy", "none"]
    assert main(["train", "--data", "photos", "--out", str(tmp_path / "run"), "--preset", "tiny", *words]) == 0
    assert asked["config"] == preset("tiny").replace(**{"game.drop_rate": 0.3, "training.recompute": True})
    assert (asked["spec"], asked["strict"], asked["resume"]) == ("photos", True, False)
    assert asked["autoencoder"] == Path("other") and asked["strategy"].num_replicas_in_sync == 1
