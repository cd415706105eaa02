"""A folder of noise with a training and a test split, for packing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def noise_photos(folder: Path) -> Path:
    """Write two classes of JPEG and PNG noise, 20 photos to train on and 6 to test on; return `folder`."""
    random = np.random.default_rng(0)
    for split, count in (("train", 10), ("test", 3)):
        for label in ("ant", "bee"):
            (folder / split / label).mkdir(parents=True)
            for i in range(count):
                photo = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8))
                photo.save(folder / split / label / f"{i}.{'png' if i % 2 else 'jpg'}")
    return folder
