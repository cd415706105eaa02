"""Files of embeddings: one row per photo, as NumPy arrays or as Parquet.

Rows come in chunks, each in a file of its own, and are joined into one file chunk by chunk: memory holds one at a time.
"""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tf_spot.errors import UserError
from tf_spot.storage.files import write_file

if TYPE_CHECKING:
    import pyarrow as pa

ENDINGS = (".parquet", ".npz")


class EmbeddingRows(NamedTuple):
    """Rows of an embedding, one per photo, as a chunk holds them."""

    id: np.ndarray  # int64 (photos,)
    path: np.ndarray  # text (photos,)
    embedding: np.ndarray  # float32 (photos, dim)
    split: np.ndarray  # text (photos,)
    label: np.ndarray  # int32 (photos,); -1: none

    @classmethod
    def load(cls, path: Path) -> EmbeddingRows:
        """Read the rows of a chunk."""
        with np.load(path) as columns:
            found = {name: columns[name] for name in columns.files}
        # Chunks of earlier versions lack the last two; they are joined into an .npz file alone, which lacks them too.
        rows = len(found["id"])
        return cls(**{"split": np.full(rows, ""), "label": np.full(rows, -1, np.int32)} | found)

    def save(self, path: Path) -> None:
        """Write the rows of a chunk."""
        with path.open("wb") as file:  # given a path, NumPy would append .npz
            np.savez(file, **self._asdict())


class Description(NamedTuple):
    """What a Parquet file says of its rows besides what a chunk holds."""

    class_names: list[str] | None  # by label
    facts: Mapping[str, str]  # the file's metadata

    def labels(self, rows: EmbeddingRows) -> list[str | None]:
        """Return the name of each row's class; None without a label."""
        return [self._name(label) if label >= 0 else None for label in rows.label.tolist()]

    def _name(self, label: int) -> str:
        return self.class_names[label] if self.class_names else str(label)


def check_file(out: Path) -> None:
    """Raise a `UserError` for a file name of another ending, and for Parquet without pyarrow."""
    if out.suffix not in ENDINGS:
        raise UserError(f"--out must end in {' or '.join(ENDINGS)}; received: {out}")
    if out.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UserError("Parquet needs pyarrow, which is missing; run pip install tf-spot[embed], or write FILE.npz")


def count_rows(files: list[Path]) -> int:
    """Return the number of rows of all chunks."""
    return sum(map(len, _column("id", files)))


def join_files(out: Path, files: list[Path], dim: int, description: Description) -> None:
    """Write the rows of the chunks `files`, vectors of `dim` values, to `out` in one move."""
    if out.suffix == ".parquet":
        write_file(out, lambda aside: _join_parquet(aside, files, dim, description))
    else:
        write_file(out, lambda aside: _join_npz(aside, files, dim))


def schema(dim: int, facts: Mapping[str, str]) -> pa.Schema:
    """Return the columns of a Parquet file, of which `embedding` is a list of `dim` numbers, and its metadata."""
    import pyarrow as pa

    kinds = {"id": pa.int64(), "embedding": pa.list_(pa.float32(), dim)}
    return pa.schema([(name, kinds.get(name, pa.string())) for name in EmbeddingRows._fields], metadata=dict(facts))


def _join_parquet(path: Path, files: list[Path], dim: int, description: Description) -> None:
    """Write one row group per chunk; a chunk without rows has none."""
    import pyarrow as pa
    from pyarrow import parquet

    layout = schema(dim, description.facts)
    with parquet.ParquetWriter(path, layout) as writer:
        for rows in map(EmbeddingRows.load, files):
            if len(rows.id):
                # (rows, dim) as one array of rows * dim values, cut every `dim`
                embedding = pa.FixedSizeListArray.from_arrays(pa.array(rows.embedding.ravel()), dim)
                columns = {"id": rows.id, "path": rows.path.tolist(), "split": rows.split.tolist()}
                columns |= {"label": description.labels(rows), "embedding": embedding}
                writer.write_table(pa.Table.from_pydict(columns, schema=layout), row_group_size=len(rows.id))


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
