"""Rows judged by conv5: their accuracies, errors and differences."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tf_spot.experiments.ranking import NO_LEAD, UNKNOWN, accuracies, differences, legend, seeds_error, total_error


def row(conv5: float, *, over_seeds: float | None = None, seeds: int = 1) -> dict[str, Any]:
    layers = {"conv4": 99.0, "conv5": conv5}
    return {"by_layer": layers, "stderr_by_layer": dict.fromkeys(layers, over_seeds), "seeds": list(range(seeds))}


def test_a_rows_value_is_conv5s_whatever_the_best_layer_is() -> None:
    results = [{"value": 90.0, "by_layer": {"conv4": 90.0, "conv5": value}} for value in (50.0, 54.0)]
    found = accuracies(results)
    assert (found["value"], found["layer"], found["stderr"]) == (52.0, "conv5", 2.0)
    assert found["by_layer"] == {"conv4": 90.0, "conv5": 52.0}
    assert found["stderr_by_layer"] == {"conv4": 0.0, "conv5": 2.0}


def test_a_rows_error_is_that_of_its_seeds_and_of_the_test_photos() -> None:
    """50 % of 2,500 photos: one point."""
    assert total_error(row(50.0), 2_500) == pytest.approx(1.0)
    assert total_error(row(50.0, over_seeds=1.0, seeds=2), 2_500) == pytest.approx(math.sqrt(2))


def test_what_earlier_tables_do_not_record_is_not_guessed() -> None:
    earlier = {name: value for name, value in row(50.0, seeds=2).items() if name != "stderr_by_layer"}
    assert seeds_error(earlier) is None and total_error(earlier, 2_500) is None
    assert total_error(row(50.0), None) is None


def test_differences_within_two_standard_errors_stand_in_brackets() -> None:
    """Each error is one point, that of a difference 1.4: a lead begins at 2.8 points."""
    rows = {"baseline": row(50.0), "a": row(52.7), "b": row(47.0), "c": row(50.0)}
    cells = differences(rows, "baseline", 2_500)
    assert cells == {"baseline": "", "a": "(+2.7)", "b": "-3.0", "c": "(+0.0)"}
    assert legend(rows, cells, 2_500) == [NO_LEAD]
    assert legend(rows, {"b": "-3.0"}, 2_500) == []
    unknown = differences(rows, "baseline", None)
    assert unknown["b"] == "(-3.0)" and legend(rows, unknown, None) == [UNKNOWN]
    assert differences({"a": row(1.0)}, "baseline", 2_500) == {}
