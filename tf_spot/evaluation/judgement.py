"""By which layer features are judged, and when a difference between two accuracies is a lead.

Nothing is chosen on the test split: a table shows every layer and ranks by the paper's, conv5.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tf_spot.config import LAYERS
from tf_spot.errors import UserError

ERRORS_OF_A_LEAD = 2  # standard errors of a difference; within them it is not called a lead


def judged_layer(layers: Iterable[str]) -> str:
    """Return the layer that features are judged by: conv5 (paper, Tables 1 and 2), else the last of `layers`.

    Raises:
        UserError: no layers.
    """
    names = list(layers)
    if not names:
        raise UserError(f"features are judged by a layer, such as {LAYERS[-1]}; received none; name one or more")
    return LAYERS[-1] if LAYERS[-1] in names else names[-1]


def judged_value(metrics: Mapping[str, Any]) -> float:
    """Return the value of the layer that a method or row is judged by. Files of earlier versions have another `value`.

    Args:
        metrics: with `by_layer`.
    """
    value: float = metrics["by_layer"][judged_layer(metrics["by_layer"])]
    return value


def binomial_error(percent: float, examples: int) -> float:
    """Return the standard error, in points, of an accuracy in percent that was measured on so many examples."""
    share = percent / 100
    return 100 * math.sqrt(share * (1 - share) / examples)


def is_lead(difference: float, *errors: float) -> bool:
    """True if a difference exceeds two standard errors, those of its two sides together.

    Args:
        difference: of two accuracies, in points; its sign does not matter.
        errors: standard errors of all that the difference depends on, in points.
    """
    return abs(difference) > ERRORS_OF_A_LEAD * math.hypot(*errors)


def layer_errors(metrics: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, float]:
    """Return the standard error of every value in `by_layer` of a method, in points.

    That of the test examples and, where there are folds, that of their mean. A metric other than the accuracy is no
    share of the examples: its own `stderr` is taken. A layer is left out where this is not recorded.

    Args:
        metrics: of a method in a result file.
        result: the file.
    """
    errors, folds = {}, metrics.get("folds", {})
    for name, value in metrics["by_layer"].items():
        examples = result.get("test_images") if result.get("metric") == "accuracy" else None
        tested = metrics.get("stderr") if examples is None else binomial_error(value, examples)
        if tested is not None:
            spread = metrics["deviation"][name] / math.sqrt(len(folds[name])) if name in folds else 0.0
            errors[name] = math.hypot(tested, spread)
    return errors


def not_led(values: Sequence[float | None], errors: Sequence[float | None]) -> list[bool]:
    """Return which values no other one leads: the largest, and those within two standard errors of it.

    Args:
        values: of several methods; None where nothing was measured.
        errors: their standard errors, in the same unit. None: not recorded; then nothing can be said of any value.
    """
    measured = [(value, error) for value, error in zip(values, errors, strict=True) if value is not None]
    if not measured or any(error is None for _, error in measured):
        return [False] * len(values)
    largest, its_error = max(measured, key=lambda pair: pair[0])
    return [
        value is not None and not is_lead(largest - value, its_error or 0.0, error or 0.0)
        for value, error in zip(values, errors, strict=True)
    ]
