"""The result of an evaluation as a table of plain text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tf_spot.evaluation.judgement import is_lead, layer_errors
from tf_spot.evaluation.voc.official_sizes import subset

Row = tuple[str, Sequence[str]]  # a name and its cells; cells that are left out at the end are empty
CONTROL = "control"  # the column of controls that have one value, of no layer
NO_LEAD = "in brackets: within two standard errors, no lead"
REPAIR_COLUMNS = ("critic AUC", "patch distance", "brightness", "PSNR")


def format_table(result: Mapping[str, Any]) -> str:
    """Return the metrics of a result file as a table: one row per method, of the task `repair` one per kind of image.

    One column per layer or measure: every one that was measured, as none is chosen on the test split. `±` is the
    deviation over folds. Below each random control stands how far the method is above it, in points; in brackets where
    that is within two standard errors. Encoding and pixels have one value each, under `control`.

    Args:
        result: of `evaluate_run` or `evaluate_task`.
    """
    if result["task"] == "repair":
        return "\n".join([*repair_says(result), *_aligned(REPAIR_COLUMNS, list(repair_rows(result).items()))])
    methods = {result["method"]: result} | result["rivals"]
    layers = list(result["by_layer"])
    rows: list[Row] = []
    learned = result["method"].partition(",")[0]
    for name in [name for name in methods if name.partition(",")[0] == learned]:
        rows += _beside_random(name, name.replace(learned, "random"), methods, result)
    others = {name: metrics for name, metrics in methods.items() if set(layers).isdisjoint(metrics["by_layer"])}
    rows += [(name, [""] * len(layers) + [f"{control['value']:.1f}"]) for name, control in others.items()]
    lines = _aligned([*layers, *([CONTROL] if others else [])], rows)
    in_brackets = any(cell.startswith("(") for _, cells in rows for cell in cells)
    return "\n".join([_title(result), *lines, *([NO_LEAD] if in_brackets else []), *filter(None, [subset(result)])])


def _beside_random(
    name: str, control: str, methods: Mapping[str, Mapping[str, Any]], result: Mapping[str, Any]
) -> list[Row]:
    """Return the rows of a method, of random weights treated in the same way, and of their difference."""
    ours, theirs = methods[name], methods[control]
    our_errors, their_errors = layer_errors(ours, result), layer_errors(theirs, result)
    differences = []
    for layer, value in ours["by_layer"].items():
        difference = value - theirs["by_layer"][layer]
        lead = is_lead(difference, our_errors.get(layer, math.inf), their_errors.get(layer, math.inf))
        differences.append(f"{difference:+.1f}" if lead else f"({difference:+.1f})")
    return [(name, _cells(ours)), (control, _cells(theirs)), ("above random", differences)]


def repair_rows(result: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the cells of `REPAIR_COLUMNS` by kind of image, from a result of the task `repair`."""
    return {
        kind: [
            f"{metrics['critic_auc']:.3f} ± {metrics['critic_stderr']:.3f}",
            f"{metrics['patch_distance']:.3f}",
            f"{metrics['brightness_shift']:+.1f}",
            f"{metrics['psnr']:.1f}",
        ]
        for kind, metrics in result["kinds"].items()
    }


def repair_says(result: Mapping[str, Any]) -> list[str]:
    """Return the sentences that belong to `repair_rows`."""
    critic, autoencoder = result["critic"], result["autoencoder"]
    critics = f"{critic['critics']} critics" if "critics" in critic else "critic"  # earlier results are of one
    return [
        f"repair on {result['data']}: {result['test_images']:,} test images; "
        f"{critics} trained for {critic['steps']} steps on {critic['train_images']:,} of them",
        f"autoencoder: {autoencoder['psnr']:.1f} dB, {100 * autoencoder['laplacian_share']:.0f} % of the Laplacian "
        f"energy; patch distance of decoded images to themselves {result['patch_noise']:.3f}",
    ]


def _title(result: Mapping[str, Any]) -> str:
    error = max(layer_errors(result, result).values())
    return (
        f"{result['task']} on {result['data']}: {result['metric']} in {result['unit']}, standard error up to "
        f"{error:.1f}; {result['train_images']:,} training and {result['test_images']:,} test images"
    )


def _aligned(columns: Sequence[str], rows: Sequence[Row]) -> list[str]:
    width = max(9, 2 + max(map(len, [*columns, *(cell for _, cells in rows for cell in cells)])))
    names = max(16, 1 + max(len(name) for name, _ in rows))
    head = " " * names + "".join(f"{name:>{width}}" for name in columns)
    return [head, *(f"{name:{names}}" + "".join(f"{cell:>{width}}" for cell in cells) for name, cells in rows)]


def _cells(metrics: Mapping[str, Any]) -> list[str]:
    """Return the values to one decimal, with their deviation over the folds where there are folds."""
    deviation = metrics.get("deviation", {})
    return [f"{value:.1f}" + (f" ± {deviation[name]:.1f}" if name in deviation else "")
            for name, value in metrics["by_layer"].items()]  # fmt: skip
