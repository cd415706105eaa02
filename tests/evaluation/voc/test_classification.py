"""VOC's classification."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tf_spot.cli import main
from tf_spot.config import PAPER
from tf_spot.data.labelled import LabelledPhotos
from tf_spot.data.voc import VOC
from tf_spot.evaluation.voc.classification import sure_sigmoids, ten_crops
from tf_spot.runs.run import Run


def test_loss_leaves_difficult_classes_out() -> None:
    logits = np.float32([[0.0, 5.0, 2.0], [1.0, 1.0, 1.0]])
    labels = np.float32([[1, 0, -1], [0, 0, 0]])
    by_hand = (np.log(2) + np.log1p(np.exp(2.0))) / 2
    np.testing.assert_allclose(sure_sigmoids(labels, keras.ops.convert_to_tensor(logits)), [by_hand, 0], rtol=1e-6)


def test_ten_crops_are_corners_and_centre_and_their_mirrors() -> None:
    photo = np.zeros((20, 20, 3), np.uint8)
    photo[:3, :3] = 255  # the first corner's crop of 17 pixels alone holds all of it
    photos = LabelledPhotos([photo] * 17, np.zeros((17, 20)), image_size=17, config=PAPER.data, name="x")
    batches = list(ten_crops(photos))
    assert [batch.shape for batch in batches] == [(160, 17, 17, 3), (10, 17, 17, 3)]
    crops = batches[1]
    lit = (crops[..., 0] > 0).sum(axis=(1, 2))
    assert lit.tolist() == [9, 0, 0, 0, 4, 9, 0, 0, 0, 4]
    np.testing.assert_array_equal(crops[5:], crops[:5, :, ::-1])
    assert (crops.min(), crops.max()) == (-1, 1)


@pytest.mark.slow
def test_classification_from_the_command_line(devkit: Path, run: Run) -> None:
    command = ["evaluate", str(run.path), "--data", f"voc:{devkit}", "--task", "voc-classification", "--epochs", "8",
               "--learning-rate", "0.003", "--strategy", "none"]  # fmt: skip
    assert main(command) == 0
    result: dict[str, Any] = json.loads((run.path / "results" / "voc-classification-voc2007.json").read_text())
    assert (result["train_images"], result["test_images"], result["splits"]) == (40, 12, ["trainval", "test"])
    assert result["by_class"]["dog"] == {"11-point": None, "area": None}  # only difficult ones
    assert result["by_class"]["train"]["area"] > 80
    assert result["value"] == result["by_layer"]["11-point"] > 80
    assert result["fingerprint"] == VOC(f"voc:{devkit}").fingerprint()
    assert list(result["rivals"]) == ["random"]
