"""Tables of results: every method, the best of each column, deviations, classes."""

import re

from tests.report.example import rendered, result, rows
from tests.support.repair_result import REPAIR
from tf_spot.report.tables import Cell, column_cells, results
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_json


def tables(run: Run, *contents: object) -> str:
    for number, content in enumerate(contents):
        write_json(run.path / "results" / f"{number}.json", content)
    return rendered(results(run))


def test_table_shows_the_results(page, text) -> None:
    for shown in ("12.3", "56.8", "33.3", "control", "0.877", "1,234", "standard error 0.5"):
        assert shown in page.text
    table, *_ = re.findall("<table><tr>.*?</table>", text)  # below it, folded, are those of the paper
    assert re.findall(r"<tr[^>]*><td>(.*?)</td>", table) == ["spot", "random", "encoding"]
    assert re.findall(r"<td>encoding</td>(.*?)</tr>", table) == ["<td></td><td></td><td>33.3</td>"]


def test_what_no_other_leads_is_marked_in_each_column(text) -> None:
    """99 test images: 12.3 and 1.0 have errors of 3.3 and 1, so 11.3 points are a lead, and so are 54.8."""
    assert re.findall(r"<td class=best>([\d.]*)</td>", text) == ["12.3", "56.8"]


def test_row_of_the_runs_method_is_marked(new_run) -> None:
    html = tables(new_run, result(56.78))
    assert re.findall(r"<tr class=own><td>(.*?)</td>", html) == ["spot"]


def test_evaluations_of_one_task_are_told_apart(new_run) -> None:
    html = tables(new_run, result(56.78), result(50.0, settings={"norms": "adapt", "layers": ["conv1", "conv2"]}))
    assert "<h3>linear on set</h3>" in html and "File: 0.json." in html
    assert "<h3>linear on set, norms=adapt, layers=conv1 conv2</h3>" in html
    assert "File: 1.json." in html


def test_cells_have_one_decimal_and_their_deviation() -> None:
    made = column_cells([1.26, 3.0, None], [0.1, 0.1, None], [0.24, None, None])
    assert made == [Cell("1.3 ± 0.2", best=False), Cell("3.0", best=True), Cell("", best=False)]


def test_folds_are_shown_with_their_deviation(new_run) -> None:
    layers = {"conv1": 50.0, "finetuned": 60.04}
    spot = {
        "task": "stl10", "method": "spot", "data": "stl10", "metric": "accuracy", "unit": "percent", "value": 60.04,
        "by_layer": layers, "deviation": {"conv1": 0.5, "finetuned": 0.26}, "stderr": 0.1,
        "folds": {name: [value] * 10 for name, value in layers.items()}, "train_images": 1000, "test_images": 8000,
        "mask_auc": None,
    }  # fmt: skip
    random = spot | {"method": "random", "value": 52.0, "by_layer": {"conv1": 52.0, "finetuned": 51.0}}
    html = tables(new_run, spot | {"rivals": {"random": random}})
    assert rows(html) == [
        ["", "conv1", "finetuned"],
        ["spot", "50.0 ± 0.5", "60.0 ± 0.3"],
        ["random", "52.0 ± 0.5", "51.0 ± 0.3"],
    ]
    assert re.findall(r"class=best>([^<]*)<", html) == ["60.0 ± 0.3", "52.0 ± 0.5"]
    assert "and what is within two standard errors of it" in html
    assert "Mean ± deviation over 10 folds" in html and "ROC" not in html


def test_classes_have_a_table_of_their_own(new_run) -> None:
    """Of several measures the first is shown, which is that of the headline; a class without photos has no figure."""
    spot = {
        "task": "voc-classification", "method": "spot", "data": "voc2007", "metric": "mean average precision",
        "unit": "percent", "value": 45.0, "by_layer": {"11-point": 45.0, "area": 46.0}, "stderr": 0.4,
        "by_class": {"cat": {"11-point": 30.0, "area": 10.0}, "cow": {"11-point": None, "area": None}},
        "train_images": 5, "test_images": 6, "mask_auc": None,
    }  # fmt: skip
    random = spot | {"method": "random", "value": 40.0, "by_layer": {"11-point": 40.0, "area": 47.0}}
    random["by_class"] = {"cat": {"11-point": 20.0, "area": 90.0}, "cow": {"11-point": None, "area": None}}
    html = tables(new_run, spot | {"rivals": {"random": random}})
    assert rows(html) == [
        ["", "11-point", "area"], ["spot", "45.0", "46.0"], ["random", "40.0", "47.0"],
        ["", "spot", "random"], ["cat", "30.0", "20.0"], ["cow", "", ""],
    ]  # fmt: skip
    assert "Mean average precision in percent, standard error 0.4; 5 training and 6 test images" in html
    assert "Data: a subset of voc2007, whose splits have 5,011 training and 4,952 test photos; 1 of 2 classes" in html


def test_classes_of_segmentation_have_one_value(new_run) -> None:
    spot = {"task": "voc-segmentation", "method": "spot", "data": "VOC2012", "metric": "x", "unit": "percent",
            "value": 25.0, "by_layer": {"finetuned": 25.0}, "by_class": {"cat": 31.0}, "stderr": 0.4}  # fmt: skip
    html = tables(new_run, spot | {"rivals": {"random": spot | {"by_class": {"cat": 32.0}}}})
    assert rows(html)[0] == ["", "finetuned"] and rows(html)[-1] == ["cat", "31.0", "32.0"]


def test_repair_has_a_row_per_kind_of_image(new_run) -> None:
    html = tables(new_run, REPAIR)
    assert rows(html) == [
        ["", "critic AUC", "patch distance", "brightness", "PSNR"],
        ["unrepaired", "0.973 ± 0.004", "0.066", "-3.0", "18.0"],
        ["repaired", "0.786 ± 0.012", "0.040", "+7.5", "16.0"],
    ]
    assert re.findall(r"<tr class=own><td>(.*?)</td>", html) == ["repaired"]
    assert "autoencoder: 23.4 dB, 31 % of the Laplacian energy" in html


def test_other_files_among_the_results_are_named(new_run) -> None:
    html = tables(new_run, {"task": "new", "method": "spot", "value": 3.14159}, ["?"])
    assert rows(html) == [["", "value"], ["spot", "3.1"]]
    assert "1.json is not a result of tf-spot evaluate" in html
