"""STL-10 in its official binary layout.

    train_X.bin, test_X.bin, unlabeled_X.bin   uint8 photos of 96x96, each as planes of columns: (3, width, height)
    train_y.bin, test_y.bin                    uint8 labels from 1
    class_names.txt                            one name per line
    fold_indices.txt                           one training fold per line: zero-based indices in train

Source: https://cs.stanford.edu/~acoates/stl10
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from tf_spot.config import DataConfig
from tf_spot.data.images import BadImage
from tf_spot.data.source import Source
from tf_spot.errors import UserError

SIDE = 96  # pixels
PHOTO_BYTES = 3 * SIDE * SIDE


class BinaryImages:
    """Photos in one binary file, read from it one by one.

    Reading at an offset, not mapping the file: the pages of a map count as memory used.

    Args:
        path: of the file.
        labels: int32 (photos,), or None.

    Raises:
        UserError: the file's size is no whole number of photos, or does not fit the labels.
    """

    def __init__(self, path: Path, labels: np.ndarray | None) -> None:
        self.path, self.labels = path, labels
        size = path.stat().st_size
        if size == 0 or size % PHOTO_BYTES:
            raise UserError(
                f"{path.name} must be a whole number of photos of {PHOTO_BYTES:,} bytes (96x96 RGB); received: "
                f"{size:,} bytes; is the download complete?"
            )
        self._count = size // PHOTO_BYTES
        if labels is not None and len(labels) != self._count:
            raise UserError(
                f"{path.name} must hold one photo per label; received: {self._count:,} photos and {len(labels):,} "
                "labels; is the download complete?"
            )

    def __len__(self) -> int:
        return self._count

    def read(self, index: int) -> np.ndarray:
        """Return a photo, uint8 (96, 96, 3)."""
        try:
            values = np.fromfile(self.path, np.uint8, PHOTO_BYTES, offset=index * PHOTO_BYTES)
            # (3, width, height) to (height, width, 3)
            return np.ascontiguousarray(values.reshape(3, SIDE, SIDE).transpose(2, 1, 0))
        except (OSError, ValueError) as error:
            raise BadImage(str(error)) from error

    def name(self, index: int) -> str:
        return f"{self.path.name}:{index}"


def open_stl10(path: str, *, image_size: int, config: DataConfig, seed: int = 0) -> Source:
    """Open the binaries in `path`, or in `path/stl10_binary`.

    Without unlabeled_X.bin the photos of train_X.bin are trained on without labels.

    Raises:
        UserError: a file is missing, or its size or content does not fit.
    """
    root = Path(path).expanduser()
    if (root / "stl10_binary").is_dir():  # as the archive unpacks
        root = root / "stl10_binary"
    class_names = _class_names(root)
    train, test = (_labelled(root, split, class_names) for split in ("train", "test"))
    rest = root / "unlabeled_X.bin"
    unlabelled = BinaryImages(rest, None) if rest.is_file() else None
    return Source.from_images(
        "stl10",
        f"stl10:{path}",
        train,
        test,
        unlabelled=unlabelled,
        image_size=image_size,
        config=config,
        fingerprint=_fingerprint([images for images in (train, test, unlabelled) if images is not None]),
        class_names=class_names,
        # Read when they are needed: training does without them.
        read_folds=lambda: _folds(root / "fold_indices.txt", len(train)),
        seed=seed,
    )


def _labelled(root: Path, split: str, class_names: list[str]) -> BinaryImages:
    """Open `train` or `test` with its labels, from 0."""
    for name in (f"{split}_X.bin", f"{split}_y.bin"):
        if not (root / name).is_file():
            raise UserError(
                f"stl10:PATH must hold train_X.bin, train_y.bin, test_X.bin and test_y.bin; received: {root} without "
                f"{name}"
            )
    labels = np.fromfile(root / f"{split}_y.bin", np.uint8).astype(np.int32)  # (photos,), from 1
    if len(labels) and not 1 <= labels.min() <= labels.max() <= len(class_names):
        raise UserError(
            f"labels of {split}_y.bin must be from 1 to {len(class_names)}; received: {labels.min()} to {labels.max()}"
        )
    return BinaryImages(root / f"{split}_X.bin", labels - 1)


def _class_names(root: Path) -> list[str]:
    """Return names by label; where there is no list of them, the ten labels as they stand in the files."""
    file = root / "class_names.txt"
    if not file.is_file():
        return [str(number) for number in range(1, 11)]
    names = file.read_text(encoding="utf-8", errors="replace").split()
    if len(names) < 2 or len(set(names)) < len(names):
        raise UserError(
            f"{file.name} must hold one class name per line, no two alike; received: {', '.join(names) or 'none'}"
        )
    return names


def _folds(file: Path, count: int) -> list[np.ndarray]:
    """Read the folds, int64 (photos of the fold,) each, of `count` training photos."""
    if not file.is_file():
        raise UserError(f"the folds of STL-10 are in fold_indices.txt; received: {file.parent} without it")
    try:
        lines = file.read_text(encoding="ascii").splitlines()
        folds = [np.array([int(number) for number in line.split()], np.int64) for line in lines if line.strip()]
    except ValueError as error:
        raise UserError(f"{file.name} must hold whole numbers, one fold per line; received: {error}") from error
    if not folds:
        raise UserError(f"{file.name} must hold one fold per line; received: an empty file")
    for number, fold in enumerate(folds, 1):  # each int64 (photos of the fold,)
        if fold.min() < 0 or fold.max() >= count or len(np.unique(fold)) < len(fold):
            raise UserError(
                f"fold {number} of {file.name} must be different numbers from 0 to {count - 1}, the photos of "
                f"train_X.bin; received: {fold.min()} to {fold.max()}, {len(fold) - len(np.unique(fold))} repeated"
            )
    return folds


def _fingerprint(splits: list[BinaryImages]) -> str:
    """Return a hash of the labels, the sizes and 64 photos of each file: reading all of 2.6 GB would take too long."""
    digest = hashlib.sha256()
    for images in splits:
        digest.update(f"{images.path.name} {len(images)}".encode())
        digest.update(b"" if images.labels is None else images.labels.tobytes())
        for index in np.unique(np.linspace(0, len(images) - 1, 64).astype(int)):
            digest.update(images.read(int(index)).tobytes())
    return digest.hexdigest()
