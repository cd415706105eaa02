"""The records of one shard: a `tf.train.Example` per photo, and the table of where each lies.

TFRecord frames each record's content with its length and checksums. The offsets follow from that, so the table is made
while writing.
"""

from __future__ import annotations

import io
import os
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import tensorflow as tf
from PIL import Image

from tf_spot.data.images import BadImage, Images
from tf_spot.data.shards import FOOTER_BYTES, HEADER_BYTES, RecordTable
from tf_spot.errors import UserError
from tf_spot.storage.names import printable


@runtime_checkable
class EncodedImages(Protocol):
    """Photos that are picture files, in any container, or of which some may be."""

    def encoded(self, index: int) -> bytes | None:
        """Return the content of a photo's file; None where it is no file."""


def encoded_photo(images: Images, index: int) -> bytes:
    """Return the content of the photo's file; a PNG where it is no file.

    Raises:
        BadImage: it cannot be decoded.
    """
    photo = images.read(index)  # also where the file is packed as it is: no damaged file may get into a shard
    content = images.encoded(index) if isinstance(images, EncodedImages) else None
    if content is not None:
        return content
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, format="PNG")
    return buffer.getvalue()


def write_records(
    path: Path, images: Images, split: str, indices: range, bad: list[str], strict: bool, stop: threading.Event
) -> RecordTable:
    """Write some photos of a split to a shard.

    Args:
        path: of the shard.
        images: photos of the split.
        split: its name, for the records.
        indices: of the photos to write.
        bad: "name: reason" of every unreadable photo is added to it.
        strict: raise when a photo cannot be read.
        stop: set from another thread to give up.

    Returns:
        where the records lie.

    Raises:
        UserError: with `strict`, an unreadable photo.
        InterruptedError: `stop` was set.
    """
    rows: list[tuple[int, int, int, int, int]] = []
    names = bytearray()
    offset = 0  # bytes, of the next record
    with tf.io.TFRecordWriter(str(path)) as writer:
        for index, image in _readable(images, indices, bad, strict):
            if stop.is_set():
                raise InterruptedError("packing was stopped")
            name = os.fsencode(images.name(index))
            label = -1 if images.labels is None else int(images.labels[index])
            content = _example(image, label, name, split)
            writer.write(content)
            names += name
            rows.append((offset + HEADER_BYTES, len(content), zlib.crc32(content), label, len(names)))
            offset += HEADER_BYTES + len(content) + FOOTER_BYTES
    # (photos, 5) to five columns; the reshaping is for a shard without photos
    offsets, lengths, checksums, labels, name_ends = np.array(rows, np.int64).reshape(-1, 5).T
    return RecordTable(
        offsets.astype(np.uint64),
        lengths.astype(np.uint32),
        checksums.astype(np.uint32),
        labels.astype(np.int32),
        name_ends.astype(np.uint64),
        np.frombuffer(bytes(names), np.uint8),
    )


def _readable(images: Images, indices: range, bad: list[str], strict: bool) -> Iterator[tuple[int, bytes]]:
    """Yield (index, encoded photo) of the photos that can be decoded."""
    for index in indices:
        try:
            yield index, encoded_photo(images, index)
        except BadImage as error:
            line = printable(f"{images.name(index)}: {error}")
            if strict:
                raise UserError(
                    f"with --strict every photo must be readable; received: {line}; repair or remove it"
                ) from error
            bad.append(line)


def _example(image: bytes, label: int, name: bytes, split: str) -> bytes:
    """Return a `tf.train.Example` as bytes."""
    feature, values, whole = tf.train.Feature, tf.train.BytesList, tf.train.Int64List
    features = {
        "image": feature(bytes_list=values(value=[image])),
        "label": feature(int64_list=whole(value=[label])),
        "name": feature(bytes_list=values(value=[name])),
        "split": feature(bytes_list=values(value=[split.encode()])),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    content: bytes = example.SerializeToString(deterministic=True)  # the same photos give the same file
    return content
