"""Rows of a table ranked by the paper's layer, conv5, and how far each is from the row that the others change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tf_spot.evaluation.judgement import binomial_error, is_lead, judged_layer, judged_value
from tf_spot.experiments.table import Result, by_layer, mean, stderr

NO_LEAD = "in brackets: within two standard errors, no lead"
UNKNOWN = "in brackets: not judged, as standard errors are not recorded"


def accuracies(results: Sequence[Result]) -> dict[str, Any]:
    """Return the accuracies of a row over its seeds.

    Args:
        results: of the row, one per seed.

    Returns:
        `value` (mean accuracy of `layer`), `layer` (see `judged_layer`), `stderr` (of `value`, over the seeds; None
        for one), and the means and standard errors of every layer, `by_layer` and `stderr_by_layer`.
    """
    layer = judged_layer(results[0]["by_layer"])
    judged = [result["by_layer"][layer] for result in results]
    headline = {"value": mean(judged), "layer": layer, "stderr": stderr(judged)}
    return headline | {"by_layer": by_layer(results, mean), "stderr_by_layer": by_layer(results, stderr)}


def seeds_error(row: Mapping[str, Any]) -> float | None:
    """Return the standard error of `judged_value` over the row's seeds; None for one seed, or if it is not recorded."""
    error: float | None = row.get("stderr_by_layer", {}).get(judged_layer(row["by_layer"]))
    return error


def total_error(row: Mapping[str, Any], test_images: int | None) -> float | None:
    """Return the standard error of `judged_value`: that of the seeds and that of the test photos together.

    Args:
        row: with `by_layer`, `stderr_by_layer` and `seeds`.
        test_images: how many were tested on; None: not recorded.

    Returns:
        points; None where something that it depends on is not recorded.
    """
    over_seeds = seeds_error(row)
    if test_images is None or (over_seeds is None and len(row["seeds"]) > 1):
        return None
    return math.hypot(over_seeds or 0.0, binomial_error(judged_value(row), test_images))


def differences(rows: Mapping[str, Mapping[str, Any]], reference: str, test_images: int | None) -> dict[str, str]:
    """Return how far every other row is above the reference, in points, as text: in brackets where that is no lead.

    Args:
        rows: by name.
        reference: name of the row to compare with; without it there is nothing to return.
        test_images: see `total_error`.
    """
    if reference not in rows:
        return {}
    errors = {name: total_error(row, test_images) for name, row in rows.items()}
    base, base_error = judged_value(rows[reference]), errors[reference]
    cells = {}
    for name, row in rows.items():
        difference, error = judged_value(row) - base, errors[name]
        known = error is not None and base_error is not None
        lead = known and is_lead(difference, error or 0.0, base_error or 0.0)
        cells[name] = "" if name == reference else f"{difference:+.1f}" if lead else f"({difference:+.1f})"
    return cells


def legend(rows: Mapping[str, Mapping[str, Any]], cells: Mapping[str, str], test_images: int | None) -> list[str]:
    """Return the line that explains the brackets of `differences`, if there are any."""
    if not any(cell.startswith("(") for cell in cells.values()):
        return []
    return [UNKNOWN if None in {total_error(row, test_images) for row in rows.values()} else NO_LEAD]
