"""shards:PATH, what `tf-spot pack` wrote: photos in large files, each read at its offset.

    index.json                                splits, classes, and size and SHA-256 of every file
    SPLIT-00000-of-00012.tfrecord             one tf.train.Example per photo: image, label, name, split
    SPLIT-00000-of-00012.npz                  where each record lies in that file

TFRecord is meant to be read from front to back. With every record's offset known, any photo is one read away, so these
photos are shuffled exactly, as those of a folder are, without a buffer.
"""

from __future__ import annotations

import hashlib
import io
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_spot.config import DataConfig
from tf_spot.data.images import BadImage, read_image
from tf_spot.data.source import Source
from tf_spot.errors import UserError
from tf_spot.storage.contained_path import contained_path
from tf_spot.storage.files import file_digest
from tf_spot.storage.json_files import Form, damaged, mismatch, read_json

FORMAT = "tf_spot shards 1"
INDEX = "index.json"
HEADER_BYTES, FOOTER_BYTES = 12, 4  # of a record: its length, and the checksums of the length and of the content
ENTRY: dict[str, Form] = {  # what index.json holds of a shard, at least
    "name": str, "split": str, "bytes": int, "sha256": str, "places": str, "places_bytes": int, "places_sha256": str,
}  # fmt: skip
_INDEX: Form = {"source": str, "class_names": (list, type(None)), "splits": {"train": int}, "shards": [ENTRY]}
POOLS = ("train", "test", "unlabelled")  # unlabelled: only where other photos are trained on than those with labels


class RecordTable(NamedTuple):
    """Where the records of one shard, or of several one after the other, lie: the arrays of a shard's .npz file."""

    offsets: np.ndarray  # uint64 (photos,): bytes, of the record's content in its file
    lengths: np.ndarray  # uint32 (photos,): bytes of that content
    checksums: np.ndarray  # uint32 (photos,): its CRC-32
    labels: np.ndarray  # int32 (photos,); -1: none
    name_ends: np.ndarray  # uint64 (photos,): where each name ends in `names`
    names: np.ndarray  # uint8 (bytes,): all names, one after the other

    @classmethod
    def joined(cls, parts: Sequence[RecordTable]) -> RecordTable:
        """Join the tables of several shards, in order."""
        # `name_ends` counts from the start of its own `names`, which are moved behind those of the shards before.
        starts = np.cumsum([0] + [len(part.names) for part in parts], dtype=np.uint64)
        shifted = [p._replace(name_ends=p.name_ends + start) for p, start in zip(parts, starts[:-1], strict=True)]
        return cls(*(np.concatenate(columns) for columns in zip(*shifted, strict=True)))

    @classmethod
    def load(cls, path: Path) -> RecordTable:
        """Read a table from its file."""
        with np.load(path) as columns:
            return cls(*(columns[name] for name in cls._fields))

    def save(self, path: Path) -> None:
        """Write the table to a file."""
        with path.open("wb") as file:  # given a path, NumPy would append .npz
            np.savez(file, **self._asdict())


class ShardImages:
    """The photos of some shards, read one by one at their offsets.

    Args:
        files: the shards.
        tables: of each shard.
        image_size: see `read_image`.
        has_labels: False: the labels in the tables are -1, or belong to another split.
    """

    def __init__(self, files: list[Path], tables: list[RecordTable], image_size: int, has_labels: bool) -> None:
        self.files, self.image_size = files, image_size
        self.ends = np.cumsum([len(table.offsets) for table in tables])  # (shards,): where each ends among the photos
        self.records = RecordTable.joined(tables)
        self.labels: np.ndarray | None = self.records.labels if has_labels else None

    def __len__(self) -> int:
        return len(self.records.offsets)

    def read(self, index: int) -> np.ndarray:
        """Return a photo, uint8 RGB (height, width, 3); see `read_image`."""
        return read_image(io.BytesIO(self.encoded(index)), self.image_size)

    def encoded(self, index: int) -> bytes:
        """Return the content of the photo's file, as it was packed.

        Raises:
            BadImage: the shard is missing, cut short or altered there.
        """
        file = self.files[int(np.searchsorted(self.ends, index, side="right"))]
        try:
            with file.open("rb", buffering=0) as opened:
                content = os.pread(opened.fileno(), int(self.records.lengths[index]), int(self.records.offsets[index]))
        except OSError as error:
            raise BadImage(f"{file.name}: {error.strerror}") from error
        if zlib.crc32(content) != self.records.checksums[index]:
            raise BadImage(f"{file.name} was altered after it was packed; see tf-spot pack --verify {file.parent}")
        image: bytes = tf.train.Example.FromString(content).features.feature["image"].bytes_list.value[0]
        return image

    def name(self, index: int) -> str:
        start = self.records.name_ends[index - 1] if index else 0
        return os.fsdecode(self.records.names[start : self.records.name_ends[index]].tobytes())


def open_shards(path: str, *, image_size: int, config: DataConfig, seed: int = 0) -> Source:
    """Open the photos that were packed into `path`, with the splits, names and classes of the source they come from.

    The sizes of all files are checked here, the checksum of a photo when it is read.

    Raises:
        UserError: not a finished pack, or files that are missing, cut short or altered.
    """
    folder = Path(path).expanduser()
    index = read_index(folder)
    pools: dict[str, ShardImages] = {}
    digest = hashlib.sha256()
    for pool in (name for name in POOLS if index["splits"].get(name)):
        entries = [entry for entry in index["shards"] if entry["split"] == pool]
        tables = [_load_table(folder, entry) for entry in entries]
        labelled = index["class_names"] is not None and pool != "unlabelled"
        images = ShardImages([folder / entry["name"] for entry in entries], tables, image_size, labelled)
        for column in images.records[2:]:  # not offsets and lengths: the same photos in other shards are the same data
            digest.update(column.tobytes())
        pools[pool] = images
    return Source.from_images(
        index["source"],
        f"shards:{path}",
        pools["train"],
        pools.get("test"),
        unlabelled=pools.get("unlabelled"),
        image_size=image_size,
        config=config,
        fingerprint=digest.hexdigest(),
        class_names=index["class_names"],
        seed=seed,
        folders={"train": "train", "test": "test"},
    )


def read_index(folder: Path) -> dict[str, Any]:
    """Read index.json.

    Raises:
        UserError: it is missing or in another format.
    """
    try:
        index: dict[str, Any] = read_json(folder / INDEX)
    except FileNotFoundError as error:
        raise UserError(
            f"shards:PATH must be a folder that tf-spot pack has finished; received: {folder} without {INDEX}; run the "
            "same tf-spot pack command again, it goes on where it was stopped"
        ) from error
    if index.get("format") != FORMAT:
        raise UserError(f"{folder / INDEX} must be of format {FORMAT!r}; received another one; pack the photos again")
    wrong = mismatch(index, _INDEX)
    if wrong is not None:
        raise damaged(folder / INDEX, wrong)
    return index


def damage(folder: Path, entry: dict[str, Any], full: bool) -> str | None:
    """Compare a shard and its table with their entry; return the first difference, or None.

    Args:
        folder: the pack.
        entry: the shard's, in index.json.
        full: compare the SHA-256 of the shard as well as its size, which means reading it.

    Raises:
        UserError: the entry names a file outside of the pack.
    """
    for name, size, digest in (
        (entry["name"], entry["bytes"], entry["sha256"] if full else None),
        (entry["places"], entry["places_bytes"], entry["places_sha256"]),
    ):
        file = contained_path(folder, name, INDEX)
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != size:
            return f"{name} has {file.stat().st_size:,} bytes instead of {size:,}"
        if digest is not None and file_digest(file) != digest:
            return f"{name} was altered: its SHA-256 differs"
    return None


def _load_table(folder: Path, entry: dict[str, Any]) -> RecordTable:
    wrong = damage(folder, entry, full=False)
    if wrong is not None:
        raise UserError(
            f"every shard must be as it was packed; received: {folder}, where {wrong}; run the same tf-spot pack "
            "command again, it writes damaged shards anew"
        )
    return RecordTable.load(folder / entry["places"])
