"""Draw the plot of docs/profile.md: python studies/speed.py; and format results/benchmarks for studies/tables.py.

`make bench` writes the files.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PLOT = ROOT / "docs" / "images" / "growth.png"
GROWTH = ROOT / "results" / "benchmarks" / "bfloat16-amd-25-17" / "growth.json"
UNITS = {"size": "pixels a side", "batch": "images a batch", "width": "width"}


def table(result: dict[str, Any]) -> str:
    """Return the table of one part."""
    return {
        "training-step": steps,
        "autoencoder-step": steps,
        "features": steps,
        "input-pipeline": pipeline,
        "start-up": start_up,
        "profile": profile,
        "growth": growth,
    }[result["part"]](result)


def steps(result: dict[str, Any]) -> str:
    """Return images per second, work, and ratios beside those of the previous run."""
    given = "with" if any("bfloat16" in name for name in result["images_per_second"]) else "without"
    cores = f"{result['cores']} cores {given} bfloat16" + (f", {result['processor']}" if "processor" in result else "")
    lines = [f"{result['image_size']} pixels, batch {result['batch']}, full width, {cores}"]
    lines += [f"{name:<49}{rate:8.2f} images/s" for name, rate in sorted(result["images_per_second"].items())]
    lines += [f"{name:<49}{rate:8.0f} GFLOP/s" for name, rate in result.get("gflop_per_second", {}).items()]
    if "gflop" in result:
        lines.append(f"{'work of ours':<49}{result['gflop'] / result['batch']:8.2f} GFLOP per image")
    before = result.get("before", {}).get("ratios", {})
    lines += ["", f"{'ratios':<54}now" + "    before" * bool(before)]
    for name, ratio in result["ratios"].items():
        lines.append(f"{name:<52}{ratio:5.2f}" + (f"{before[name]:10.2f}" if name in before else ""))
    return "\n".join(lines)


def pipeline(result: dict[str, Any]) -> str:
    rates = {
        "libjpeg_turbo_images_per_core_second": "libjpeg-turbo, decoding only, at full size",
        "pipeline_images_per_core_second": "pipeline: read, decode, crop, shift colours",
        "cached_pipeline_images_per_core_second": "the same with the decoded photos in memory",
    }
    lines = [f"{says:<46}{result[name]:8,.0f} images per core-second" for name, says in rates.items() if name in result]
    waiting = f"{'training time spent waiting for data':<46}{100 * result['share_of_time_waiting']:8.1f} %"
    return "\n".join([*lines, waiting])


def start_up(result: dict[str, Any]) -> str:
    lines = {
        "help_seconds": "tf-spot --help",
        "first_step_seconds_small": "first update of a training, preset small",
        "first_step_seconds_stl10": "first update of a training, preset stl10",
    }
    limits = {name: f"   (limit {limit:g} s)" for name, limit in result["limits"].items()}
    return "\n".join(f"{says:<42}{result[name]:6.2f} s{limits.get(name, '')}" for name, says in lines.items())


def profile(result: dict[str, Any]) -> str:
    """Return a line per kind of operation."""
    lines = [f"{kind:<40}{100 * share:6.1f} %" for kind, share in result["shares"].items()]
    return "\n".join([f"share of the time of all operations of a step, {result['image_size']} pixels:", *lines])


def growth(result: dict[str, Any]) -> str:
    """Return a block for each varied quantity, and the exponent of the growth of time."""
    blocks = []
    for name, rows in varied(result).items():
        others = ", ".join(f"{key} {value}" for key, value in result["base"].items() if key != name)
        lines = [f"{name:<8}seconds   GFLOP/s   peak MiB   ({others})"]
        for row in rows:
            rate = row["gflop"] / row["seconds"]
            lines.append(f"{row[name]:<8}{row['seconds']:7.2f}{rate:10.0f}{row['peak_mib']:11,}")
        blocks.append("\n".join([*lines, f"time grows as {name} to the power {power(rows, name):.2f}"]))
    return "\n\n".join(blocks)


def varied(result: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return for each quantity the rows in which all others have their base value, sorted."""
    by_quantity = {}
    for name in result["varied"]:
        held = {key: value for key, value in result["base"].items() if key != name}
        rows = [row for row in result["rows"] if all(row[key] == value for key, value in held.items())]
        by_quantity[name] = sorted(rows, key=lambda row: float(row[name]))
    return by_quantity


def power(rows: list[dict[str, Any]], name: str) -> float:
    """Return the least-squares slope of log(seconds) against log(quantity)."""
    points = [(math.log(row[name]), math.log(row["seconds"])) for row in rows]
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


def draw(result: dict[str, Any]) -> None:
    """Draw time and memory against each quantity, both axes logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.2), layout="constrained")
    for axes, (name, rows) in zip(figure.subplots(1, 3), varied(result).items(), strict=True):
        values = [row[name] for row in rows]
        axes.loglog(values, [row["seconds"] for row in rows], "o-", label="seconds a step")
        axes.loglog(values, [row["peak_mib"] / 1024 for row in rows], "s--", label="peak memory, GiB")
        axes.set_xticks(values, [f"{value:g}" for value in values], minor=False)
        axes.minorticks_off()
        axes.set_xlabel(UNITS[name])
        axes.set_title(f"time ~ {name}^{power(rows, name):.2f}", fontsize=10)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(PLOT, dpi=110)


if __name__ == "__main__":
    draw(json.loads(GROWTH.read_text(encoding="utf-8")))
