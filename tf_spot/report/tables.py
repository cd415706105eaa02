"""Result tables: what each evaluation found, beside its rivals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tf_spot.report import html as markup
from tf_spot.runs.run import Run

BEST = "best"  # the column of the best layer


def results(run: Run) -> str:
    """A table a file of RUN/results."""
    found = {
        path: json.loads(path.read_text(encoding="utf-8")) for path in sorted((run.path / "results").glob("*.json"))
    }
    if not found:
        return markup.note("No evaluation yet. Make one with: tf-spot evaluate RUN --data SPEC --task linear")
    return "\n".join(_result(path, figures) for path, figures in found.items())


def _result(path: Path, result: Any) -> str:
    if not isinstance(result, dict) or not {"task", "method", "value"} <= set(result):
        return markup.note(f"{path.name} is not a result of tf-spot evaluate.")
    methods = {result["method"]: result} | result.get("rivals", {})
    title = f"<h3>{markup.text(result['task'])} on {markup.text(result.get('data', 'unknown data'))}</h3>"
    return title + _figures(methods, result) + markup.note(_says(result)) + _classes(methods)


def _figures(methods: dict[str, Any], result: dict[str, Any]) -> str:
    """A row a method. Rivals that have other layers show their best figure alone."""
    columns = list(result.get("by_layer") or {})
    if "best_layer" in result or not columns:
        columns.append(BEST)
    values = {name: [_value(figures, column) for column in columns] for name, figures in methods.items()}
    best = [max((value for value in column if value is not None), default=None)
            for column in zip(*values.values(), strict=True)]  # fmt: skip
    rows = []
    for name, figures in methods.items():
        spread = [(figures.get("deviation") or {}).get(column) for column in columns]
        own = " class=own" if name == result["method"] else ""
        rows.append((own, f"<td>{markup.text(name)}</td>{cells(values[name], best, spread)}"))
    return markup.table(["", *columns], rows)


def _value(figures: dict[str, Any], column: str) -> float | None:
    found: float | None = figures["value"] if column == BEST else (figures.get("by_layer") or {}).get(column)
    return found


def cells(values: Sequence[float | None], best: Sequence[float | None], spread: Sequence[float | None]) -> str:
    """Figures to one decimal with what they spread, the best of each column marked; empty where there is none."""
    made = []
    for value, top, deviation in zip(values, best, spread, strict=True):
        shown = "" if value is None else f"{value:.1f}" + ("" if deviation is None else f" ± {deviation:.1f}")
        made.append(f"<td{' class=best' if value is not None and value == top else ''}>{shown}</td>")
    return "".join(made)


def _says(result: dict[str, Any]) -> str:
    """What the figures are."""
    says = f"{result.get('metric', 'value')} in {result.get('unit', 'unknown units')}"
    if result.get("stderr") is not None:
        says += f", standard error {result['stderr']:.1f}"
    if result.get("test_images") is not None:
        says += f"; {result.get('train_images', 0):,} training and {result['test_images']:,} test images"
    says = says[0].upper() + says[1:] + ". The best of each column is underlined."
    if "folds" in result:
        says += f" Mean ± deviation over {len(next(iter(result['folds'].values())))} folds."
    if result.get("mask_auc") is not None:
        says += f" Finding dropped cells in test images: area under the ROC curve {result['mask_auc']:.3f}."
    return says


def _classes(methods: dict[str, Any]) -> str:
    """A row a class, a column a method, where the figures are told by class."""
    told = {name: figures["by_class"] for name, figures in methods.items() if figures.get("by_class")}
    if not told:
        return ""
    rows = []
    for name in next(iter(told.values())):
        values = [_of_class(classes.get(name)) for classes in told.values()]
        top = max((value for value in values if value is not None), default=None)
        rows.append(("", f"<td>{markup.text(name)}</td>{cells(values, [top] * len(told), [None] * len(told))}"))
    return f"<details><summary>By class</summary>{markup.table(['', *told], rows)}</details>"


def _of_class(figure: Any) -> float | None:
    """A class may have several measures; the first is that of the headline figure."""
    found: float | None = next(iter(figure.values())) if isinstance(figure, dict) else figure
    return found
