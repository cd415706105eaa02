"""shards:PATH, what `tf-spot pack` wrote: photos in large files, each found by its place in its file.

    index.json                                what there is: splits, classes, and size and SHA-256 of every file
    SPLIT-00000-of-00012.tfrecord             one tf.train.Example a photo: image, label, name, split
    SPLIT-00000-of-00012.npz                  where each photo lies in that file

TFRecord is meant to be read from front to back. With every record's offset known, any photo is one read away, so these
photos are shuffled exactly, as those of a folder are, without a buffer.
"""

from __future__ import annotations

import hashlib
import io
import json
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
from tf_spot.storage.files import file_digest

FORMAT = "tf_spot shards 1"
INDEX = "index.json"
HEADER_BYTES, FOOTER_BYTES = 12, 4  # of a record: its length, and the checksums of the length and of the content
POOLS = ("train", "test", "unlabelled")  # unlabelled: only where other photos are trained on than those with labels


class Places(NamedTuple):
    """Where the photos of one shard, or of several one after the other, lie."""

    offsets: np.ndarray  # uint64 (n,): of the record's content in its file
    lengths: np.ndarray  # uint32 (n,): bytes of that content
    checksums: np.ndarray  # uint32 (n,): its CRC-32
    labels: np.ndarray  # int32 (n,); -1: none
    name_ends: np.ndarray  # uint64 (n,): where each name ends in `names`
    names: np.ndarray  # uint8: all names, one after the other

    @classmethod
    def joined(cls, parts: Sequence[Places]) -> Places:
        """Those of several shards, in order."""
        starts = np.cumsum([0] + [len(part.names) for part in parts], dtype=np.uint64)
        shifted = [p._replace(name_ends=p.name_ends + start) for p, start in zip(parts, starts[:-1], strict=True)]
        return cls(*(np.concatenate(columns) for columns in zip(*shifted, strict=True)))

    @classmethod
    def load(cls, path: Path) -> Places:
        with np.load(path) as columns:
            return cls(*(columns[name] for name in cls._fields))


class ShardImages:
    """The photos of some shards, read one by one at their offsets.

    Args:
        files: the shards.
        places: of the photos of each shard.
        image_size: see `read_image`.
        has_labels: the labels mean something.
    """

    def __init__(self, files: list[Path], places: list[Places], image_size: int, has_labels: bool) -> None:
        self.files, self.image_size = files, image_size
        self.ends = np.cumsum([len(part.offsets) for part in places])  # (shards,): where each ends among the photos
        self.places = Places.joined(places)
        self.labels: np.ndarray | None = self.places.labels if has_labels else None

    def __len__(self) -> int:
        return len(self.places.offsets)

    def read(self, index: int) -> np.ndarray:
        return read_image(io.BytesIO(self.encoded(index)), self.image_size)

    def encoded(self, index: int) -> bytes:
        """The photo's file as it was packed.

        Raises:
            BadImage: the shard is gone, cut short or altered there.
        """
        file = self.files[int(np.searchsorted(self.ends, index, side="right"))]
        try:
            with file.open("rb", buffering=0) as opened:
                content = os.pread(opened.fileno(), int(self.places.lengths[index]), int(self.places.offsets[index]))
        except OSError as error:
            raise BadImage(f"{file.name}: {error.strerror}") from error
        if zlib.crc32(content) != self.places.checksums[index]:
            raise BadImage(f"{file.name} was altered after it was packed; see tf-spot pack --verify {file.parent}")
        image: bytes = tf.train.Example.FromString(content).features.feature["image"].bytes_list.value[0]
        return image

    def name(self, index: int) -> str:
        start = self.places.name_ends[index - 1] if index else 0
        return os.fsdecode(self.places.names[start : self.places.name_ends[index]].tobytes())


def open_shards(path: str, *, image_size: int, config: DataConfig, **kwargs: Any) -> Source:
    """The photos that were packed into `path`: the splits, names and classes of the source they come from.

    The sizes of all files are checked here, the checksum of a photo when it is read.

    Raises:
        UserError: no finished pack, or files that are missing, cut short or altered.
    """
    folder = Path(path).expanduser()
    index = read_index(folder)
    pools: dict[str, ShardImages] = {}
    digest = hashlib.sha256()
    for pool in (name for name in POOLS if index["splits"].get(name)):
        entries = [entry for entry in index["shards"] if entry["split"] == pool]
        places = [_load_places(folder, entry) for entry in entries]
        labelled = index["class_names"] is not None and pool != "unlabelled"
        images = ShardImages([folder / entry["name"] for entry in entries], places, image_size, labelled)
        for column in images.places[2:]:  # not offsets and lengths: the same photos in other shards are the same data
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
        **kwargs,
    )


def read_index(folder: Path) -> dict[str, Any]:
    """What index.json says.

    Raises:
        UserError: it is missing or is something else.
    """
    try:
        index: dict[str, Any] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            f"shards:PATH must be a folder that tf-spot pack has finished; received: {folder} without {INDEX}; run the "
            "same tf-spot pack command again, it goes on where it was stopped"
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / INDEX} cannot be read: {error}; run the same tf-spot pack command again") from error
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise UserError(f"{folder / INDEX} must be of format {FORMAT!r}; received another one; pack the photos again")
    return index


def damage(folder: Path, entry: dict[str, Any], full: bool) -> str | None:
    """What is wrong with a shard and its table of places, if anything.

    Args:
        folder: the pack.
        entry: the shard's, in index.json.
        full: compare SHA-256 of the shard, not only its size.
    """
    for name, size, digest in (
        (entry["name"], entry["bytes"], entry["sha256"] if full else None),
        (entry["places"], entry["places_bytes"], entry["places_sha256"]),
    ):
        file = folder / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != size:
            return f"{name} has {file.stat().st_size:,} bytes instead of {size:,}"
        if digest is not None and file_digest(file) != digest:
            return f"{name} was altered: its SHA-256 differs"
    return None


def _load_places(folder: Path, entry: dict[str, Any]) -> Places:
    wrong = damage(folder, entry, full=False)
    if wrong is not None:
        raise UserError(
            f"every shard must be as it was packed; received: {folder}, where {wrong}; run the same tf-spot pack "
            "command again, it writes damaged shards anew"
        )
    return Places.load(folder / entry["places"])
