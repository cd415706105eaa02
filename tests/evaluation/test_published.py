"""The paper's figures: as its tables have them, each with its data, and tables of results from what files there are."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from tf_spot.evaluation.published import ROWS, format_published, published
from tf_spot.evaluation.tasks import TASKS

ROOT = Path(__file__).parents[2]


def test_figures_are_those_of_the_tables() -> None:
    (stl10,) = published("stl10")
    assert (stl10.table, stl10.by_layer, stl10.deviation) == (
        "Table 2", {"conv5": 76.9, "finetuned": 80.1}, {"conv5": 0.2, "finetuned": 0.3})  # fmt: skip
    rows = {(row.data, row.method): list(row.by_layer.values()) for row in published("linear")}
    assert rows[("ImageNet", "spot")] == [19.5, 33.3, 37.9, 38.9, 34.9]
    assert rows[("Places205", "random")] == [15.7, 20.3, 19.8, 19.1, 17.5]
    table_3 = [published(f"voc-{task}")[0] for task in ("classification", "detection", "segmentation")]
    assert [row.by_layer["finetuned"] for row in table_3] == [69.8, 52.5, 38.1]
    assert published("linear-sgd") == published("linear")
    assert published("finetune") == () and format_published("finetune") == ""


def test_every_figure_is_of_a_task_and_names_its_data() -> None:
    assert set(ROWS) <= {*TASKS, "linear-sgd"}
    for task, rows in ROWS.items():
        lines = format_published(task).splitlines()
        assert len(lines) == len(rows)
        for line, row in zip(lines, rows, strict=True):
            said = f"{task} of the paper's {row.table} on {row.data}, {row.method}: {row.metric} in percent: "
            assert line.startswith(said)
            assert all(0 < value < 100 for value in row.by_layer.values()) and set(row.deviation) <= set(row.by_layer)
    assert format_published("stl10").endswith("conv5 76.9 ± 0.2, finetuned 80.1 ± 0.3")


def test_marks_of_several_files_take_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = runpy.run_path(str(ROOT / "studies" / "tables.py"))
    render, result = tables["render"], json.loads((ROOT / "results" / "linear-photos.json").read_text())
    monkeypatch.setitem(tables["tables"].__globals__, "ROOT", tmp_path)
    (tmp_path / "results").mkdir()
    page = "<!-- table: results/linear-*.json -->\n<!-- table: results/knn-*.json -->\n\nAnd so on.\n"
    assert render(page) == page
    for name in ("a", "b"):
        (tmp_path / "results" / f"linear-{name}.json").write_text(json.dumps(result | {"data": name}))
    text = render(page)
    assert text.count("```text") == 2 and text.index("linear on a:") < text.index("linear on b:")
    assert text.endswith("```\n<!-- table: results/knn-*.json -->\n\nAnd so on.\n")
    assert render(text) == text
    (tmp_path / "results" / "linear-a.json").unlink()
    assert "linear on a:" not in render(text) and render(text).count("```text") == 1
    assert "76.9 ± 0.2" in render("<!-- table: published -->\n")
