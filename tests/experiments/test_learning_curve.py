"""Accuracy against images seen: when it is measured, how it is read and averaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import pytest

from tests.support.comparison_recipe import CONFIG
from tf_spot.experiments import learning_curve
from tf_spot.experiments.learning_curve import Curve, read_curve
from tf_spot.report.comparison import mean_curve


def test_a_point_is_measured_at_the_end_of_the_epoch_that_completes_a_quarter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 12 steps in epochs of 2 and batches of 4: after 4, 6 and 10 steps; the last point is left to the caller."""
    points: list[Any] = []
    monkeypatch.setattr(learning_curve, "add_point", lambda *arguments: points.append(arguments))
    training = CONFIG.replace(**{"training.steps_per_epoch": 2}).training
    curve = Curve(tmp_path, "source", lambda model: "features", training, 12, images_before=100)
    curve.set_model(keras.Sequential())
    for epoch in range(6):
        curve.on_epoch_end(epoch)
    assert points == [(tmp_path, "source", "features", 100 + 4 * steps) for steps in (4, 6, 10)]


def test_of_points_written_twice_the_last_counts(tmp_path: Path) -> None:
    """A row continued from a checkpoint may measure a point again."""
    assert read_curve(tmp_path) == []
    lines = [{"images_seen": images, "value": value} for images, value in ((8, 20.0), (16, 30.0), (8, 25.0))]
    (tmp_path / "curve.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [(line["images_seen"], line["value"]) for line in read_curve(tmp_path)] == [(8, 25.0), (16, 30.0)]


def test_the_curve_of_several_seeds_is_their_mean() -> None:
    curves = [[{"images_seen": 4, "value": a}, {"images_seen": 8, "value": a + 10}] for a in (20.0, 30.0)]
    assert mean_curve(curves) == ([4.0, 8.0], [25.0, 35.0])
