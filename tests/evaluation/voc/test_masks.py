"""Segmentation masks as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tf_spot.evaluation.voc.masks import palette, save_mask


def test_masks_are_paletted_in_the_colours_of_the_devkit(tmp_path: Path) -> None:
    classes = np.uint8([[0, 1, 2], [15, 20, 255]])
    save_mask(tmp_path / "a" / "m.png", classes)
    with Image.open(tmp_path / "a" / "m.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), classes)
        # background, aeroplane, bicycle, person, tvmonitor and border, as the devkit's colour map has them
        colours = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128], [0, 64, 128], [224, 224, 192]]
        assert np.asarray(image.convert("RGB")).reshape(6, 3).tolist() == colours
    assert len(palette()) == 768
