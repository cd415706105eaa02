"""The page of a comparison: its table, accuracy by layer and against images seen, and what all rows shared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tf_spot.report import html as markup
from tf_spot.report.tables import BEST, cells
from tf_spot.storage.files import write_text
from tf_spot.visualization import charts


def report_comparison(folder: Path, result: dict[str, Any], budget: str) -> Path:
    """Writes FOLDER/report.html, which needs nothing but itself.

    Args:
        folder: of the comparison.
        result: what `tf_spot.compare` returns.
        budget: of each method, in words.
    """
    config = result["config"]
    sections = {
        "What the features are worth": _table(result),
        "Accuracy by layer and by images seen": _plots(result),
        "Configuration and provenance": _provenance(result),
    }
    path = folder / "report.html"
    title = f"tf_spot: {len(result['methods'])} methods on {result['data']['name']}"
    subtitle = f"{budget} a method, {config['data']['image_size']} pixels, preset {config['preset']}"
    write_text(path, markup.page(title, subtitle, sections))
    return path


def _table(result: dict[str, Any]) -> str:
    methods = result["methods"]
    names = dict.fromkeys(name for figures in methods.values() for name in figures["by_layer"])
    columns = [*(name for name in names if name.startswith("conv")), BEST]
    values = {method: figures["by_layer"] | {BEST: figures["value"]} for method, figures in methods.items()}
    best = [max(found[name] for found in values.values() if name in found) for name in columns]
    rows = []
    for method, figures in methods.items():
        spread = figures["stderr_by_layer"] | {BEST: figures["stderr"]}
        shown = cells([values[method].get(name) for name in columns], best, [spread.get(name) for name in columns])
        spent = "".join(f"<td>{np.mean(figures[name]):,.0f}</td>" for name in ("images_seen", "seconds"))
        rows.append((" class=own" if method == "spot" else "", f"<td>{markup.text(method)}</td>{shown}{spent}"))
    says = (
        "Accuracy of a linear probe on the test photos in percent, ± its standard error over seeds where there are "
        "several. The best of each column is underlined. autoencoder has layers of its own; supervised saw labels."
    )
    failed = "".join(markup.note(f"failed: {name}: {why}") for name, why in result["failed"].items())
    return markup.table(["", *columns, "images", "seconds"], rows) + markup.note(says) + failed


def _plots(result: dict[str, Any]) -> str:
    says = (
        "Left: the table. Right: smaller probes at each quarter of the way, fitted to four fifths of the training "
        "labels and tested on the other fifth; a dotted line: not trained by gradient descent."
    )
    return markup.figure([charts.svg(draw(result))], says)


def _provenance(result: dict[str, Any]) -> str:
    facts = {name: result[name] for name in ("data", "probe_values", "command", "commit", "versions", "machine")}
    return markup.provenance(facts, json.dumps(result["config"], indent=2))


def draw(result: dict[str, Any]) -> Figure:
    """Accuracy by layer, and against images seen: a curve a method.

    On the left the autoencoder's best level is a line across; on the right, what did not train is a dotted one. The
    probes on the right are smaller ones, on held-out training labels (`tf_spot.baselines.curve`).
    """
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    by_layer, by_images = figure.subplots(1, 2)
    for number, (method, figures) in enumerate(result["methods"].items()):
        look = {"color": f"C{number % 10}", "linestyle": "-" if number < 10 else "-."}
        layers = figures["by_layer"]
        if "conv1" in layers:
            spread = [error or 0.0 for error in figures["stderr_by_layer"].values()]
            by_layer.errorbar(list(layers), list(layers.values()), spread, marker="o", label=method, **look)
        else:
            by_layer.axhline(figures["value"], color=look["color"], linestyle="--", label=f"{method} (best level)")
        images, values = mean_curve(figures["curves"])
        if len(images) > 1:
            by_images.plot(images, values, marker="o", **look)
        elif images:
            by_images.axhline(values[0], color=look["color"], linestyle=":")
    by_layer.set_ylabel(f"linear probe on {result['data']['name']}, % right")
    by_images.set_ylabel("best layer, held-out training labels, % right")
    by_images.set_xlabel("images seen")
    by_images.set_xlim(left=0)
    for axes in (by_layer, by_images):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    figure.legend(frameon=False, fontsize=8, loc="outside right upper")
    return figure


def mean_curve(curves: Sequence[Sequence[dict[str, Any]]]) -> tuple[list[float], list[float]]:
    """Images seen and accuracy, each the mean over seeds of the first point, the second and so on."""
    points = list(zip(*curves, strict=False))
    return tuple([float(np.mean([point[name] for point in of_seeds])) for of_seeds in points]
                 for name in ("images_seen", "value"))  # type: ignore[return-value]  # fmt: skip
