"""Which files below a folder are photos, and which subfolders are splits: by names that are in use, in any case."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tf_spot.data.images import EXTENSIONS
from tf_spot.errors import UserError
from tf_spot.storage.names import printable

log = logging.getLogger("tf_spot")

TRAIN = ("train", "training")
TEST = ("test", "testing")
VALIDATION = ("val", "valid", "validation", "dev")  # tested on where there is no test split
# Pictures that people have and this package does not read: worth a word when they are skipped.
OTHER_PICTURES = (".heic", ".heif", ".avif", ".tif", ".tiff", ".jp2", ".jxl", ".dng", ".cr2", ".nef", ".arw")


class Splits(NamedTuple):
    """Subfolders that are splits; None where there is none."""

    train: Path | None
    test: Path | None


def find_splits(root: Path) -> Splits:
    """Find the folders of the splits in `root`.

    Raises:
        UserError: two folders for one split, a test split without one to train on, or photos beside the splits.
    """
    try:
        folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise _unreadable(error) from error
    train, test, validation = (_only(folders, names) for names in (TRAIN, TEST, VALIDATION))
    named = [folder for folder in (train, test, validation) if folder is not None]
    if not named:
        _refuse_names_like_splits(root, folders)
        return Splits(None, None)
    if train is None:
        raise UserError(
            f"photos to test on need a folder `train` beside theirs; received: {root} with {named[0].name} alone; "
            "rename the folders, or rename those that are classes"
        )
    beside = [folder.name for folder in folders if folder not in named and _has_pictures(folder)]
    if beside:
        raise UserError(
            f"beside `train`, `test` and `val` there must be no other folders of photos; received: {root} with "
            f"{', '.join(beside[:3])}; move them, or rename `{train.name}` if it is a class"
        )
    return Splits(train, test or validation)


def refuse_splits_within(root: Path, pictures: Sequence[bytes]) -> None:
    """Refuse folders that each hold splits: as classes they would mix photos to train on with those to test on.

    Args:
        root: whose subfolders would be classes.
        pictures: paths below it.

    Raises:
        UserError: in a subfolder there are both photos to train on and photos to test on.
    """
    inside = {tuple(path.split(os.sep.encode())[:2]) for path in pictures if path.count(os.sep.encode()) > 1}
    for outer, inner in sorted(inside):
        siblings = {os.fsdecode(name).lower() for folder, name in inside if folder == outer}
        if os.fsdecode(inner).lower() in TRAIN and siblings & {*TEST, *VALIDATION}:
            raise UserError(
                f"splits must stand above the classes: PATH/train/CLASS; received: {root} with "
                f"{os.fsdecode(outer)}/{os.fsdecode(inner)}; give {root / os.fsdecode(outer)}, or move the folders"
            )


def _refuse_names_like_splits(root: Path, folders: Sequence[Path]) -> None:
    """Refuse folders such as `train_images` and `test2017`: as classes they would give a table of chance."""

    def first(names: Sequence[str]) -> str | None:
        return next((f.name for f in folders if set(re.findall("[a-z]+", f.name.lower())) & set(names)), None)

    train, test = first(TRAIN), first((*TEST, *VALIDATION))
    if train and test and train != test:
        raise UserError(
            f"splits must be named `train` and `test` or `val`; received: {root} with {train} and {test}; rename them, "
            "or give them other names if they are classes"
        )


class PictureWalk:
    """Walk through folders of photos, each once.

    Args:
        root: of the source; only to name folders in messages.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._others = root, Counter[str]()
        # By device and inode, as a path through a link is another path: where each folder was first met.
        self._seen: dict[tuple[int, int], Path] = {}

    def below(self, folder: Path) -> list[bytes]:
        """Return the paths of the pictures below a folder, relative to it.

        Raises:
            UserError: a folder that may not be read, or one that was met under the name of another class or split.
        """
        pictures: list[bytes] = []
        for path, subfolders, files in os.walk(folder, onerror=_fail, followlinks=True):
            status = os.stat(path)
            first = self._seen.setdefault((status.st_dev, status.st_ino), Path(path))
            if first != Path(path):
                self._refuse_another_name(folder, first, Path(path))
                subfolders.clear()
                continue
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            inside = os.path.relpath(path, folder)  # "." for the folder itself
            for name in (name for name in files if not name.startswith(".")):
                if name.lower().endswith(EXTENSIONS):
                    pictures.append(os.fsencode(name if inside == "." else os.path.join(inside, name)))
                else:
                    self._others[Path(name).suffix.lower()] += 1
        return pictures

    def others(self) -> str:
        """Return the number of files that are no pictures, and the commonest kinds."""
        if not self._others:
            return "no files at all"
        kinds = ", ".join(f"{count} {kind or 'without extension'}" for kind, count in self._others.most_common(3))
        return f"{self._others.total()} other files ({kinds})"

    def tell_skipped(self) -> None:
        """Log pictures in formats that are not read."""
        skipped = {kind: count for kind, count in self._others.items() if kind in OTHER_PICTURES}
        if skipped:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(skipped.items()))
            log.warning("pictures skipped in %s: %s; convert them to JPEG or PNG", printable(str(self._root)), kinds)

    def _refuse_another_name(self, folder: Path, first: Path, again: Path) -> None:
        """Refuse a folder met again, unless it is a link into its own class or to a folder above it."""
        if first in again.parents:
            return
        one, other = (os.path.relpath(path, folder).split(os.sep)[0] for path in (first, again))
        if one != other:
            raise UserError(
                f"a folder of photos must have one name; received: {again}, a link to {first}: its photos would belong "
                "to two classes or splits; remove the link"
            )


def _only(folders: Sequence[Path], names: Sequence[str]) -> Path | None:
    """Return the folder with one of these names, in any case."""
    found = [folder for folder in folders if folder.name.lower() in names]
    if len(found) > 1:
        raise UserError(
            f"there must be one folder per split; received: {found[0].parent} with "
            f"{' and '.join(folder.name for folder in found)}; move all but one"
        )
    return found[0] if found else None


def _has_pictures(folder: Path) -> bool:
    return any(
        name.lower().endswith(EXTENSIONS) and not name.startswith(".")
        for _, _, files in os.walk(folder)
        for name in files
    )


def _fail(error: OSError) -> None:
    raise _unreadable(error) from error


def _unreadable(error: OSError) -> UserError:
    return UserError(
        f"every folder of photos must be readable; received: {error.filename}, {error.strerror}; change its permissions"
    )
