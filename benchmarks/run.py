"""Speed as ratios taken in one run: python benchmarks/run.py [--torch-python PYTHON --torch-step FILE] [--check]

Writes results/benchmarks/training-step.json and growth.json. Every figure is the median over rounds in which all
competitors take turns, each in a process of its own, so that a slow minute of a shared machine hurts them alike.
`--check` compares the ratios with the committed ones and fails where one fell by more than 10 %.

The rival, PyTorch, needs a Python of its own with torch (`--torch-python`) and the script that runs the same step in it
(`--torch-step`); without them its rows are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tf_spot.runs import provenance, write_json  # noqa: E402

TARGET = ROOT / "results" / "benchmarks"
STEP = ROOT / "benchmarks" / "step.py"
PRODUCT = """
import time, sys, json
import tensorflow as tf
n = 3072
a, b = tf.random.normal((n, n)), tf.random.normal((n, n))
f = tf.function(lambda a, b: tf.reduce_sum(tf.matmul(a, b)))
f(a, b)
times = []
for _ in range(5):
    started = time.perf_counter(); float(f(a, b)); times.append(time.perf_counter() - started)
print(json.dumps({"gflop_per_second": 2 * n**3 / sorted(times)[2] / 1e9}))
"""
COMMAND = "python benchmarks/run.py"
TOLERATED = 0.9  # of the committed ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch-python", type=Path)
    parser.add_argument("--torch-step", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", action="store_true", help="compare with what is committed instead of writing")
    options = parser.parse_args()
    step = training_step(options)
    if options.check:
        sys.exit("\n".join(regressions(json.loads((TARGET / "training-step.json").read_text()), step)) or 0)
    TARGET.mkdir(parents=True, exist_ok=True)
    write_json(TARGET / "training-step.json", step | provenance(COMMAND))
    write_json(TARGET / "growth.json", growth() | provenance(COMMAND))
    print(json.dumps(step["ratios"], indent=2))


def training_step(options: argparse.Namespace) -> dict[str, Any]:
    """Ours beside PyTorch at 96 px, batch 32, full width, and the rate of plain matrix products."""
    ours = [sys.executable, str(STEP), "--steps", "4"]
    competitors: dict[str, list[str]] = {
        "ours": ours,
        "ours simultaneous": [*ours, "--set", "game.update=simultaneous", "--set", "game.history_batches=0"],
        "ours autoencoder": [*ours, "--stage", "autoencoder"],
        "matrix product": [sys.executable, "-c", PRODUCT],
    }
    if options.torch_python and options.torch_step:
        torch = [str(options.torch_python), str(options.torch_step), "--steps", "3"]
        competitors |= {"torch": torch, "torch channels-last": [*torch, "--channels-last"]}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in competitors}
    for _ in range(options.rounds):
        for name, command in competitors.items():
            found[name].append(child(command))
    rate = {name: statistics.median(run["images_per_second"] for run in runs)
            for name, runs in found.items() if name != "matrix product"}  # fmt: skip
    product = statistics.median(run["gflop_per_second"] for run in found["matrix product"])
    gflop = found["ours"][0]["gflop"]
    ratios = {"share of the matrix-product rate": rate["ours"] * gflop / 32 / product}
    if "torch" in rate:
        best = max(rate["torch"], rate["torch channels-last"])
        ratios |= {f"{name} / best of torch": rate[name] / best for name in ("ours", "ours simultaneous")}
    ratios = {name: round(value, 3) for name, value in ratios.items()}
    figures = {"images_per_second": rate, "matrix_product_gflop_per_second": round(product, 1), "gflop_per_step": gflop}
    settings = {"image_size": 96, "batch": 32, "width": 1.0, "precision": "float32", "rounds": options.rounds}
    return {"task": "benchmark-training-step"} | settings | figures | {"ratios": ratios, "runs": found}


def growth() -> dict[str, Any]:
    """Time and memory of a step against image size, batch and width, the others held."""
    base = {"size": 64, "batch": 16, "width": 0.5}
    values = {"size": (32, 64, 96, 160, 224), "batch": (1, 4, 16, 64), "width": (0.25, 0.5, 1.0)}
    rows = []
    for name, choices in values.items():
        for value in choices:
            case = base | {name: value}
            words = [word for key, number in case.items() for word in (f"--{key}", str(number))]
            run = child([sys.executable, str(STEP), "--steps", "3", *words])
            rows.append({"varied": name} | case | {"seconds": statistics.median(run["seconds"])} | {
                key: run[key] for key in ("gflop", "peak_mib")})  # fmt: skip
    return {"task": "benchmark-growth", "rows": rows}


def regressions(committed: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """A line for every ratio that fell by more than a tenth, or that is gone."""
    lines = []
    for name, was in committed["ratios"].items():
        value = now["ratios"].get(name)
        if value is None or value < TOLERATED * was:
            lines.append(f"{name}: {value} now, {was} committed")
    return lines


def child(command: list[str]) -> dict[str, Any]:
    """The last line that a command prints, as JSON."""
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    print(f"{time.monotonic() - started:6.1f} s  {' '.join(command[1:])[:100]}", file=sys.stderr)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
