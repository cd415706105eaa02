"""The result file of an evaluation: the newest has the plain name, and no other evaluation is lost."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from tf_spot.evaluation.result_file import write_result


def written(folder: Path, key: str, value: int) -> None:
    write_result(folder, {"task": "knn", "data": "set", "key": key, "value": value})


def values(folder: Path) -> dict[str, int]:
    return {path.name: json.loads(path.read_text())["value"] for path in sorted(folder.glob("*.json"))}


def test_another_evaluation_is_kept_and_the_same_one_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="tf_spot"):
        written(tmp_path, "aa", 1)
        written(tmp_path, "aa", 2)
    assert values(tmp_path) == {"knn-set.json": 2} and not caplog.records
    with caplog.at_level(logging.WARNING, logger="tf_spot"):
        written(tmp_path, "bb", 3)
    assert values(tmp_path) == {"knn-set-aa.json": 2, "knn-set.json": 3}
    assert "is kept as knn-set-aa.json" in caplog.text
    written(tmp_path, "aa", 4)
    assert values(tmp_path) == {"knn-set-bb.json": 3, "knn-set.json": 4}, "each evaluation once"


@pytest.mark.parametrize("content", ['{"task": "knn", "value": 1}', "[1]", "cut sho"])
def test_a_file_without_a_key_is_kept_too(tmp_path: Path, content: str) -> None:
    (tmp_path / "knn-set.json").write_text(content)
    written(tmp_path, "aa", 2)
    (kept,) = tmp_path.glob("knn-set-*.json")
    assert kept.read_text() == content and json.loads((tmp_path / "knn-set.json").read_text())["value"] == 2
