"""The paper's figures: as its tables have them, each with its data, and tables of results from what files there are."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from tf_spot.errors import UserError
from tf_spot.evaluation.published import (
    NOTE,
    TABLES,
    check_published,
    format_paper_table,
    format_published,
    format_tables,
    published,
    table_3,
)
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
    assert set(TABLES) <= {*TASKS, "linear-sgd"}
    for task in TABLES:
        rows, lines = published(task), format_published(task).splitlines()
        assert len(lines) == len(rows)
        for line, row in zip(lines, rows, strict=True):
            said = f"{task} of the paper's {row.table} on {row.data}, {row.method}: {row.metric} in percent: "
            assert line.startswith(said)
            assert all(0 < value < 100 for value in row.by_layer.values()) and set(row.deviation) <= set(row.by_layer)
    assert format_published("stl10").endswith("conv5 76.9 ± 0.2, finetuned 80.1 ± 0.3")


def test_all_rows_are_the_papers_own_and_those_of_the_works() -> None:
    """The numbers of rows are those of the paper's tables; short and long form begin alike."""
    counts = {task: len(published(task, "all")) for task in TABLES}
    assert counts == {
        "linear": 11 + 14, "linear-sgd": 25, "stl10": 7, "transfer": 7, "voc-classification": 17, "voc-detection": 17,
        "voc-segmentation": 11,
    }  # fmt: skip
    (zhang,) = [row for row in published("voc-segmentation", "all") if row.method == "Zhang et al., split-brain"]
    assert (zhang.data, zhang.metric) == ("PASCAL VOC2012", "mean intersection over union")
    assert zhang.by_layer == {"finetuned": 36.0} and zhang.table == "Table 3"


def test_a_table_has_a_line_per_row_and_says_what_stands_for_it() -> None:
    lines = format_tables("stl10").splitlines()
    assert lines[:2] == [NOTE, "Table 2 on STL-10: accuracy in percent"] and len(lines) == 3 + 7
    assert lines[2].split() == ["conv5", "finetuned", "own", "network", "here"]
    assert lines[3].split() == ["spot", "76.9", "±", "0.2", "80.1", "±", "0.3", "spot"]
    assert lines[5].endswith("    74.1  -") and "Dundar" in lines[5]
    assert len({line.rindex("  ") for line in lines[3:]}) == 1, "the last column is aligned"
    two = format_tables("linear", "paper").splitlines()
    assert [line.split()[0] for line in two[1:]] == ["Table", "conv1", "spot", "random"] * 2


def test_a_result_stands_first() -> None:
    """With the layers that the table has, or with its one value."""
    result = {"data": "mine", "value": 40.04, "by_layer": {"conv1": 31.0, "conv5": 40.04, "finetuned": 50.0}}
    probed = format_tables("linear", "all", result).splitlines()
    assert probed[3].split() == ["yours,", "on", "mine", "31.0", "40.0", "spot"]
    tuned = format_tables("stl10", "paper", result).splitlines()
    assert tuned[3].split() == ["yours,", "on", "mine", "40.0", "50.0", "spot"]
    detected = {"data": "voc2007", "value": 9.96, "by_layer": {"11-point": 9.96, "area": 8.0}}
    assert format_tables("voc-detection", "all", detected).splitlines()[3].split()[-2:] == ["10.0", "spot"]


def test_table_3_has_its_columns_side_by_side() -> None:
    lines = format_paper_table(table_3()).splitlines()
    assert lines[1].split() == ["classification", "detection", "segmentation", "here"] and len(lines) == 2 + 18
    (larsson,) = [line for line in lines if line.startswith("Larsson")]
    assert larsson.split() == ["Larsson", "et", "al.,", "colorization", "65.9", "38.0", "colorization"]
    assert larsson.index("38.0") == lines[2].index("38.1"), "an empty cell keeps its column"


def test_a_task_that_the_paper_does_not_have_is_refused() -> None:
    check_published("transfer")
    with pytest.raises(UserError, match="goes with --task linear, stl10, transfer.*received: --task knn"):
        check_published("knn")


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
