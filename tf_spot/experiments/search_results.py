"""What a search found: its table as text, and the objective against the drop rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_spot.config import ABLATIONS, Config
from tf_spot.experiments.table import failed_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATES = ("baseline", "c", "d", "e", "f")  # the paper's variants that differ in the drop rate alone


def draw(result: Mapping[str, Any]) -> Figure:
    """Draw the objective against the drop rate; the paper's five points, on other photos, have an axis of their own."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    trials = [trial for trial in result["trials"] if "game.drop_rate" in trial["values"]]
    points = sorted((trial["values"]["game.drop_rate"], trial["objective"], _error(trial) or 0.0) for trial in trials)
    rates, heights, errors = np.transpose(points)  # (trials,) each
    axes.errorbar(rates, heights, errors, marker="o", color="C0", capsize=3, label=f"ours, {result['data']}")
    axes.set_xlabel("drop rate")
    axes.set_ylabel(f"{result['metric']}, {result['unit']}", color="C0")
    paper = axes.twinx()
    theirs = sorted(
        (Config().replace(**ABLATIONS[name].changes).game.drop_rate, ABLATIONS[name].paper_accuracy) for name in RATES
    )
    paper.plot(*zip(*theirs, strict=True), marker="s", linestyle="--", color="C1", label="paper, STL-10 (Table 1)")
    paper.set_ylabel("paper's accuracy, percent", color="C1")
    # One legend for both axes: each knows its own line only.
    handles, labels = (ours + others for ours, others in zip(
        axes.get_legend_handles_labels(), paper.get_legend_handles_labels(), strict=True))  # fmt: skip
    axes.legend(handles, labels, frameon=False, loc="lower center")
    return figure


def format_search(result: Mapping[str, Any]) -> str:
    """Return the table as text, the best trial first."""
    lines = [f"search on {result['data']}: {result['metric']} ({result['says']})"]
    for trial in result["trials"]:
        values = ", ".join(
            f"{name.partition('.')[2] or name} {value}"
            for name, value in trial["values"].items()
            if not name.startswith("tuner/")
        )
        error = _error(trial)
        spread = f" ± {error:.2f}" if error is not None else ""
        lines.append(f"{trial['trial']:>6}  {trial['objective']:8.3f}{spread}  {values}")
    return "\n".join(lines + failed_lines(result["failed"]))


def _error(trial: Mapping[str, Any]) -> float | None:
    """Return a trial's standard error over its seeds or, with one seed, that of its probe, if it has one."""
    error: float | None = trial["stderr"]
    return trial["runs"][0].get("stderr") if error is None and trial["runs"] else error
