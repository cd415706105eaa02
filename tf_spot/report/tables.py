"""Result tables: the metrics of each evaluation beside those of its controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tf_spot.evaluation.judgement import layer_errors, not_led
from tf_spot.evaluation.result_table import CONTROL, REPAIR_COLUMNS, repair_rows, repair_says
from tf_spot.evaluation.voc.official_sizes import subset
from tf_spot.report.html import Block, note
from tf_spot.runs.run import Run
from tf_spot.storage.json_files import interpreting, read_json

VALUE = "value"  # the column of a result without layers

Result = Mapping[str, Any]  # a result file, or one of its controls


class Cell(NamedTuple):
    """A value as it is printed; empty where nothing was measured."""

    text: str
    best: bool  # no other one of its column leads it


class Row(NamedTuple):
    """One method or class of a table."""

    name: str
    cells: Sequence[Cell]
    own: bool = False  # the method that the page is about


class Table(NamedTuple):
    """A table; the first column has the names of the rows."""

    columns: Sequence[str]
    rows: Sequence[Row]


class ResultTable(NamedTuple):
    """One result file."""

    heading: str
    table: Table
    description: str  # the metric and the sizes of the splits
    by_class: Table | None


def results(run: Run) -> list[Block]:
    """Return one table per file of RUN/results, or a note where there is none."""
    paths = sorted((run.path / "results").glob("*.json"))
    if not paths:
        return [note("No evaluation yet. Make one with: tf-spot evaluate RUN --data SPEC --task linear")]
    blocks = []
    for path in paths:
        with interpreting(path):
            blocks.append(_result_block(path))
    return blocks


def _result_block(path: Path) -> Block:
    result = read_json(path, (dict, list))
    if not isinstance(result, dict) or not {"task", "method", "value"} <= set(result):
        return note(f"{path.name} is not a result of tf-spot evaluate.")
    if result["task"] == "repair":
        return Block("result.html", _repair_table(result, path.name))
    # "rivals" is the key of the controls in result files.
    methods = {result["method"]: result} | result.get("rivals", {})
    description = f"{_description(result)} File: {path.name}."
    data = ResultTable(_heading(result), _table_of_methods(methods, result), description, _table_of_classes(methods))
    return Block("result.html", data)


def _heading(result: Result) -> str:
    """Name the task, the data and the settings that are not at their defaults."""
    heading = f"{result['task']} on {result.get('data', 'unknown data')}"
    for name, value in (result.get("settings") or {}).items():
        heading += f", {name}={' '.join(map(str, value)) if isinstance(value, list) else value}"
    return heading


def _repair_table(result: Result, file: str) -> ResultTable:
    """One row per kind of altered image."""
    rows = [
        Row(kind, [Cell(text, best=False) for text in texts], own=kind == "repaired")
        for kind, texts in repair_rows(result).items()
    ]
    description = f"{'; '.join(repair_says(result))}. File: {file}."
    return ResultTable(_heading(result), Table(["", *REPAIR_COLUMNS], rows), description, None)


def _table_of_methods(methods: Mapping[str, Result], result: Result) -> Table:
    """One row per method. A control that has other layers shows its value alone."""
    layers = {name: metrics.get("by_layer") or {} for name, metrics in methods.items()}
    columns = list(layers[result["method"]])
    if not columns:
        columns = [VALUE]
    elif any(set(columns).isdisjoint(others) for others in layers.values()):
        columns.append(CONTROL)
    columns_of_cells = [_column(methods, result, column) for column in columns]
    rows = [
        Row(name, made, own=name == result["method"])
        for name, made in zip(methods, zip(*columns_of_cells, strict=True), strict=True)
    ]
    return Table(["", *columns], rows)


def _column(methods: Mapping[str, Result], result: Result, column: str) -> list[Cell]:
    """Return one column: the values of a layer, or of methods that have no layer of the result's."""
    if column in (VALUE, CONTROL):
        others = [not set(result.get("by_layer") or {}) & set(metrics.get("by_layer") or {})
                  for metrics in methods.values()]  # fmt: skip
        values = [metrics["value"] if other else None for metrics, other in zip(methods.values(), others, strict=True)]
        return column_cells(values, [None] * len(values), [None] * len(values))
    layers = [metrics if column in (metrics.get("by_layer") or {}) else None for metrics in methods.values()]
    values = [None if metrics is None else metrics["by_layer"][column] for metrics in layers]
    errors = [None if metrics is None else layer_errors(metrics, result).get(column) for metrics in layers]
    spread = [(metrics.get("deviation") or {}).get(column) for metrics in methods.values()]
    return column_cells(values, errors, spread)


def column_cells(
    values: Sequence[float | None], errors: Sequence[float | None], spread: Sequence[float | None]
) -> list[Cell]:
    """Return the cells of one column, with one decimal.

    Args:
        values: one per row; None where nothing was measured.
        errors: standard error of each value, by which those are marked that no other one leads, see `not_led`.
        spread: deviation or standard error to print beside each value; None where there is none.
    """
    return [
        Cell("" if value is None else f"{value:.1f}" + ("" if deviation is None else f" ± {deviation:.1f}"), best)
        for value, deviation, best in zip(values, spread, not_led(values, errors), strict=True)
    ]


def _description(result: Result) -> str:
    """Name the metric, its standard error and the sizes of the splits."""
    text = f"{result.get('metric', 'value')} in {result.get('unit', 'unknown units')}"
    if result.get("stderr") is not None:
        text += f", standard error {result['stderr']:.1f}"
    if result.get("test_images") is not None:
        text += f"; {result.get('train_images', 0):,} training and {result['test_images']:,} test images"
    text = text[0].upper() + text[1:] + ". Underlined in each column: the largest, and what is within two standard "
    text += "errors of it."
    if part := subset(result):
        text += f" Data: {part}."
    if "folds" in result:
        text += f" Mean ± deviation over {len(next(iter(result['folds'].values())))} folds."
    if result.get("mask_auc") is not None:
        text += f" Finding dropped cells in test images: area under the ROC curve {result['mask_auc']:.3f}."
    return text


def _table_of_classes(methods: Mapping[str, Result]) -> Table | None:
    """One row per class and one column per method; None without metrics by class."""
    by_method = {name: metrics["by_class"] for name, metrics in methods.items() if metrics.get("by_class")}
    if not by_method:
        return None
    rows = []
    for name in next(iter(by_method.values())):
        values = [_of_class(classes.get(name)) for classes in by_method.values()]
        # The standard errors of single classes are not recorded, so none is marked as the best.
        unknown = [None] * len(values)
        rows.append(Row(name, column_cells(values, unknown, unknown)))
    return Table(["", *by_method], rows)


def _of_class(value: float | Mapping[str, float | None] | None) -> float | None:
    """Return a class's value; of several measures the first, which is that of the headline."""
    return next(iter(value.values())) if isinstance(value, Mapping) else value
