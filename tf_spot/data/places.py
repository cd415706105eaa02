"""Places205 and Places365-Standard as they are unpacked: photos in one tree, and lists of the splits.

    places205    trainvalsplit_places205/train_places205.csv, val_places205.csv    lines `a/abbey/NAME.jpg 0`
                 data/vision/torralba/deeplearning/images256/a/abbey/NAME.jpg
    places365    places365_train_standard.txt, places365_val.txt                   lines `/a/airfield/NAME.jpg 0`
                 data_256/a/airfield/NAME.jpg, val_256/NAME.jpg                    or data_large, val_large

Places365 with one subfolder per class in `train` and `val` is `folder:PATH`.

Source: http://places.csail.mit.edu and the development kit of Places365.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tf_spot.config import DataConfig
from tf_spot.data.folder import FolderImages, fingerprint
from tf_spot.data.source import Source
from tf_spot.errors import UserError


class Layout(NamedTuple):
    """Where the lists and the photos of training and validation lie; of several folders the first that exists."""

    name: str
    lists: tuple[str, str]  # of training, of validation
    photos: tuple[tuple[str, ...], tuple[str, ...]]  # folders that may hold those of training, of validation


# One tree holds all photos of Places205; the paths in its lists begin there.
_ALL_OF_205 = ("data/vision/torralba/deeplearning/images256",)
LAYOUTS = (
    Layout(
        "places205",
        ("trainvalsplit_places205/train_places205.csv", "trainvalsplit_places205/val_places205.csv"),
        (_ALL_OF_205, _ALL_OF_205),
    ),
    Layout(
        "places365",
        ("places365_train_standard.txt", "places365_val.txt"),
        (
            ("data_256", "data_256_standard", "data_large", "data_large_standard"),
            ("val_256", "val_large"),
        ),
    ),
)


def open_places(path: str, *, image_size: int, config: DataConfig, seed: int = 0) -> Source:
    """Open the photos that the lists in `path` name: those for training, and those for validation as the test split.

    Raises:
        UserError: no lists, no photos, or lines that are no photo with a label.
    """
    root = Path(path).expanduser()
    layout = next((layout for layout in LAYOUTS if all((root / name).is_file() for name in layout.lists)), None)
    if layout is None:
        raise UserError(
            f"places:PATH must hold {' or '.join(' and '.join(layout.lists) for layout in LAYOUTS)}; received: {path} "
            "without them; a folder with one subfolder per class is folder:PATH"
        )
    (names, labels), (test_names, test_labels) = (_listed(root / name) for name in layout.lists)
    class_names = _class_names(names, labels, layout.lists[0])
    if test_labels.max() >= len(class_names):
        raise UserError(
            f"{layout.lists[1]} must have the {len(class_names)} classes of {layout.lists[0]}; received: class "
            f"{test_labels.max()}"
        )
    train = FolderImages(_folder(root, layout.photos[0]), names, labels, image_size)
    test = FolderImages(_folder(root, layout.photos[1]), test_names, test_labels, image_size)
    return Source.from_images(
        layout.name,
        f"places:{path}",
        train,
        test,
        image_size=image_size,
        config=config,
        fingerprint=fingerprint(train, test),
        class_names=class_names,
        seed=seed,
    )


def _folder(root: Path, names: tuple[str, ...]) -> Path:
    """Return the first of the folders that exists."""
    folder = next((root / name for name in names if (root / name).is_dir()), None)
    if folder is None:
        raise UserError(f"the photos of Places must be in {root} in {' or '.join(names)}; received: none of these")
    return folder


def _listed(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a list: names, bytes (photos,), and labels, int32 (photos,)."""
    names, labels = [], []
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        name, _, label = line.rpartition(b" ")
        if not name or not label.isdigit():
            raise UserError(
                f"every line of {file.name} must be a photo and its class, such as a/abbey/1.jpg 0; received: line "
                f"{number}: {line.decode(errors='replace')}"
            )
        names.append(name.lstrip(b"/"))  # Places365 begins its names with a slash
        labels.append(int(label))
    if not names:
        raise UserError(f"{file.name} must list photos; received: an empty file; is the download complete?")
    return np.array(names), np.array(labels, np.int32)


def _class_names(names: np.ndarray, labels: np.ndarray, file: str) -> list[str]:
    """Return names by label: a photo's folders less the first, the initial: `field/wild` of `f/field/wild/1.jpg`."""
    # One photo of each class is enough to name it.
    known, first = np.unique(labels, return_index=True)
    missing = np.setdiff1d(np.arange(known[-1]), known)
    if len(missing):
        raise UserError(f"{file} must have photos of every class; received: none of class {missing[0]}")
    return ["/".join(os.fsdecode(bytes(name)).split("/")[1:-1]) for name in names[first]]
