"""The paper's figures: as its tables have them, each with its data, and tables of results from what files there are."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from tf_spot.commands.evaluate import PROBES, PROTOCOLS
from tf_spot.evaluation import format_table
from tf_spot.evaluation.published import FIGURES, format_published, published

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
    assert set(FIGURES) <= {*PROBES, *PROTOCOLS, "linear-sgd"}
    for task, rows in FIGURES.items():
        lines = format_published(task).splitlines()
        assert len(lines) == len(rows)
        for line, row in zip(lines, rows, strict=True):
            said = f"{task} of the paper's {row.table} on {row.data}, {row.method}: {row.metric} in percent: "
            assert line.startswith(said)
            assert all(0 < value < 100 for value in row.by_layer.values()) and set(row.deviation) <= set(row.by_layer)
    assert format_published("stl10").endswith("conv5 76.9 ± 0.2, finetuned 80.1 ± 0.3")


def test_tables_of_folds_and_of_measures() -> None:
    random = {"by_layer": {"conv5": 40.0, "finetuned": 41.5}, "deviation": {"conv5": 1.0, "finetuned": 2.0}}
    folds = {
        "task": "stl10", "method": "spot", "data": "mine", "metric": "accuracy", "unit": "percent", "stderr": 0.4,
        "train_images": 1_000, "test_images": 8_000, "value": 51.0, "best_layer": "finetuned",
        "by_layer": {"conv5": 50.0, "finetuned": 51.0}, "deviation": {"conv5": 0.5, "finetuned": 1.5},
        "rivals": {"random": random | {"value": 41.5}},
    }  # fmt: skip
    says, head, spot, other, lead = format_table(folds).splitlines()
    assert says.startswith("stl10 on mine: accuracy in percent, standard error 0.4")
    assert head.split() == ["conv5", "finetuned", "best"]
    assert "50.0 ± 0.5" in spot and "51.0 ± 1.5" in spot
    assert "41.5 ± 2.0" in other and other.endswith("41.5") and lead.split() == ["lead", "over", "random", "+10.0",
                                                                                "+9.5", "+9.5"]  # fmt: skip
    assert len({len(line) for line in (head, spot, other, lead)}) == 1
    del folds["best_layer"]
    assert format_table(folds).splitlines()[1].split() == ["conv5", "finetuned"]


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
