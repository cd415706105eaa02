"""The table of games that differ in one field."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from tests.report.example import DATA
from tf_spot.config import LAYERS, preset
from tf_spot.errors import UserError
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_json

STUDY = runpy.run_path(str(Path(__file__).parents[2] / "studies" / "games.py"))


def evaluated(path: Path, auc: float, **changes: object) -> Path:
    """A run folder with the results that the study reads."""
    run = Run.create(path, preset("tiny").replace(**changes), DATA)
    kind = {"critic_auc": auc, "critic_stderr": 0.02, "patch_distance": 0.014, "brightness_shift": -0.5}
    made = {"command": "tf-spot evaluate", "commit": "abc"}
    repair = {"kinds": {"unrepaired": kind | {"critic_auc": 0.96}, "repaired": kind}, "autoencoder": {}, "critic": {}}
    probe = {"by_layer": dict.fromkeys(LAYERS, 60.0), "stderr": 0.8, "train_images": 9, "test_images": 9}
    write_json(path / "results" / "repair-set.json", repair | made)
    write_json(path / "results" / "linear-set.json", probe | made)
    return run.path


def test_rows_are_named_by_what_differs_from_the_first(tmp_path: Path) -> None:
    paths = [
        evaluated(tmp_path / "first", 0.85),
        evaluated(tmp_path / "other", 0.9, **{"game.mask_weight": 3.0, "training.seed": 1}),
    ]
    runs = [STUDY["gather"](path, "set") for path in paths]
    head, _, first, other, damaged = STUDY["table"]({"data": "set", "runs": runs}).splitlines()
    assert head == "set, 32 pixels, 1,600 steps of 64 photos"
    assert first.split() == ["the", "game", "as", "it", "is", "0.850", "±", "0.020", "0.014", "-0.5", "60.0"]
    assert other.split()[:3] == ["game.mask_weight=3.0", "training.seed=1", "0.900"]
    assert damaged == "unrepaired: critic AUC 0.960 to 0.960"


def test_run_that_was_not_evaluated_is_refused(tmp_path: Path) -> None:
    path = evaluated(tmp_path / "run", 0.8)
    (path / "results" / "linear-set.json").unlink()
    with pytest.raises(UserError, match="must have been evaluated.* without .*linear-set.json"):
        STUDY["gather"](path, "set")
