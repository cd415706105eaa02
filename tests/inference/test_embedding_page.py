"""The Python of docs/embedding.md reads a file that `embed` wrote: with pyarrow, pandas, DuckDB and FAISS."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from tf_spot.inference.embedder import open_embedder

PAGE = Path(__file__).parents[2] / "docs" / "embedding.md"


@pytest.fixture
def there(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What its lines leave behind, run in a folder with the file."""
    shutil.copy(whole, tmp_path / "features.parquet")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, Any] = {}
    exec(compile("\n".join(blocks), str(PAGE), "exec"), names)
    return names


def test_its_python_reads_the_rows(there: dict[str, Any], run: Path, whole: Path) -> None:
    rows = parquet.read_table(whole)
    vectors = np.array(rows["embedding"].to_pylist(), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert there["model"] == open_embedder(run).digest == dict(there["facts"])["tf_spot.model_sha256"]
    assert there["labels"].tolist() == ["ant"] * 3 + ["bee"] * 2 and len(there["test"]) == 5
    order = np.argsort(-vectors @ vectors[0])[1:6]
    assert [path for path, _ in there["near"]] == [rows["path"][int(row)].as_py() for row in order]
    np.testing.assert_allclose([cosine for _, cosine in there["near"]], (vectors @ vectors[0])[order], rtol=1e-5)
    assert there["rows"][:, 0].tolist() == [0, 1, 2] and there["rows"][0, 1:].tolist() == order[:4].tolist()
    assert there["paths"].shape == (3, 5)
