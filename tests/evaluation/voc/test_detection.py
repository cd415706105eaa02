"""VOC's detection: the boxes found, and the task from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.evaluation_data import untrained_run
from tests.support.voc_devkits import DOG, TESTED, TRAINED
from tf_spot.cli import main
from tf_spot.errors import UserError
from tf_spot.evaluation.evaluate_run import evaluate_run
from tf_spot.evaluation.finetune import Recipe
from tf_spot.evaluation.voc import detection
from tf_spot.evaluation.voc.detection import detect


class Answers(keras.Model):
    """A detector that is sure of a dog in the first box and half as sure in the next, and moves nothing."""

    def call(self, inputs: Any, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        _, boxes, _ = inputs
        count = tf.shape(boxes)[0]
        sure = tf.concat([[8.0, 4.0], tf.fill([count - 2], -20.0)], axis=0)
        return tf.one_hot(tf.fill([count], 1 + DOG), 21) * sure[:, None], tf.zeros((count, 21, 4))


def test_overlapping_boxes_of_a_class_are_suppressed_and_come_back_in_pixels_of_the_photo() -> None:
    photo = np.zeros((50, 100, 3), np.uint8)
    box, beside, apart = [0.0, 0.0, 50.0, 40.0], [0.0, 5.0, 50.0, 45.0], [10.0, 60.0, 40.0, 100.0]
    for boxes, wanted in (([box, beside, apart], [box]), ([box, apart, beside], [box, apart])):
        ours = detect(Answers(), photo, np.float32(boxes), 40)
        dogs = ours.scores > 0.1
        np.testing.assert_allclose(ours.boxes[dogs], wanted, atol=1e-3)
        assert set(ours.classes[dogs]) == {DOG}


@pytest.mark.slow
def test_detection_from_the_command_line(
    boxed_devkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stopped after the first training, it goes on with the test of it; dogs and cats are then found."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    run = untrained_run(tmp_path / "run", network__fc_units=32)
    command = ["evaluate", str(run.path), "--data", f"voc:{boxed_devkit}", "--task", "voc-detection",
               "--strategy", "none", "--epochs", "20", "--learning-rate", "0.003", "--scales", "40,48",
               "--test-scale", "48"]  # fmt: skip
    real, trained = detection.fit_detector, []

    def counted(*arguments: Any) -> Any:
        trained.append(arguments[0])
        return real(*arguments)

    def stop(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(detection, "fit_detector", counted)
    with monkeypatch.context() as patch:
        patch.setattr(detection, "detect", stop)
        assert main(command) == 130
    assert main(command) == 0
    assert len(trained) == 2  # one a method
    result: dict[str, Any] = json.loads((run.path / "results" / "voc-detection-voc2007.json").read_text())
    assert (result["train_images"], result["test_images"], result["splits"]) == (TRAINED, TESTED, ["trainval", "test"])
    assert (result["scales"], result["test_scale"], result["units"], result["epochs"]) == ([40, 48], 48, 32, 20)
    assert result["proposals"]["recall"] == 100 and result["parts_resumed"] == 1
    assert min(result["by_class"][name]["11-point"] for name in ("dog", "cat")) > 30 and result["value"] > 50
    assert result["by_class"]["sofa"] == {"11-point": None, "area": None}
    assert result["value"] == result["by_layer"]["11-point"]
    assert list(result["rivals"]) == ["random"]
    assert "voc-detection on voc2007" in capsys.readouterr().out
    assert not (run.path / "results" / "parts").exists()
    for method in ("spot", "random"):
        dogs = run.path / "results" / "voc-detection-boxes" / method / "comp4_det_test_dog.txt"
        assert len(dogs.read_text().splitlines()) > 0


def test_options_that_do_not_fit_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    def begin(**options: Any) -> None:
        folders = {"proposals": Path("x"), "boxes": Path("x")}
        detection.voc_detection(None, None, Recipe(), None, image_size=64, units=8, **folders, **options)

    with pytest.raises(UserError, match=r"32 pixels or more; received: \[96, 16\] and 128"):
        begin(scales=[96, 16])
    with pytest.raises(UserError, match="received: .* and 8"):
        begin(test_scale=8)
    with pytest.raises(UserError, match="leave out --patience"):
        evaluate_run("none", "voc:x", "voc-detection", recipe=Recipe(patience=1))
    with pytest.raises(UserError, match="--test-scale goes with --task voc-detection"):
        evaluate_run("none", "voc:x", "voc-segmentation", test_scale=64)
    with pytest.raises(SystemExit):
        main(["evaluate", "none", "--data", "voc:x", "--task", "voc-detection", "--scales", "wide"])
    assert "must be whole numbers like 96,128; received: wide" in capsys.readouterr().err
