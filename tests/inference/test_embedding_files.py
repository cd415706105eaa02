"""Chunks of rows joined into one file."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from tf_spot.errors import UserError
from tf_spot.inference.embedding_files import Description, EmbeddingRows, check_file, count_rows, join_files

ROWS = EmbeddingRows(
    np.array([0, 1, 3, 4, 5]),
    np.array(["a", "b", "münchen/longest.jpg", "d", "e"]),
    np.arange(15, dtype=np.float32).reshape(5, 3),
    np.array(["train", "train", "train", "test", "test"]),
    np.array([1, 0, -1, 1, 0], np.int32),
)
DESCRIPTION = Description(["ant", "bee"], {"tf_spot.layer": "conv4", "tf_spot.model_sha256": "1f"})


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three chunks, the second one without rows."""
    files = [tmp_path / f"{number}.npz" for number in range(3)]
    for file, part in zip(files, (slice(0, 2), slice(2, 2), slice(2, 5)), strict=True):
        EmbeddingRows(*(column[part] for column in ROWS)).save(file)
    return files


def test_a_chunk_is_read_as_it_was_written(files: list[Path]) -> None:
    for found, expected in zip(EmbeddingRows.load(files[2]), ROWS, strict=True):
        np.testing.assert_array_equal(found, expected[2:])
        assert found.dtype.kind == expected.dtype.kind
    assert count_rows(files) == 5 and count_rows([]) == 0


def test_npz_is_what_numpy_would_have_written(files: list[Path], tmp_path: Path) -> None:
    """The paths get the type of the longest, though it is in the last chunk."""
    join_files(tmp_path / "all.npz", files, 3, DESCRIPTION)
    with np.load(tmp_path / "all.npz") as found:
        assert list(found) == ["id", "path", "embedding"]
        for name in found:
            expected = getattr(ROWS, name)
            np.testing.assert_array_equal(found[name], expected)
            assert found[name].dtype == expected.dtype


def test_parquet_has_a_row_group_for_every_chunk_with_rows(files: list[Path], tmp_path: Path) -> None:
    join_files(tmp_path / "all.parquet", files, 3, DESCRIPTION)
    file = parquet.ParquetFile(tmp_path / "all.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)] == [2, 3]
    table = file.read()
    assert table["id"].to_pylist() == ROWS.id.tolist() and table["path"].to_pylist() == ROWS.path.tolist()
    np.testing.assert_array_equal(table["embedding"].to_pylist(), ROWS.embedding)


def test_parquet_says_split_label_layer_and_model(files: list[Path], tmp_path: Path) -> None:
    join_files(tmp_path / "all.parquet", files, 3, DESCRIPTION)
    table = parquet.read_table(tmp_path / "all.parquet")
    assert table["split"].to_pylist() == ["train", "train", "train", "test", "test"]
    assert table["label"].to_pylist() == ["bee", "ant", None, "bee", "ant"]
    facts = parquet.read_schema(tmp_path / "all.parquet").metadata
    assert facts[b"tf_spot.layer"] == b"conv4" and facts[b"tf_spot.model_sha256"] == b"1f"
    without_names = DESCRIPTION._replace(class_names=None)
    assert without_names.labels(ROWS) == ["1", "0", None, "1", "0"]


def test_a_chunk_of_an_earlier_version_has_no_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "old.npz", id=ROWS.id, path=ROWS.path, embedding=ROWS.embedding)
    old = EmbeddingRows.load(tmp_path / "old.npz")
    assert old.path.tolist() == ROWS.path.tolist() and old.label.tolist() == [-1] * 5


def test_endings_and_a_missing_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    check_file(Path("a.parquet"))
    with pytest.raises(UserError, match=r"must end in .parquet or .npz; received: a.csv"):
        check_file(Path("a.csv"))
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not installed
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_file(Path("a.npz"))
    with pytest.raises(UserError, match=r"pip install tf-spot\[embed\], or write FILE.npz"):
        check_file(Path("a.parquet"))
