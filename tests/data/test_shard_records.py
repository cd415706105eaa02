"""The records of a shard and their table: offsets, checksums, names, and photos that cannot be read."""

from __future__ import annotations

import io
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tf_spot.data.images import BadImage
from tf_spot.data.shard_records import encoded_photo, write_records
from tf_spot.data.shards import RecordTable
from tf_spot.errors import UserError


class Arrays:
    """Photos that are no files, of noise; the third cannot be read."""

    labels = np.array([3, 1, 2, 0], np.int32)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 7, 3), np.uint8)

    def __len__(self) -> int:
        return 4

    def name(self, index: int) -> str:
        return f"é{'x' * index}"

    def read(self, index: int) -> np.ndarray:
        if index == 2:
            raise BadImage("damaged")
        return self.pixels[index]


class Files(Arrays):
    """The same as files whose content is not what was decoded."""

    def encoded(self, index: int) -> bytes:
        return b"file %d" % index


def write(path: Path, images: Arrays, indices: range, strict: bool = False) -> tuple[RecordTable, list[str]]:
    bad: list[str] = []
    return write_records(path, images, "train", indices, bad, strict, threading.Event()), bad


def test_every_record_is_where_the_table_says(tmp_path: Path) -> None:
    table, bad = write(tmp_path / "a.tfrecord", Arrays(), range(4))
    content = (tmp_path / "a.tfrecord").read_bytes()
    assert bad == ["éxx: damaged"] and table.labels.tolist() == [3, 1, 0]
    names = np.split(table.names, table.name_ends[:-1].astype(int))
    assert [name.tobytes().decode() for name in names] == ["é", "éx", "éxxx"]
    for row, index in enumerate((0, 1, 3)):
        record = content[int(table.offsets[row]) :][: int(table.lengths[row])]
        assert zlib.crc32(record) == table.checksums[row]
        feature = tf.train.Example.FromString(record).features.feature
        with Image.open(io.BytesIO(feature["image"].bytes_list.value[0])) as photo:
            np.testing.assert_array_equal(np.asarray(photo), Arrays.pixels[index])


def test_a_table_is_read_as_it_was_written_and_tables_are_joined(tmp_path: Path) -> None:
    tables = [
        write(tmp_path / f"{i}.tfrecord", Arrays(), indices)[0] for i, indices in enumerate((range(2), range(2, 4)))
    ]
    tables[0].save(tmp_path / "0.npz")
    for found, expected in zip(RecordTable.load(tmp_path / "0.npz"), tables[0], strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    joined, whole = RecordTable.joined(tables), write(tmp_path / "all.tfrecord", Arrays(), range(4))[0]
    for name in ("lengths", "checksums", "labels", "name_ends", "names"):  # offsets begin anew in each shard
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))


def test_a_shard_without_readable_photos_has_an_empty_table(tmp_path: Path) -> None:
    table, bad = write(tmp_path / "a.tfrecord", Arrays(), range(2, 3))
    assert all(len(column) == 0 for column in table) and len(bad) == 1
    assert (tmp_path / "a.tfrecord").read_bytes() == b""


def test_files_are_packed_as_they_are() -> None:
    assert encoded_photo(Files(), 1) == b"file 1"
    with pytest.raises(BadImage):
        encoded_photo(Files(), 2)  # though its content could be had


def test_strict_and_a_stop(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--strict every photo must be readable; received: éxx: damaged"):
        write(tmp_path / "a.tfrecord", Arrays(), range(4), strict=True)
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedError):
        write_records(tmp_path / "a.tfrecord", Arrays(), "train", range(4), [], False, stop)
