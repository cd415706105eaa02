"""A list of photos, CSV or JSON lines: where each of them lies and, as far as it is known, its class and split."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tf_spot.config import DataConfig
from tf_spot.data.folder import FolderImages, fingerprint
from tf_spot.data.hold_out import cut_off_test
from tf_spot.data.source import Source
from tf_spot.errors import UserError

SPLITS = ("train", "test", "val")  # no split means `train`


class Row(NamedTuple):
    """One photo of a list."""

    path: str  # of the file; relative to the list's folder, or absolute
    label: str  # name of the class; "": none
    split: str  # one of `SPLITS`


def open_list(path: str, *, image_size: int, config: DataConfig, seed: int = 0) -> Source:
    """Open the photos of a list with the columns `path` and, if known, `label` and `split`.

    A path is relative to the list's folder, or absolute. A split is `train`, `test` or `val`; as in folders, photos of
    `val` are tested on where none are of `test`, and else left aside. Without either a fifth of labelled photos, chosen
    by a hash of their names, is the test split. Other columns are ignored.

    Raises:
        UserError: no such list, a column, value or photo that does not fit, a photo named twice in whatever spelling,
            or test photos of classes not trained on.
    """
    file = Path(path).expanduser()
    rows = _read(file)
    tested = "test" if any(row.split == "test" for row in rows) else "val"
    rows = [row for row in rows if row.split in ("train", tested)]
    class_names = _class_names(file, rows)
    train, test = (_images(file, [row for row in rows if row.split == split], class_names, image_size)
                   for split in ("train", tested))  # fmt: skip
    if train is None:
        raise UserError(
            f"a list must have photos to train on; received: {file}, whose photos are all of the test split"
        )
    if test is None and class_names is not None:
        train, test = cut_off_test(train)
    return Source.from_images(
        file.stem,
        f"list:{path}",
        train,
        test,
        image_size=image_size,
        config=config,
        fingerprint=fingerprint(train, test),
        class_names=class_names,
        seed=seed,
    )


def _read(file: Path) -> list[Row]:
    """Return the rows of the list, in its order."""
    rows = [_row(file, number, record) for number, record in enumerate(_records(file), start=1)]
    if not rows:
        raise UserError(f"a list of photos must have rows; received: {file}, which has none")
    _refuse_twice(file, rows)
    return rows


def _refuse_twice(file: Path, rows: list[Row]) -> None:
    """Refuse a photo of two rows, which may be trained and tested on, also as `a.jpg` and `./a.jpg`."""
    folder = os.path.abspath(file.parent)
    first: dict[str, Row] = {}
    twice = []
    for row in rows:
        earlier = first.setdefault(os.path.normpath(os.path.join(folder, row.path)), row)
        if earlier is not row:
            twice.append(f"{row.path} after {earlier.path}")
    if twice:
        raise UserError(
            f"a list must name each photo once; received: {file}, which repeats {len(twice)}, the first is {twice[0]}; "
            "remove these rows"
        )


def _records(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows as they stand in the file."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:  # a CSV file of Excel begins with a mark
            if file.suffix == ".csv":
                yield from csv.DictReader(text)
            else:
                yield from (json.loads(line) for line in text if line.strip())
    except (UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise UserError(f"a list must be CSV or JSON lines in UTF-8; received: {file}: {error}") from error


def _row(file: Path, number: int, record: dict[str, Any]) -> Row:
    values = {name: record.get(name) for name in Row._fields} if isinstance(record, dict) else {}
    path, label, split = ("" if values.get(name) is None else str(values[name]) for name in Row._fields)
    if not path:
        columns = ", ".join(map(str, record)) if isinstance(record, dict) else "none"
        raise UserError(
            f"every row of a list must have a path; received: {file}, row {number} without one; its columns: {columns}"
        )
    if not _may_be_a_path(path):
        raise UserError(
            f"a path must be text without a NUL or half of a character; received: {path!r}, in row {number} of {file}; "
            "mend or remove this row"
        )
    if split and split not in SPLITS:
        raise UserError(f"a split must be one of {', '.join(SPLITS)}; received: {split}, in row {number} of {file}")
    return Row(path, label, split or "train")


def _may_be_a_path(text: str) -> bool:
    """Return whether a file may have this path; names that are not UTF-8 may stand as Python writes them."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:  # a lone surrogate, as JSON can write it
        return False


def _class_names(file: Path, rows: list[Row]) -> list[str] | None:
    """Return the names of the classes that are trained on, sorted; None without labels."""
    if not any(row.label for row in rows):
        return None
    without = [row.path for row in rows if not row.label]
    if without:
        raise UserError(
            f"all photos of a list must have a label, or none; received: {file} with {len(without)} that have none, "
            f"the first is {without[0]}"
        )
    names = sorted({row.label for row in rows if row.split == "train"})
    unknown = sorted({row.label for row in rows} - set(names))
    if unknown:
        raise UserError(
            f"every class of the test split must be one that is trained on ({', '.join(names)}); received: "
            f"{', '.join(unknown)}, in {file}"
        )
    return names


def _images(file: Path, rows: list[Row], class_names: list[str] | None, image_size: int) -> FolderImages | None:
    """Return the photos of the rows; None where there are none."""
    if not rows:
        return None
    names = np.array([os.fsencode(row.path) for row in rows])
    numbers = {name: number for number, name in enumerate(class_names or ())}
    labels = np.array([numbers[row.label] for row in rows], np.int32) if class_names else None
    return FolderImages(file.parent, names, labels, image_size)
