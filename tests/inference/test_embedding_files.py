"""Chunks of rows joined into one file."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from tf_spot.errors import UserError
from tf_spot.inference.embedding_files import (
    COLUMNS,
    EARLIER_COLUMNS,
    EmbeddingRows,
    check_file,
    count_rows,
    is_whole,
    join_files,
)

ROWS = EmbeddingRows(
    np.array([0, 1, 3, 4, 5]),
    np.array(["a", "b", "münchen/longest.jpg", "d", "e"]),
    np.arange(15, dtype=np.float32).reshape(5, 3),
    np.array(["train"] * 4 + ["test"]),
    np.array(["bee", "ant", "", "bee", "ant"]),
)
FACTS = {"tf_spot.layer": "conv4", "tf_spot.model_sha256": "1f"}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three chunks, the second one without rows."""
    files = [tmp_path / f"{number}.npz" for number in range(3)]
    for file, part in zip(files, (slice(0, 2), slice(2, 2), slice(2, 5)), strict=True):
        EmbeddingRows(*(column[part] for column in ROWS)).save(file)
    return files


def test_a_chunk_is_read_as_it_was_written(files: list[Path]) -> None:
    with np.load(files[2]) as found:
        for name, expected in ROWS._asdict().items():
            np.testing.assert_array_equal(found[name], expected[2:])
            assert found[name].dtype.kind == expected.dtype.kind
    assert count_rows(files) == 5 and count_rows([]) == 0


def test_npz_is_what_numpy_would_have_written(files: list[Path], tmp_path: Path) -> None:
    """The paths get the type of the longest, though it is in the last chunk."""
    join_files(tmp_path / "all.npz", files, 3, FACTS)
    with np.load(tmp_path / "all.npz") as found:
        assert list(found) == ["id", "path", "embedding", "split", "label"]
        for name, expected in ROWS._asdict().items():
            np.testing.assert_array_equal(found[name], expected)
            assert found[name].dtype == expected.dtype


def test_columns_of_an_earlier_version_are_joined_as_they_are(tmp_path: Path) -> None:
    ROWS.save(tmp_path / "0.npz", EARLIER_COLUMNS)
    assert is_whole(tmp_path / "0.npz", EARLIER_COLUMNS) and not is_whole(tmp_path / "0.npz", COLUMNS)
    join_files(tmp_path / "all.npz", [tmp_path / "0.npz"], 3, FACTS)
    with np.load(tmp_path / "all.npz") as found:
        assert tuple(found) == EARLIER_COLUMNS
    join_files(tmp_path / "all.parquet", [tmp_path / "0.npz"], 3, FACTS)
    assert tuple(parquet.read_schema(tmp_path / "all.parquet").names) == EARLIER_COLUMNS


def test_parquet_has_a_row_group_for_every_chunk_with_rows(files: list[Path], tmp_path: Path) -> None:
    join_files(tmp_path / "all.parquet", files, 3, FACTS)
    file = parquet.ParquetFile(tmp_path / "all.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)] == [2, 3]
    table = file.read()
    for name in ("id", "path", "split"):
        assert table[name].to_pylist() == getattr(ROWS, name).tolist()
    np.testing.assert_array_equal(table["embedding"].to_pylist(), ROWS.embedding)


def test_parquet_says_split_label_layer_and_model(files: list[Path], tmp_path: Path) -> None:
    join_files(tmp_path / "all.parquet", files, 3, FACTS)
    table = parquet.read_table(tmp_path / "all.parquet")
    assert table["split"].to_pylist() == ["train"] * 4 + ["test"]
    assert table["label"].to_pylist() == ["bee", "ant", None, "bee", "ant"]
    facts = parquet.read_schema(tmp_path / "all.parquet").metadata
    assert facts[b"tf_spot.layer"] == b"conv4" and facts[b"tf_spot.model_sha256"] == b"1f"


def test_endings_and_a_missing_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    check_file(Path("a.parquet"))
    with pytest.raises(UserError, match=r"must end in .parquet or .npz; received: a.csv"):
        check_file(Path("a.csv"))
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not installed
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_file(Path("a.npz"))
    with pytest.raises(UserError, match=r"pip install tf-spot\[embed\], or write FILE.npz"):
        check_file(Path("a.parquet"))
