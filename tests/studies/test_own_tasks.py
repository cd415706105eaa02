"""What methods learned of their own tasks: accuracies of guessing, curves of a row, the table."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from tf_spot.baselines import METHODS
from tf_spot.config import preset
from tf_spot.runs.run import Run

STUDY = runpy.run_path(str(Path(__file__).parents[2] / "studies" / "own_tasks.py"))


def test_guessing_by_batch_photos_and_classes() -> None:
    few, many = (STUDY["chances"](64, photos, 10) for photos in (100, 9_000))
    assert set(few) < set(METHODS)
    assert few["context"] == 0.15 and few["simclr"] == 1 / 127 and few["supervised"] == 0.1
    assert few["exemplar"] == 0.01 and many["exemplar"] == 0.5


def test_a_row_is_judged_where_its_curve_has_points(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "context-0", preset("tiny"), {"fingerprint": "of photos"})
    lines = [
        {"stage": "context", "step": step, "images_seen": 4 * step, "pretext_accuracy": step / 10} for step in (1, 2)
    ]
    (run.path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run.path / "curve.jsonl").write_text(json.dumps({"images_seen": 8, "value": 51.5, "stderr": 1.1}) + "\n")
    row = STUDY["judge"](run.path, 0.15)
    assert row == {"chance": 0.15, "points": [{"images_seen": 8, "task": 0.2, "conv5": 51.5}]}


def test_the_table_names_chance_where_there_is_one() -> None:
    points = [{"images_seen": images, "task": images / 100, "conv5": 50.0 + images} for images in (1, 2, 3, 4)]
    result = {
        "data": "photos",
        "methods": {"rotation": {"chance": 0.25, "points": points}, "bigan": {"chance": None, "points": points}},
        "at_start": {"colours": {"value": 51.5, "layer": "conv5", "stderr": 1.14}},
    }
    *_, rotation, bigan, random, error = STUDY["table"](result).splitlines()
    assert rotation.split() == ["rotation", "1.0", "2.0", "3.0", "4.0", "25.0", "51.0", "52.0", "53.0", "54.0"]
    assert bigan.split()[5] == "-" and len(bigan) == len(rotation) == len(random)
    assert random.split() == ["random,", "colours", "51.5"] and error == "standard error of conv5: 1.1"


def test_a_folder_without_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sys.argv", ["own_tasks.py", str(tmp_path), "--data", "photos", "--out", str(tmp_path / "x.json")]
    )
    with pytest.raises(SystemExit, match="must be a folder of tf-spot compare"):
        STUDY["main"]()
