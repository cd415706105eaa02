"""A folder of photos: flat, or with one subfolder per class."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import numpy as np

from tf_spot.config import DataConfig
from tf_spot.data.folder_splits import PictureWalk, find_splits, refuse_splits_within
from tf_spot.data.hold_out import cut_off_test
from tf_spot.data.images import EXTENSIONS, read_image
from tf_spot.data.source import Source
from tf_spot.errors import UserError
from tf_spot.storage.regular_files import is_regular, open_regular


class FolderImages:
    """The picture files below a folder, sorted by path.

    Args:
        root: the folder.
        names: bytes (photos,), paths below the folder. One array, as a list of a hundred thousand strings would show in
            the memory used.
        labels: int32 (photos,), or None.
        image_size: see `read_image`.
    """

    def __init__(self, root: Path, names: np.ndarray, labels: np.ndarray | None, image_size: int) -> None:
        self.root, self.names, self.labels, self.image_size = root, names, labels, image_size

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> np.ndarray:
        """Return a photo, uint8 RGB (height, width, 3); see `read_image`."""
        return read_image(self.root / self.name(index), self.image_size)

    def encoded(self, index: int) -> bytes:
        """Return the content of the file."""
        with open_regular(self.root / self.name(index)) as file:
            return file.read()

    def name(self, index: int) -> str:
        return os.fsdecode(bytes(self.names[index]))

    def paths(self, indices: np.ndarray) -> list[bytes]:
        """Return the paths of the files at `indices`, int64 (photos,); an empty one where there is no regular file."""
        root = os.fsencode(self.root)
        paths = (os.path.join(root, bytes(name)) for name in self.names[indices])
        # TensorFlow would open whatever is there, and wait for a FIFO or read a device without an end.
        return [path if is_regular(path) else b"" for path in paths]

    def subset(self, keep: np.ndarray) -> FolderImages:
        """Return the photos where `keep`, bool (photos,), is true."""
        labels = None if self.labels is None else self.labels[keep]
        return FolderImages(self.root, self.names[keep], labels, self.image_size)


def open_folder(path: str, *, image_size: int, config: DataConfig, seed: int = 0) -> Source:
    """Open the photos below `path`; hidden files and files that are no pictures are skipped.

    `path/train` is trained on if it exists, and `path/test`, else `path/val`, tested on; see `find_splits` for other
    names. Photos in one subfolder per class are labelled by it; photos beside the subfolders, or fewer than two
    classes, mean no labels. A fifth of the photos of a labelled folder without a test split, chosen by a hash of their
    names, becomes its test split.

    Raises:
        UserError: a folder that is not readable, no picture files in it, subfolders that may be splits or classes, one
            folder under two names, or test photos of classes not trained on.
    """
    root = Path(path).expanduser()
    parts = find_splits(root)
    walk = PictureWalk(root)
    train, class_names = _scan(walk, parts.train or root, image_size)
    test = None
    if parts.test is not None:
        test, test_names = _scan(walk, parts.test, image_size)
        test.labels = _same_classes(test, test_names, class_names)
    elif class_names is not None:
        train, test = cut_off_test(train)
    walk.tell_skipped()
    folders = {"train": parts.train.name, "test": parts.test.name} if parts.train and parts.test else {}
    return Source.from_images(
        root.resolve().name,
        f"folder:{path}",
        train,
        test,
        image_size=image_size,
        config=config,
        fingerprint=fingerprint(train, test),
        class_names=class_names,
        seed=seed,
        folders=folders,
    )


def _scan(walk: PictureWalk, root: Path, image_size: int) -> tuple[FolderImages, list[str] | None]:
    """Return the pictures below `root`, and the names of the classes if it has any."""
    pictures = walk.below(root)
    if not pictures:
        raise UserError(
            f"a folder of photos must hold {', '.join(EXTENSIONS)} files; received: {root} with {walk.others()}"
        )
    paths = np.array(sorted(pictures))  # (photos,), as long as the longest path
    separator = os.sep.encode()
    if all(separator in path for path in pictures):
        refuse_splits_within(root, pictures)
        names, labels = np.unique(np.array([path.split(separator)[0] for path in paths]), return_inverse=True)
        if len(names) > 1:
            class_names = [os.fsdecode(bytes(name)) for name in names]
            return FolderImages(root, paths, labels.astype(np.int32), image_size), class_names
    return FolderImages(root, paths, None, image_size), None


def _same_classes(test: FolderImages, names: list[str] | None, class_names: list[str] | None) -> np.ndarray | None:
    """Return labels int32 (test photos,) that count the classes of training, of which the test photos may lack some."""
    if names is None or class_names is None or test.labels is None:
        if (names is None) != (class_names is None):
            raise UserError(
                f"train and {test.root.name} must both have one subfolder per class, or neither; received: train with "
                f"{len(class_names or ())} classes and {test.root.name} with {len(names or ())}"
            )
        return None
    unknown = sorted(set(names) - set(class_names))
    if unknown:
        raise UserError(
            f"every class of {test.root.name} must be one of train ({', '.join(class_names)}); received: "
            f"{', '.join(unknown)}; rename or remove those subfolders"
        )
    # The test folder numbered its own classes: translate each number once, then look up all photos.
    return np.array([class_names.index(name) for name in names], np.int32)[test.labels]


def fingerprint(*splits: FolderImages | None) -> str:
    """Return a hash of every path and file size; a dangling link counts with its own size, a missing file with -1."""
    digest = hashlib.sha256()
    for images in splits:
        if images is None:
            continue
        for path in map(bytes, images.names):
            digest.update(path + b"\0%d\0" % _size(images.root / os.fsdecode(path)))
        digest.update(b"\0")
    return digest.hexdigest()


def _size(file: Path) -> int:
    for look in (file.stat, file.lstat):
        with contextlib.suppress(OSError):
            return look().st_size
    return -1
