"""hf:NAME, a data set of the Hugging Face library `datasets`: on disk, in its cache, or on the hub."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tf_spot.config import DataConfig
from tf_spot.data.hf_choice import choose, class_names, texts
from tf_spot.data.hf_load import load_splits
from tf_spot.data.hold_out import cut_off_test
from tf_spot.data.images import BadImage, read_image
from tf_spot.data.source import Source
from tf_spot.data.text_labels import Labels, number_labels
from tf_spot.errors import UserError
from tf_spot.storage.regular_files import open_regular
from tf_spot.storage.spec import split_options

if TYPE_CHECKING:
    import datasets

SAMPLE = 64  # photos of each split that are part of the fingerprint: reading all would take too long


class HubImages:
    """Photos of one split, as encoded files.

    Args:
        rows: with one column, of the type `Image(decode=False)`.
        column: its name.
        indices: int64 (photos,), in `rows`.
        labels: int32 (photos,), or None.
        image_size: see `read_image`.
    """

    def __init__(
        self, rows: datasets.Dataset, column: str, indices: np.ndarray, labels: np.ndarray | None, image_size: int
    ) -> None:
        self.rows, self.column, self.indices = rows, column, indices
        self.labels, self.image_size = labels, image_size

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, index: int) -> np.ndarray:
        """Return a photo, uint8 RGB (height, width, 3); see `read_image`."""
        content, path = self._cell(index)
        try:
            return read_image(Path(path) if content is None else io.BytesIO(content), self.image_size)
        except BadImage as error:
            raise BadImage(f"{error} ({Path(path).name})" if path else str(error)) from error

    def encoded(self, index: int) -> bytes:
        """Return the content of the photo's file."""
        content, path = self._cell(index)
        if content is not None:
            return content
        with open_regular(path) as file:
            return file.read()

    def name(self, index: int) -> str:
        """Return the index of the row: the files of a data set may share a name, or have none."""
        return str(self.indices[index])

    def subset(self, keep: np.ndarray) -> HubImages:
        """Return the photos where `keep`, bool (photos,), is true."""
        labels = None if self.labels is None else self.labels[keep]
        return HubImages(self.rows, self.column, self.indices[keep], labels, self.image_size)

    def _cell(self, index: int) -> tuple[bytes | None, str]:
        """Return a file's content, None where it is not stored in the row, and its path, "" where that is unknown."""
        cell = self.rows[int(self.indices[index])][self.column]
        if cell is None or (cell["bytes"] is None and not cell["path"]):
            raise BadImage("the row has no photo")
        return cell["bytes"], cell["path"] or ""


def open_hf(location: str, *, image_size: int, config: DataConfig, seed: int = 0) -> Source:
    """Open a data set of photos.

    `test`, else `validation`, is tested on, but not where its labels are withheld (-1). A split `unlabelled` is trained
    on without labels in place of `train`. A fifth of labelled photos without a test split becomes one.

    Args:
        location: a folder that `save_to_disk` wrote, another folder or .parquet file that the library can load, or a
            name on the hub; and options, see `tf_spot.storage.spec.OPTIONS`: `config` and `revision` of the data set,
            columns `image` and `label` (`none`: no labels), splits `train`, `test` (`none`: no test split) and
            `unlabelled`.
        image_size, config, seed: see `tf_spot.load`.

    Raises:
        UserError: the library is missing, the data set cannot be loaded, or it has no such split or column.
    """
    spec = f"hf:{location}"
    name, options = split_options("hf", location)
    splits = load_splits(name, options.get("config"), options.get("revision"))
    chosen = choose(spec, splits, options)
    tested = None if chosen.test is None else splits[chosen.test]
    numbered = _labels(spec, splits[chosen.train], tested, chosen.label)

    def images(rows: datasets.Dataset, labels: np.ndarray | None) -> HubImages:
        return HubImages(_encoded(spec, rows, chosen.image), chosen.image, np.arange(len(rows)), labels, image_size)

    train = images(splits[chosen.train], numbered.train)
    test = None if tested is None else images(tested, numbered.test)
    unlabelled = None if chosen.unlabelled is None else images(splits[chosen.unlabelled], None)
    fingerprint = _fingerprint([part for part in (train, test, unlabelled) if part is not None])
    if test is None and train.labels is not None and "test" not in options:
        train, test = cut_off_test(train)
    return Source.from_images(
        Path(name).expanduser().resolve().name,
        spec,
        train,
        test,
        unlabelled=unlabelled,
        image_size=image_size,
        config=config,
        fingerprint=fingerprint,
        class_names=numbered.class_names,
        seed=seed,
        folders={"train": "train", "test": "test"},
    )


def _labels(spec: str, train: datasets.Dataset, test: datasets.Dataset | None, column: str | None) -> Labels:
    """Return the labels of both splits, counted as the data set does where it names its classes."""
    if column is None:
        return Labels(None, None, None)
    return number_labels(
        spec, texts(train, column), [] if test is None else texts(test, column), class_names(train, column)
    )


def _encoded(spec: str, rows: datasets.Dataset, column: str) -> datasets.Dataset:
    """Return the photos alone, as they are stored: this package decodes them, and tells which cannot be."""
    import datasets

    if not len(rows):
        raise UserError(f"every split that is used must hold photos; received: {spec} with an empty one")
    try:
        return rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    except Exception as error:  # of pyarrow, by type
        raise UserError(
            f"a column of photos must hold encoded photos or paths; received: {spec}, {column} of the type "
            f"{rows.features[column]}"
        ) from error


def _fingerprint(splits: list[HubImages]) -> str:
    """Return a hash of the labels, the sizes and some photos of each split."""
    digest = hashlib.sha256()
    for images in splits:
        digest.update(f"{len(images)}".encode())
        digest.update(b"" if images.labels is None else images.labels.tobytes())
        for index in np.unique(np.linspace(0, len(images) - 1, SAMPLE).astype(int)):
            try:
                digest.update(hashlib.sha256(images.encoded(int(index))).digest())
            except (BadImage, OSError):
                digest.update(b"unreadable")
    return digest.hexdigest()
