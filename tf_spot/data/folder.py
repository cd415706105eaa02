"""A folder of photos: flat, or with one subfolder a class."""

from __future__ import annotations

import hashlib
import os
import zlib
from pathlib import Path

import numpy as np

from tf_spot.config import DataConfig
from tf_spot.data.images import EXTENSIONS, read_image
from tf_spot.data.source import Source
from tf_spot.errors import UserError

TEST_SHARE = 0.2  # of a labelled folder that has no test split of its own


class FolderImages:
    """The picture files below a folder, sorted by path.

    Paths are kept as one array of bytes: a list of a hundred thousand strings would show in the memory used.
    """

    def __init__(self, root: Path, paths: np.ndarray, labels: np.ndarray | None, image_size: int) -> None:
        self.root, self.paths, self.labels, self.image_size = root, paths, labels, image_size

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> np.ndarray:
        return read_image(self.root / self.name(index), self.image_size)

    def name(self, index: int) -> str:
        return os.fsdecode(bytes(self.paths[index]))

    def subset(self, keep: np.ndarray) -> FolderImages:
        labels = None if self.labels is None else self.labels[keep]
        return FolderImages(self.root, self.paths[keep], labels, self.image_size)


def open_folder(path: str, *, image_size: int, config: DataConfig) -> Source:
    """Photos below `path`.

    `path/train` is trained on when it is there, and `path/test`, else `path/val`, tested on. Photos in one subfolder a
    class are labelled by it. A labelled folder without a test split gives up a fifth of its photos, chosen by a hash of
    their names.

    Raises:
        UserError: no such folder, not readable, or no picture files in it.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise UserError(f"--data folder:PATH wants a folder; received: {path} ({'a file' if root.exists() else 'missing'})")
    train_root = root / "train" if (root / "train").is_dir() else root
    test_root = next((root / name for name in ("test", "val") if train_root != root and (root / name).is_dir()), None)
    train, class_names = _scan(train_root, image_size)
    test = None
    if test_root is not None:
        test, test_names = _scan(test_root, image_size)
        if test_names != class_names:
            raise UserError(
                f"{test_root.name} and train must have the same class folders; train has {class_names}; received "
                f"{test_names}; rename or remove the others"
            )
    elif class_names is not None:
        held = np.array([zlib.crc32(bytes(p)) % 1000 < 1000 * TEST_SHARE for p in train.paths])
        train, test = train.subset(~held), train.subset(held)
    return Source(
        root.resolve().name,
        f"folder:{path}",
        train,
        test,
        image_size=image_size,
        config=config,
        fingerprint=_fingerprint(train, test),
        class_names=class_names,
    )


def _scan(root: Path, image_size: int) -> tuple[FolderImages, list[str] | None]:
    """The pictures below `root` and the class names, None when some lie in `root` itself."""
    found, others = [], 0

    def fail(error: OSError) -> None:
        raise UserError(f"{root} cannot be read: {error.strerror} ({error.filename}); change its permissions") from error

    for folder, subfolders, files in os.walk(root, onerror=fail, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in files:
            if name.startswith("."):
                continue
            if name.lower().endswith(EXTENSIONS):
                found.append(os.fsencode(os.path.relpath(os.path.join(folder, name), root)))
            else:
                others += 1
    if not found:
        raise UserError(f"{root} holds no photos; looked for {', '.join(EXTENSIONS)}; received {others} other files")
    paths = np.array(sorted(found))
    del found
    if any(os.sep.encode() not in path for path in paths):
        return FolderImages(root, paths, None, image_size), None
    classes = np.array([path.split(os.sep.encode())[0] for path in paths])
    names, labels = np.unique(classes, return_inverse=True)
    return FolderImages(root, paths, labels.astype(np.int32), image_size), [os.fsdecode(bytes(n)) for n in names]


def _fingerprint(*splits: FolderImages | None) -> str:
    """A hash of every path and file size."""
    digest = hashlib.sha256()
    for images in splits:
        for path in images.paths if images is not None else ():
            digest.update(bytes(path) + b"\0%d\0" % os.stat(images.root / os.fsdecode(bytes(path))).st_size)
    return digest.hexdigest()
