"""Files of embeddings: one row per photo, as NumPy arrays or as Parquet.

Rows come in chunks, each in a file of its own, and are joined into one file chunk by chunk: memory holds one at a time.
"""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tf_spot.errors import UserError
from tf_spot.storage.files import write_file

if TYPE_CHECKING:
    import pyarrow as pa

ENDINGS = (".parquet", ".npz")


class EmbeddingRows(NamedTuple):
    """Rows of an embedding file, one per photo; the fields are the file's columns."""

    id: np.ndarray  # int64 (photos,)
    path: np.ndarray  # text (photos,)
    embedding: np.ndarray  # float32 (photos, dim)

    @classmethod
    def load(cls, path: Path) -> EmbeddingRows:
        """Read the rows of a chunk."""
        with np.load(path) as columns:
            return cls(*(columns[name] for name in cls._fields))

    def save(self, path: Path) -> None:
        """Write the rows of a chunk."""
        with path.open("wb") as file:  # given a path, NumPy would append .npz
            np.savez(file, **self._asdict())


def check_file(out: Path) -> None:
    """Raise a `UserError` for a file name of another ending, and for Parquet without pyarrow."""
    if out.suffix not in ENDINGS:
        raise UserError(f"--out must end in {' or '.join(ENDINGS)}; received: {out}")
    if out.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UserError("Parquet needs pyarrow, which is missing; run pip install tf-spot[embed], or write FILE.npz")


def count_rows(files: list[Path]) -> int:
    """Return the number of rows of all chunks."""
    return sum(map(len, _column("id", files)))


def join_files(out: Path, files: list[Path], dim: int) -> None:
    """Write the rows of the chunks `files`, vectors of `dim` values, to `out` in one move."""
    join = _join_parquet if out.suffix == ".parquet" else _join_npz
    write_file(out, lambda aside: join(aside, files, dim))


def schema(dim: int) -> pa.Schema:
    """Return the columns of a Parquet file: `id`, `path` and `embedding`, a list of `dim` numbers."""
    import pyarrow as pa

    vectors = pa.list_(pa.float32(), dim)
    return pa.schema([("id", pa.int64()), ("path", pa.string()), ("embedding", vectors)])


def _join_parquet(path: Path, files: list[Path], dim: int) -> None:
    """Write one row group per chunk; a chunk without rows has none."""
    import pyarrow as pa
    from pyarrow import parquet

    layout = schema(dim)
    with parquet.ParquetWriter(path, layout) as writer:
        for rows in map(EmbeddingRows.load, files):
            if len(rows.id):
                # (rows, dim) as one array of rows * dim values, cut every `dim`
                embedding = pa.FixedSizeListArray.from_arrays(pa.array(rows.embedding.ravel()), dim)
                columns = [pa.array(rows.id), pa.array(rows.path.tolist(), pa.string()), embedding]
                writer.write_table(pa.Table.from_arrays(columns, schema=layout), row_group_size=len(rows.id))


def _join_npz(path: Path, files: list[Path], dim: int) -> None:
    """Write array after array, chunk after chunk, as `np.savez` would from memory."""
    count = count_rows(files)
    columns = {
        "id": (np.dtype(np.int64), (count,)),
        "path": (_longest_text(files), (count,)),
        "embedding": (np.dtype("<f4"), (count, dim)),
    }
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        for name, (kind, shape) in columns.items():
            head = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, head)
                for column in _column(name, files):
                    file.write(column.astype(kind).tobytes())


def _longest_text(files: list[Path]) -> np.dtype[np.str_]:
    """Return the type that holds the longest path of all chunks: in an array all strings take the same room."""
    kinds = [column.dtype for column in _column("path", files)]
    return max([np.dtype("<U1"), *kinds], key=lambda kind: kind.itemsize)


def _column(name: str, files: list[Path]) -> Iterator[np.ndarray]:
    """Yield one column of each chunk, without reading the others."""
    for file in files:
        with np.load(file) as columns:
            yield columns[name]
