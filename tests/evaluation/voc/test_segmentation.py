"""VOC's segmentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from tf_spot.cli import main
from tf_spot.data.voc import VOC
from tf_spot.evaluation.voc.masks import save_mask
from tf_spot.evaluation.voc.metrics import confusion, unions
from tf_spot.evaluation.voc.segmentation import pixel_loss
from tf_spot.runs.run import Run


def test_pixels_without_a_class_do_not_count_in_the_loss() -> None:
    logits = np.zeros((1, 1, 3, 21), np.float32)
    logits[0, 0, 2, 5] = 9
    classes = np.uint8([[[0, 20, 255]]])
    assert float(pixel_loss(classes, keras.ops.convert_to_tensor(logits))) == pytest.approx(np.log(21))
    assert float(pixel_loss(np.full_like(classes, 255), keras.ops.convert_to_tensor(logits))) == 0


@pytest.mark.slow
def test_segmentation_from_the_command_line(devkit: Path, run: Run) -> None:
    """The left half of a photo is of its class, the right one background; the last row is border."""
    root = devkit / "VOC2007"
    (root / "ImageSets" / "Segmentation").mkdir()
    for split, first, count in (("train", 0, 20), ("val", 20, 20), ("test", 100, 6)):
        names = [f"{number:06d}" for number in range(first, first + count)]
        (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(names))
        for name in names:
            mask = np.zeros((30, 40), np.uint8)
            mask[:, :20] = 1 + int(name) % 2
            mask[-1] = 255
            with Image.open(root / "JPEGImages" / f"{name}.jpg") as file:
                photo = np.array(file)
            photo[:, 20:] = 0
            Image.fromarray(photo).save(root / "JPEGImages" / f"{name}.jpg")
            save_mask(root / "SegmentationClass" / f"{name}.png", mask)
    command = ["evaluate", str(run.path), "--data", f"voc:{devkit}", "--task", "voc-segmentation", "--strategy", "none"]
    assert main([*command, "--epochs", "30", "--patience", "30", "--learning-rate", "0.01"]) == 0
    result: dict[str, Any] = json.loads((run.path / "results" / "voc-segmentation-voc2007.json").read_text())
    assert (result["train_images"], result["test_images"], result["splits"]) == (40, 6, ["train+val", "test"])
    assert result["by_class"]["background"] > 60 and result["value"] > 40
    counts = np.zeros((21, 21), int)
    for number in range(100, 106):
        with Image.open(run.path / "results" / "voc-segmentation-masks" / "spot" / f"{number:06d}.png") as found:
            counts += confusion(VOC(f"voc:{devkit}").segmentation(f"{number:06d}")[1], np.asarray(found), 21, 255)
    assert round(100 * np.nanmean(unions(counts)), 2) == result["value"]
    assert main([*command, "--rescale"]) == 2
