"""wds:PATTERN, the tars of a WebDataset: photos read at their offsets, so shuffled exactly as those of a folder are."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np

from tf_spot.config import DataConfig
from tf_spot.data.folder_splits import TEST, TRAIN, VALIDATION
from tf_spot.data.hold_out import cut_off_test
from tf_spot.data.images import MAX_BYTES, BadImage, read_image
from tf_spot.data.kept_index import kept_photos
from tf_spot.data.source import Source
from tf_spot.data.tar_index import PICTURES, Photo
from tf_spot.data.text_labels import number_labels
from tf_spot.errors import UserError
from tf_spot.storage.names import printable
from tf_spot.storage.patterns import FoundFiles, find_files
from tf_spot.storage.regular_files import open_regular
from tf_spot.storage.spec import NONE, split_options

log = logging.getLogger("tf_spot")


class TarImages:
    """Photos in some tars.

    Args:
        folder: of the tars.
        tars: their paths below it.
        numbers: int32 (photos,), index in `tars` of each photo's.
        offsets, sizes: int64 (photos,), bytes.
        names: bytes (photos,), of the members.
        labels: int32 (photos,), or None.
        image_size: see `read_image`.
    """

    def __init__(
        self,
        folder: Path,
        tars: Sequence[str],
        numbers: np.ndarray,
        offsets: np.ndarray,
        sizes: np.ndarray,
        names: np.ndarray,
        labels: np.ndarray | None,
        image_size: int,
    ) -> None:
        self.folder, self.tars, self.labels, self.image_size = folder, tars, labels, image_size
        self.numbers, self.offsets, self.sizes, self.names = numbers, offsets, sizes, names

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> np.ndarray:
        """Return a photo, uint8 RGB (height, width, 3); see `read_image`."""
        return read_image(io.BytesIO(self.encoded(index)), self.image_size)

    def encoded(self, index: int) -> bytes:
        """Return the content of the photo's file.

        Raises:
            BadImage: the tar is missing or cut short, or the photo is a link or too large.
        """
        size = int(self.sizes[index])
        if size == 0:
            raise BadImage("empty, or a link to another file of the tar")
        if size > MAX_BYTES:
            raise BadImage(f"{size:,} bytes, more than {MAX_BYTES:,}")
        try:
            with open_regular(self.folder / self.tars[self.numbers[index]]) as file:
                content = os.pread(file.fileno(), size, int(self.offsets[index]))
        except OSError as error:
            raise BadImage(error.strerror or str(error)) from error
        if len(content) < size:
            raise BadImage("the tar is shorter than when it was opened")
        return content

    def name(self, index: int) -> str:
        """Return the path of the tar and the name in it, which no other photo has."""
        return f"{self.tars[self.numbers[index]]}/{os.fsdecode(bytes(self.names[index]))}"

    def subset(self, keep: np.ndarray) -> TarImages:
        """Return the photos where `keep`, bool (photos,), is true."""
        columns = (self.numbers[keep], self.offsets[keep], self.sizes[keep], self.names[keep])
        labels = None if self.labels is None else self.labels[keep]
        return TarImages(self.folder, self.tars, *columns, labels, self.image_size)


def open_wds(location: str, *, image_size: int, config: DataConfig, seed: int = 0) -> Source:
    """Open the photos of the tars of a pattern.

    A tar whose name, or folder below the one that the pattern names, says `train`, `test` or `val` is of that split;
    validation is tested on where there is no test. Where no name says so, all are trained on. A fifth of labelled
    photos without a test split, chosen by a hash of their names, becomes one.

    Args:
        location: pattern and options, see `tf_spot.storage.spec.OPTIONS`: `image`, `label`, see `read_photos`; `test`,
            a pattern of the tars to test on, with which names say nothing, or `none`: there are none.
        image_size, config, seed: see `tf_spot.load`.

    Raises:
        UserError: no such tars, some that cannot be read, names that do not fit, no photos, or labels that do not fit.
    """
    spec = f"wds:{location}"
    pattern, options = split_options("wds", location)
    if "test" in options:
        found = find_files(pattern, ".tar")
        tested = None if options["test"] == NONE else find_files(options["test"], ".tar")
    else:
        found, tested = split_by_name(spec, find_files(pattern, ".tar"))
    listed = [[] if part is None else _photos(spec, part, options) for part in (found, tested)]
    train_labels, test_labels = ([photo.label for _, photo in part] for part in listed)
    numbered = number_labels(spec, train_labels, test_labels)
    train = _images(found, listed[0], numbered.train, image_size)
    test = _images(tested, listed[1], numbered.test, image_size) if tested is not None else None
    fingerprint = _fingerprint(listed, found, tested)
    if test is None and numbered.train is not None and "test" not in options:
        train, test = cut_off_test(train)
    return Source.from_images(
        _name(found),
        spec,
        train,
        test,
        image_size=image_size,
        config=config,
        fingerprint=fingerprint,
        class_names=numbered.class_names,
        seed=seed,
        folders={"train": "train", "test": "test"} if options.get("test", NONE) != NONE else {},
    )


def split_by_name(spec: str, found: FoundFiles) -> tuple[FoundFiles, FoundFiles | None]:
    """Divide tars into those to train on and those to test on, by the words in their paths.

    Raises:
        UserError: some names say a split and others do not, or none is to be trained on.
    """
    kinds: dict[str, list[str]] = {"": [], "train": [], "test": [], "val": []}
    for name in found.names:
        words = set(re.findall("[a-z]+", str(PurePath(name).with_suffix("")).lower()))
        groups = (("train", TRAIN), ("test", TEST), ("val", VALIDATION))
        said = [kind for kind, names in groups if words & set(names)]
        kinds[said[0] if len(said) == 1 else ""].append(name)
    if len(kinds[""]) == len(found.names):
        return found, None
    if kinds[""] or not kinds["train"]:
        reason = f"{kinds[''][0]} says none or several" if kinds[""] else f"there is only {found.names[0]} and the like"
        raise UserError(
            "the name of every tar must say its split, train, test or val, or that of none; received: "
            f"{spec}, where {reason}; name them apart: wds:PATTERN,test=PATTERN, or test=none to train on all"
        )
    tested = kinds["test"] or kinds["val"]
    return found._replace(names=kinds["train"]), found._replace(names=tested) if tested else None


def _photos(spec: str, found: FoundFiles, options: dict[str, str]) -> list[tuple[int, Photo]]:
    """Return the photos of all tars, each with the index of its tar.

    Raises:
        UserError: there are none, or a tar cannot be read.
    """
    photos, empty = [], []
    for number, name in enumerate(found.names):
        these = kept_photos(found.folder / name, options.get("image"), options.get("label"))
        photos += [(number, photo) for photo in these]
        empty += [] if these else [name]
    if not photos:
        raise UserError(f"tars must hold photos ({', '.join(PICTURES)}); received: {spec}, {empty[0]} and the like")
    if empty:
        log.warning("%d of %d tars hold no photos, the first is %s", len(empty), len(found.names), printable(empty[0]))
    return photos


def _images(
    found: FoundFiles, photos: list[tuple[int, Photo]], labels: np.ndarray | None, image_size: int
) -> TarImages:
    return TarImages(
        found.folder,
        found.names,
        np.array([number for number, _ in photos], np.int32),
        np.array([photo.offset for _, photo in photos], np.int64),
        np.array([photo.size for _, photo in photos], np.int64),
        np.array([os.fsencode(photo.name) for _, photo in photos]),
        labels,
        image_size,
    )


def _fingerprint(listed: list[list[tuple[int, Photo]]], *found: FoundFiles | None) -> str:
    """Return a hash of the names, sizes and labels of all photos."""
    digest = hashlib.sha256()
    for part, files in zip(listed, found, strict=True):
        tars = files.names if files is not None else []
        for number, photo in part:
            name = os.fsencode(f"{tars[number]}/{photo.name}")
            digest.update(name + b"\0%d\0" % photo.size + os.fsencode(photo.label or "") + b"\0")
        digest.update(b"\0")
    return digest.hexdigest()


def _name(found: FoundFiles) -> str:
    """Return a name of the set: that of the one tar, else of the folder."""
    return PurePath(found.names[0]).stem if len(found.names) == 1 else found.folder.resolve().name
