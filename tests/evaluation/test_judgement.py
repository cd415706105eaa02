"""By which layer features are judged, and what counts as a lead."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tf_spot.errors import UserError
from tf_spot.evaluation.judgement import binomial_error, is_lead, judged_layer, judged_value, layer_errors, not_led


@pytest.mark.parametrize(
    ("layers", "judged"),
    [(["conv1", "conv5", "finetuned"], "conv5"), (["e0", "e1", "e2"], "e2"), (["conv2", "conv4"], "conv4")],
)
def test_features_are_judged_by_the_papers_layer_or_else_the_last(layers: list[str], judged: str) -> None:
    assert judged_layer(layers) == judged


def test_the_value_is_not_that_of_the_best_layer_of_the_test() -> None:
    assert judged_value({"value": 9.0, "by_layer": {"conv3": 9.0, "conv5": 7.0}}) == 7.0
    with pytest.raises(UserError, match="received none"):
        judged_layer([])


def test_a_lead_exceeds_two_standard_errors_of_the_difference() -> None:
    """With errors of 3 and 4 the difference's is 5."""
    assert is_lead(10.1, 3, 4) and is_lead(-10.1, 3, 4) and not is_lead(10.0, 3, 4)
    assert not is_lead(99.0, math.inf, 1)


def test_errors_are_those_of_the_test_photos_and_of_the_folds_together() -> None:
    """50 % of 2,500 photos: one point. A deviation of 4 over 16 folds: another point."""
    result: dict[str, Any] = {"metric": "accuracy", "test_images": 2_500, "by_layer": {"conv5": 50.0}}
    assert binomial_error(50.0, 2_500) == pytest.approx(1.0)
    assert layer_errors(result, result) == {"conv5": pytest.approx(1.0)}
    folds = {"deviation": {"conv5": 4.0}, "folds": {"conv5": [50.0] * 16}}
    assert layer_errors(result | folds, result) == {"conv5": pytest.approx(math.sqrt(2))}


def test_other_metrics_have_the_error_that_is_recorded_and_none_otherwise() -> None:
    result: dict[str, Any] = {"metric": "mean average precision", "test_images": 9, "by_layer": {"area": 20.0}}
    assert layer_errors(result | {"stderr": 1.5}, result) == {"area": 1.5}
    assert layer_errors(result, result) == {}


@pytest.mark.parametrize(
    ("values", "errors", "marked"),
    [
        ([10.0, 9.0, 5.0], [1.0, 1.0, 1.0], [True, True, False]),
        ([10.0, None, 5.0], [1.0, None, 1.0], [True, False, False]),
        ([10.0, 5.0], [1.0, None], [False, False]),
        ([None, None], [None, None], [False, False]),
    ],
)
def test_what_no_other_leads_is_marked(values: list[Any], errors: list[Any], marked: list[bool]) -> None:
    """10 and 9 with errors of 1 are level, 5 is not; where an error is unknown nothing can be said."""
    assert not_led(values, errors) == marked
