"""The colour photos that scikit-learn and scikit-image install with themselves, cut into patches.

    astronaut   NASA, public domain            hubble      NASA, public domain
    chelsea     Stefan van der Walt, CC0       motorcycle  Scharstein et al., Middlebury stereo set of 2014
    coffee      Rachel Michetti, CC0           retina      Mikael Häggström, CC0
    rocket      SpaceX, public domain          tissue      CMMI, no known copyright restrictions
    china       danielbuechele, CC BY 2.0      flower      vultilion, CC BY 2.0

Nothing is downloaded: photos that scikit-image would have to fetch are not used.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from tf_spot.config import DataConfig
from tf_spot.data.source import Source
from tf_spot.errors import UserError

PHOTOS = {  # label: (package, file within it)
    "astronaut": ("skimage", "data/astronaut.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "coffee": ("skimage", "data/coffee.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "hubble": ("skimage", "data/hubble_deep_field.jpg"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "retina": ("skimage", "data/retina.jpg"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "tissue": ("skimage", "data/ihc.png"),
}
PATCHES_A_SIDE = 5  # a patch is a fifth of the photo's shorter side
TRAIN_COLUMNS = (0.0, 0.7)  # shares of the width; what lies between the two regions is used by neither
TEST_COLUMNS = (0.75, 1.0)
TRAIN_GRID = (16, 16)  # rows and columns of patches, the same for every photo, so that none dominates
TEST_GRID = (8, 5)


class Window(NamedTuple):
    """Where a patch lies, in pixels."""

    photo: int  # index
    top: int
    left: int
    side: int


class PhotoPatches:
    """Overlapping square patches on a grid over one region of each photo; the label is the photo.

    The photos are held once; a patch is a view of its photo.

    Args:
        photos: uint8 (height, width, 3) each.
        columns: the region, as shares of the width.
        grid: rows and columns of patches in the region of a photo.
    """

    def __init__(self, photos: list[np.ndarray], columns: tuple[float, float], grid: tuple[int, int]) -> None:
        self.photos, self.columns, self.grid = photos, columns, grid
        self.labels: np.ndarray | None = np.repeat(np.arange(len(photos), dtype=np.int32), grid[0] * grid[1])

    def __len__(self) -> int:
        return len(self.photos) * self.grid[0] * self.grid[1]

    def read(self, index: int) -> np.ndarray:
        """Return a patch, uint8 (side, side, 3)."""
        photo, top, left, side = self.window(index)
        return np.ascontiguousarray(self.photos[photo][top : top + side, left : left + side])

    def name(self, index: int) -> str:
        photo, top, left, _ = self.window(index)
        return f"{photo}/{top}-{left}"

    def window(self, index: int) -> Window:
        """Return where a patch lies; the first and last patches touch the region's borders."""
        rows, columns = self.grid
        photo, cell = divmod(index, rows * columns)
        row, column = divmod(cell, columns)
        height, width = self.photos[photo].shape[:2]
        side = min(height, width) // PATCHES_A_SIDE
        first, last = (round(share * width) for share in self.columns)
        top = row * (height - side) // (rows - 1)
        left = first + column * (last - first - side) // (columns - 1)
        return Window(photo, top, left, side)


def open_photos(*, image_size: int, config: DataConfig, seed: int = 0) -> Source:
    """Open patches of ten photos, from the left part of each for training and from the right for testing.

    Patches overlap within a region, so held-out patches share pixels with patches trained on; test patches do not.

    Raises:
        UserError: an installed package lacks its photos.
    """
    photos = [_load(package, file, image_size) for package, file in PHOTOS.values()]
    digest = hashlib.sha256()  # of the pixels: other releases of the packages may decode or store them otherwise
    for photo in photos:
        digest.update(f"{photo.shape}".encode() + photo.tobytes())
    return Source.from_images(
        "photos",
        "photos",
        PhotoPatches(photos, TRAIN_COLUMNS, TRAIN_GRID),
        PhotoPatches(photos, TEST_COLUMNS, TEST_GRID),
        image_size=image_size,
        config=config,
        fingerprint=digest.hexdigest(),
        class_names=list(PHOTOS),
        seed=seed,
    )


def _load(package: str, file: str, image_size: int) -> np.ndarray:
    """Return a photo, shrunk so far that its patches are at most twice `image_size`: uint8 (height, width, 3)."""
    # The file of the package, without importing it: scikit-image takes a second.
    spec = importlib.util.find_spec(package)
    path = Path(spec.origin).parent / file if spec is not None and spec.origin else Path(file)
    if not path.is_file():
        raise UserError(f"`photos` needs {path.name} of {package}, which is not installed; reinstall {package}")
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    scale = min(1.0, 2 * image_size * PATCHES_A_SIDE / min(image.size))
    size = (round(scale * image.width), round(scale * image.height))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))
