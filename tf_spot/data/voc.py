"""PASCAL VOC in its official layout: VOCdevkit/VOC2007/{JPEGImages,ImageSets,...}.

Source: http://host.robots.ox.ac.uk/pascal/VOC
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from tf_spot.config import DataConfig
from tf_spot.data.images import FORMATS, BadImage, read_image
from tf_spot.data.labelled import LabelledPhotos
from tf_spot.errors import UserError
from tf_spot.storage.regular_files import open_regular

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
POSITIVE, DIFFICULT, NEGATIVE = 1, 0, -1
SPLITS = (("trainval", "test"), ("train", "val"))  # to learn from and to test on; the first pair that exists


class Objects(NamedTuple):
    """The annotated objects of a photo."""

    boxes: np.ndarray  # float32 (objects, 4): top, left, bottom, right in pixels from the photo's top left corner
    classes: np.ndarray  # int64 (objects,), indices in `CLASSES`
    difficult: np.ndarray  # bool (objects,)


class VOC:
    """One year of a devkit.

    Args:
        spec: `voc:PATH`, where PATH is VOCdevkit, or a year in it. Of several years the first is taken.

    Attributes:
        spec: as given.
        root: folder of the year.
        name: such as "voc2007".
        splits: to learn from, to test on: trainval and test, or train and val where the test labels are not public.
        class_names, bad_files: as those of a `Source`; the latter is empty.

    Raises:
        UserError: no such folder, or it lacks the lists of the classes.
    """

    def __init__(self, spec: str) -> None:
        kind, _, path = spec.partition(":")
        root = Path(path).expanduser()
        years = [root, *sorted(root.glob("VOC*"))] if kind == "voc" and path else []
        devkits = [year for year in years if (year / "ImageSets" / "Main").is_dir()]
        if not devkits:
            raise UserError(
                "the VOC tasks need --data voc:PATH with an official VOCdevkit folder, which holds "
                f"VOC2007/ImageSets/Main; received: {spec}"
            )
        self.spec, self.root, self.name = spec, devkits[0], devkits[0].name.lower()
        pairs = [pair for pair in SPLITS if all(self._list(CLASSES[0], split).is_file() for split in pair)]
        if not pairs:
            raise UserError(
                f"{self.root / 'ImageSets' / 'Main'} must hold {CLASSES[0]}_trainval.txt and {CLASSES[0]}_test.txt, or "
                "those of train and val; received neither; is the archive of the test set unpacked too?"
            )
        self.splits = pairs[0]
        self.class_names = CLASSES
        self.bad_files: list[str] = []  # a photo that cannot be read is an error here

    def labels(self, split: str) -> tuple[list[str], np.ndarray]:
        """Read which photos of a split show which classes.

        Returns:
            names of the photos, and float32 (photos, 20): 1 = shown, -1 = not shown, 0 = in difficult objects only.

        Raises:
            UserError: a list is missing, or does not fit the others.
        """
        names: list[str] = []
        columns = []
        for class_name in CLASSES:
            file = self._list(class_name, split)
            try:
                rows = [line.split() for line in file.read_text(encoding="ascii").splitlines() if line.strip()]
                listed, values = [name for name, _ in rows], [int(value) for _, value in rows]
            except (OSError, ValueError) as error:
                raise UserError(
                    f"{file.name} must hold a photo's name and -1, 0 or 1 per line; received: {error}"
                ) from error
            names = names or listed  # those of the first class; all lists must have them in the same order
            if listed != names or not listed or set(values) - {POSITIVE, DIFFICULT, NEGATIVE}:
                raise UserError(
                    f"{file.name} must name the photos that {CLASSES[0]}_{split}.txt names, each with -1, 0 or 1; "
                    f"received: {len(listed)} lines instead of {len(names)}, or other names or numbers"
                )
            columns.append(values)
        return names, np.array(columns, np.float32).T  # (photos, 20)

    def counts(self) -> dict[str, int]:
        """Return the number of photos of the lists to learn from and to test on, by split."""
        return {split: len(self.labels(split)[0]) for split in self.splits}

    def photos(self, split: str, image_size: int, config: DataConfig) -> LabelledPhotos:
        """Read a split into memory, with the labels of `labels`.

        Raises:
            UserError: a photo is missing or damaged.
        """
        names, labels = self.labels(split)
        photos = []
        for name in names:
            try:
                photos.append(read_image(self.photo_path(name), image_size))
            except BadImage as error:
                raise UserError(f"JPEGImages/{name}.jpg of {self.spec} cannot be read: {error}") from error
        return LabelledPhotos(photos, labels, image_size=image_size, config=config, name=self.spec)

    def objects(self, name: str) -> Objects:
        """Read the annotated objects of a photo.

        The devkit counts pixels from 1 and includes the last one: its box 1, 1, 10, 10 is 0, 0, 10, 10 here.

        Raises:
            UserError: the annotation is missing or damaged, or names an unknown class.
        """
        file = self.root / "Annotations" / f"{name}.xml"
        boxes, classes, difficult = [], [], []
        try:
            with open_regular(file) as opened:
                annotation = ElementTree.parse(opened)
            for marked in annotation.iterfind("object"):
                left, top, right, bottom = (
                    float(marked.findtext(f"bndbox/{edge}") or "missing") for edge in ("xmin", "ymin", "xmax", "ymax")
                )
                if top > bottom or left > right:
                    raise ValueError(f"a box from {left:g}, {top:g} to {right:g}, {bottom:g}")
                boxes.append((top - 1, left - 1, bottom, right))
                classes.append(CLASSES.index(marked.findtext("name") or ""))
                difficult.append(marked.findtext("difficult") == "1")
        except (OSError, ElementTree.ParseError, ValueError) as error:
            raise UserError(
                f"Annotations/{name}.xml of {self.spec} must hold objects with a bndbox of numbers and a name of VOC's "
                f"twenty; received: {error}"
            ) from error
        # The reshaping gives (0, 4), not (0,), for a photo without objects.
        return Objects(
            np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, np.int64), np.array(difficult, bool)
        )

    def photo(self, name: str) -> np.ndarray:
        """Read a photo in its own size: uint8 (height, width, 3).

        Raises:
            UserError: it is missing or damaged.
        """
        try:
            with open_regular(self.photo_path(name)) as opened, Image.open(opened, formats=FORMATS) as file:
                return np.asarray(file.convert("RGB"))
        except (OSError, SyntaxError) as error:
            raise UserError(f"JPEGImages/{name}.jpg of {self.spec} cannot be read: {error}") from error

    def photo_path(self, name: str) -> Path:
        """Return the path of a photo's file."""
        return self.root / "JPEGImages" / f"{name}.jpg"

    def segmentation_splits(self) -> tuple[list[str], list[str]]:
        """Return the lists of segmented photos to learn from (together) and to test on.

        Raises:
            UserError: neither exists.
        """
        there = {split for split in ("train", "val", "test") if self._segmentation_list(split).is_file()}
        if there >= {"train", "val", "test"}:
            return ["train", "val"], ["test"]
        if there >= {"train", "val"}:
            return ["train"], ["val"]
        raise UserError(
            f"{self.root / 'ImageSets' / 'Segmentation'} must hold train.txt and val.txt; received: "
            f"{', '.join(sorted(there)) or 'neither'}"
        )

    def segmented(self, splits: list[str]) -> list[str]:
        """Return the names of the photos on these lists."""
        return [name for split in splits for name in self._segmentation_list(split).read_text("ascii").split()]

    def segmentation(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Read a photo in its own size and the class of each of its pixels.

        Returns:
            uint8 (height, width, 3), and uint8 (height, width): 0 = background, 1 to 20 = `CLASSES`, 255 = border.

        Raises:
            UserError: one is missing or damaged, or their sizes differ.
        """
        photo = self.photo(name)
        try:
            mask = self.root / "SegmentationClass" / f"{name}.png"
            with open_regular(mask) as opened, Image.open(opened, formats=FORMATS) as file:
                classes = np.asarray(file)  # of a paletted file: the numbers, not the colours
        except (OSError, SyntaxError) as error:
            raise UserError(f"SegmentationClass/{name}.png of {self.spec} cannot be read: {error}") from error
        values = set(np.unique(classes)) - {255}
        if classes.ndim != 2 or classes.shape != photo.shape[:2] or (values and max(values) > len(CLASSES)):
            raise UserError(
                f"SegmentationClass/{name}.png must be paletted, as large as its photo, with classes to {len(CLASSES)} "
                f"or 255; received: shape {classes.shape}, values to {classes.max()}"
            )
        return photo, classes

    def fingerprint(self) -> str:
        """Return a hash of the lists and annotations, and of the sizes of the photos on the lists and of the masks."""
        digest = hashlib.sha256()
        # Sizes stand for the content of photos and masks: reading all of it would take minutes.
        lists = sorted((self.root / "ImageSets" / "Segmentation").glob("*.txt"))
        for file in [*lists, *sorted((self.root / "SegmentationClass").glob("*.png"))]:
            digest.update(f"{file.name} {file.stat().st_size}".encode())
        for split in self.splits:
            names, labels = self.labels(split)
            digest.update(" ".join(names).encode() + labels.tobytes())
            for name in names:
                file, marked = self.photo_path(name), self.root / "Annotations" / f"{name}.xml"
                digest.update(str(file.stat().st_size if file.is_file() else None).encode())
                digest.update(marked.read_bytes() if marked.is_file() else b"")
        return digest.hexdigest()

    def _segmentation_list(self, split: str) -> Path:
        return self.root / "ImageSets" / "Segmentation" / f"{split}.txt"

    def _list(self, class_name: str, split: str) -> Path:
        return self.root / "ImageSets" / "Main" / f"{class_name}_{split}.txt"
