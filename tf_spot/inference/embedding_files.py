"""Files of embeddings: one row per photo, as NumPy arrays or as Parquet.

Rows come in chunks, each in a file of its own, and are joined into one file chunk by chunk: memory holds one at a time.
"""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tf_spot.errors import UserError
from tf_spot.storage.files import write_file

if TYPE_CHECKING:
    import pyarrow as pa

_KINDS = {"id": "<i8", "embedding": "<f4"}  # of columns that are not text
ENDINGS = (".parquet", ".npz")


class EmbeddingRows(NamedTuple):
    """Rows of an embedding, one per photo, as a chunk holds them."""

    id: np.ndarray  # int64 (photos,)
    path: np.ndarray  # text (photos,)
    embedding: np.ndarray  # float32 (photos, dim)
    split: np.ndarray  # text (photos,)
    label: np.ndarray  # text (photos,), the name of the class; "": none

    def save(self, path: Path, columns: Sequence[str] | None = None) -> None:
        """Write the rows of a chunk: these columns, by default all."""
        with path.open("wb") as file:  # given a path, NumPy would append .npz
            np.savez(file, **{name: getattr(self, name) for name in columns or self._fields})


COLUMNS = EmbeddingRows._fields
EARLIER_COLUMNS = ("id", "path", "embedding")  # of jobs that an earlier version began


def check_file(out: Path) -> None:
    """Raise a `UserError` for a file name of another ending, and for Parquet without pyarrow."""
    if out.suffix not in ENDINGS:
        raise UserError(f"--out must end in {' or '.join(ENDINGS)}; received: {out}")
    if out.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UserError("Parquet needs pyarrow, which is missing; run pip install tf-spot[embed], or write FILE.npz")


def is_whole(file: Path, columns: Sequence[str]) -> bool:
    """True for the file of a chunk with these columns that is there and as it was written."""
    try:
        with zipfile.ZipFile(file) as archive:
            there = {f"{name}.npy" for name in columns} <= set(archive.namelist())
            return there and archive.testzip() is None  # which compares the checksums
    except (OSError, zipfile.BadZipFile):
        return False


def ids_of(files: list[Path]) -> np.ndarray:
    """Return the ids of all chunks, int64 (rows,)."""
    return np.concatenate(list(_column("id", files)))


def count_rows(files: list[Path]) -> int:
    """Return the number of rows of all chunks."""
    return sum(map(len, _column("id", files)))


def join_files(out: Path, files: list[Path], dim: int, facts: Mapping[str, str]) -> None:
    """Write the rows of the chunks `files`, vectors of `dim` values, to `out` in one move.

    Args:
        out: FILE.parquet or FILE.npz.
        files: the chunks.
        dim: of a vector.
        facts: the metadata of a Parquet file.
    """
    if out.suffix == ".parquet":
        write_file(out, lambda aside: _join_parquet(aside, files, dim, facts))
    else:
        write_file(out, lambda aside: _join_npz(aside, files, dim))


def schema(dim: int, facts: Mapping[str, str], columns: Sequence[str] = COLUMNS) -> pa.Schema:
    """Return the columns of a Parquet file, of which `embedding` is a list of `dim` numbers, and its metadata."""
    import pyarrow as pa

    kinds = {"id": pa.int64(), "embedding": pa.list_(pa.float32(), dim)}
    return pa.schema([(name, kinds.get(name, pa.string())) for name in columns], metadata=dict(facts))


def _join_parquet(path: Path, files: list[Path], dim: int, facts: Mapping[str, str]) -> None:
    """Write one row group per chunk; a chunk without rows has none."""
    import pyarrow as pa
    from pyarrow import parquet

    names = _columns_of(files)
    layout = schema(dim, facts, names)
    with parquet.ParquetWriter(path, layout) as writer:
        for rows in (_load(file, names) for file in files):
            if len(rows["id"]):
                # (rows, dim) as one array of rows * dim values, cut every `dim`
                embedding = pa.FixedSizeListArray.from_arrays(pa.array(rows["embedding"].ravel()), dim)
                columns = {name: column.tolist() for name, column in rows.items() if column.ndim == 1}
                if "label" in columns:
                    columns["label"] = [label or None for label in columns["label"]]
                table = pa.Table.from_pydict(columns | {"embedding": embedding}, schema=layout)
                writer.write_table(table, row_group_size=len(rows["id"]))


def _join_npz(path: Path, files: list[Path], dim: int) -> None:
    """Write array after array, chunk after chunk, as `np.savez` would from memory."""
    count = count_rows(files)
    kinds: dict[str, np.dtype[Any]] = {name: np.dtype(kind) for name, kind in _KINDS.items()}
    columns: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
        name: (kinds.get(name) or _longest_text(name, files), (count, dim) if name == "embedding" else (count,))
        for name in _columns_of(files)
    }
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        for name, (kind, shape) in columns.items():
            head = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, head)
                for column in _column(name, files):
                    file.write(column.astype(kind).tobytes())


def _columns_of(files: list[Path]) -> list[str]:
    """Return the columns that chunks have, in order."""
    with np.load(files[0]) as columns:
        return [name for name in COLUMNS if name in columns]


def _load(file: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    with np.load(file) as columns:
        return {name: columns[name] for name in names}


def _longest_text(name: str, files: list[Path]) -> np.dtype[np.str_]:
    """Return the type that holds the longest text of a column: in an array all strings take the same room."""
    kinds = [column.dtype for column in _column(name, files)]
    return max([np.dtype("<U1"), *kinds], key=lambda kind: kind.itemsize)


def _column(name: str, files: list[Path]) -> Iterator[np.ndarray]:
    """Yield one column of each chunk, without reading the others."""
    for file in files:
        with np.load(file) as columns:
            yield columns[name]
