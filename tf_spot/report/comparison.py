"""The page of a comparison: its table, accuracy by layer and by images seen, and the recipe that all rows share."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tf_spot.baselines import UNTRAINED
from tf_spot.config import LAYERS
from tf_spot.evaluation.judgement import binomial_error, judged_layer, judged_value
from tf_spot.report.html import Block, Provenance, figure, render_page
from tf_spot.report.tables import Cell, Row, Table, column_cells
from tf_spot.storage.files import write_text
from tf_spot.visualization import charts

Comparison = Mapping[str, Any]  # what `tf_spot.compare` returns
COLOURS = 10  # of Matplotlib's cycle
LEAST_SPAN = 20.0  # percent that an axis of accuracy covers: less would magnify noise


class Look(NamedTuple):
    """How Matplotlib draws a curve."""

    colour: str
    line: str


class ComparisonTable(NamedTuple):
    """The methods, and those that failed."""

    table: Table
    failed: Mapping[str, str]  # the reason, by method and seed


def report_comparison(folder: Path, result: Comparison, budget: str) -> Path:
    """Write FOLDER/report.html, one self-contained file.

    Args:
        folder: of the comparison.
        result: what `tf_spot.compare` returns.
        budget: of each method, in words.

    Returns:
        the page's path.
    """
    config = result["config"]
    plots = (
        "Left: the table. Right: smaller probes at each quarter of the training, fitted to four fifths of the training "
        "labels and tested on the other fifth; a dotted line: not trained by gradient descent."
    )
    facts = {name: result[name] for name in ("data", "probe_values", "command", "commit", "versions", "machine")}
    sections = {
        "What the features are worth": [Block("comparison.html", ComparisonTable(_table(result), result["failed"]))],
        **_tried(by_judged_layer(result["methods"])),
        "Accuracy by layer and by images seen": [figure(charts.svg(draw(result)), plots)],
        "Configuration and provenance": [Block("provenance.html", Provenance(facts, json.dumps(config, indent=2)))],
    }
    path = folder / "report.html"
    title = f"tf_spot: {len(result['methods'])} methods on {result['data']['name']}"
    subtitle = f"{budget} a method, {config['data']['image_size']} pixels, preset {config['preset']}"
    write_text(path, render_page(title, subtitle, sections))
    return path


def _table(result: Comparison) -> Table:
    """One row per method, in the order of conv5: its layers, images seen and seconds."""
    methods = by_judged_layer(result["methods"])
    # Layers of other names belong to one method alone, so they share a column.
    names = [name for name in LAYERS if any(name in metrics["by_layer"] for metrics in methods.values())]
    columns = [_column(methods, name, result["data"]["counts"]["test"]) for name in names]
    others = [{name: value for name, value in metrics["by_layer"].items() if name not in LAYERS}
              for metrics in methods.values()]  # fmt: skip
    if any(others):
        names.append("own layers")
        columns.append([Cell(own_layers(layers), best=False) for layers in others])
    for name in ("images_seen", "seconds"):
        columns.append([Cell(f"{np.mean(metrics[name]):,.0f}", best=False) for metrics in methods.values()])
    names += ["images", "seconds"]
    if "trials" in result:
        names.append("learning rate")
        columns.append([Cell(rate_cell(metrics), best=False) for metrics in methods.values()])
    rows = [
        Row(method, cells, own=method == "spot")
        for method, cells in zip(methods, zip(*columns, strict=True), strict=True)
    ]
    return Table(["", *names], rows)


def _column(methods: Mapping[str, Any], layer: str, test_images: int) -> list[Cell]:
    """Return the accuracies of one layer, empty for methods without it."""
    values = [metrics["by_layer"].get(layer) for metrics in methods.values()]
    spread = [metrics["stderr_by_layer"].get(layer) for metrics in methods.values()]
    errors = [None if value is None else math.hypot(over_seeds or 0.0, binomial_error(value, test_images))
              for value, over_seeds in zip(values, spread, strict=True)]  # fmt: skip
    return column_cells(values, errors, spread)


def rate_cell(metrics: Mapping[str, Any]) -> str:
    """Return the best of several learning rates as "x 0.3" of the recipe's, "" where no other was tried."""
    rate = metrics.get("rate")
    return f"x {rate['factor']:g}" if rate and len(rate["trials"]) > 1 else ""


def tried_rates(methods: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return what several learning rates gave: {method: {"x 0.3": accuracy of conv5}}, "-" for a loss not finite."""
    return {
        method: {f"x {factor}": "-" if value is None else f"{value:.1f}" for factor, value in trials.items()}
        for method, metrics in methods.items()
        if len(trials := metrics.get("rate", {}).get("trials", {})) > 1
    }


def _tried(methods: Mapping[str, Any]) -> dict[str, list[Block]]:
    """Return the section about learning rates, if several were tried."""
    tried = tried_rates(methods)
    if not tried:
        return {}
    rows = [Row(method, [Cell(value, best=False) for value in values.values()], own=method == "spot")
            for method, values in tried.items()]  # fmt: skip
    table = Table(["", *next(iter(tried.values()))], rows)
    return {"Learning rates that were tried": [Block("rates.html", table)]}


def by_judged_layer(methods: Mapping[str, Any]) -> dict[str, Any]:
    """Return the methods in the order of the layer that they are judged by, the highest first."""
    return dict(sorted(methods.items(), key=lambda entry: -judged_value(entry[1])))


def own_layers(layers: Mapping[str, float]) -> str:
    """Return layers of other names than conv1 ... conv5 as text."""
    return ", ".join(f"{name} {value:.1f}" for name, value in layers.items())


def draw(result: Comparison) -> Figure:
    """Draw accuracy by layer, and accuracy by images seen: one curve per method.

    On the left the autoencoder's last level is a horizontal line; on the right, a method without gradient descent is a
    dotted one. The probes on the right are smaller ones, on held-out training labels
    (`tf_spot.experiments.learning_curve`).
    """
    canvas = Figure(figsize=(11, 4.4), layout="constrained")
    by_layer, by_images = canvas.subplots(1, 2)
    for number, (method, metrics) in enumerate(result["methods"].items()):
        look = look_of(number)
        _draw_layers(by_layer, method, metrics, look)
        images, values = mean_curve(metrics["curves"])
        if method not in UNTRAINED:
            by_images.plot(images, values, marker="o", color=look.colour, linestyle=look.line)
        elif values:
            by_images.axhline(values[0], color=look.colour, linestyle=":")
    by_layer.set_ylabel(f"linear probe on {result['data']['name']}, % right")
    by_images.set_ylabel(f"{_layer_of_curves(result)}, held-out training labels, % right")
    by_images.set_xlabel("images seen")
    by_images.set_xlim(left=0)
    for axes in (by_layer, by_images):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
        low, high = axes.get_ylim()
        missing = max(0.0, LEAST_SPAN - (high - low)) / 2
        axes.set_ylim(low - missing, high + missing)
    canvas.legend(frameon=False, fontsize=9, loc="outside right upper")
    return canvas


def _layer_of_curves(result: Comparison) -> str:
    """Return whose accuracy the curves are of. Rows of earlier versions recorded the best layer, and not which."""
    points = [point for metrics in result["methods"].values() for curve in metrics["curves"] for point in curve]
    recorded = {"layer" in point for point in points}
    return LAYERS[-1] if recorded == {True} else "best layer" if recorded == {False} else f"{LAYERS[-1]} or best layer"


def look_of(number: int) -> Look:
    """Return the look of a curve by its number: when all colours have been used, another line."""
    return Look(f"C{number % COLOURS}", ("-", "-.", ":")[number // COLOURS % 3])


def _draw_layers(axes: Axes, method: str, metrics: Mapping[str, Any], look: Look) -> None:
    """Draw one method's accuracy by layer."""
    layers = metrics["by_layer"]
    if "conv1" in layers:
        errors = [error or 0.0 for error in metrics["stderr_by_layer"].values()]  # None: a single seed
        axes.errorbar(
            list(layers),
            list(layers.values()),
            errors,
            marker="o",
            label=method,
            color=look.colour,
            linestyle=look.line,
        )
    else:
        last = judged_layer(layers)
        axes.axhline(layers[last], color=look.colour, linestyle="--", label=f"{method} ({last})")


def mean_curve(curves: Sequence[Sequence[Mapping[str, Any]]]) -> tuple[list[float], list[float]]:
    """Return images seen and accuracy, the means over seeds of the first point, of the second and so on.

    Args:
        curves: one per seed; the shortest decides how many points there are.
    """
    points = list(zip(*curves, strict=False))
    images = [float(np.mean([point["images_seen"] for point in of_seeds])) for of_seeds in points]
    values = [float(np.mean([point["value"] for point in of_seeds])) for of_seeds in points]
    return images, values
