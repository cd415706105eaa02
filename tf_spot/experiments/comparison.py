"""The spotter beside other methods: the same backbone, photos, augmentation, budget and probe for all.

OUT/settings.json           what all rows share; another command may not change it
OUT/METHOD-SEED/            a row: config.json, metrics.jsonl, curve.jsonl, backbone.keras, its figures in result.json
OUT/METHOD-SEED/error.txt   what stopped a row; it is tried again next time
OUT/compare.json, .png      the table and the plots
OUT/report.html             both on one page
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tf_spot.baselines import METHODS
from tf_spot.config import Config
from tf_spot.data import open_source
from tf_spot.errors import UserError
from tf_spot.evaluation import linear_probe
from tf_spot.evaluation.evaluate_run import BATCH
from tf_spot.experiments.comparison_row import Budget, data_record, train_row
from tf_spot.experiments.learning_curve import read_curve
from tf_spot.experiments.table import keep_settings, mean, row_of_table, stderr
from tf_spot.progress import Progress
from tf_spot.report.comparison import draw, report_comparison
from tf_spot.storage.files import write_file, write_json
from tf_spot.storage.provenance import provenance

__all__ = ["Budget", "compare", "format_comparison"]


def compare(
    config: Config,
    spec: str,
    out: str | Path,
    methods: Sequence[str] = METHODS,
    *,
    seeds: int = 1,
    budget: Budget | None = None,
    num_values: int = 9_000,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Trains and probes every method with every seed.

    Finished rows are not run again, and one that fails does not stop the others. A spotter's row goes on where it was
    stopped, other rows start anew.

    Args:
        config: the recipe; of its two stages the rivals use the discriminator's learning rate, as their own.
        spec: labelled photos with a test split. Only `supervised` sees labels in training.
        out: folder of the rows.
        methods: names from `METHODS`.
        seeds: how many; seeds `config.training.seed`, the next one, and so on.
        budget: what each method may spend; by default the images of the recipe's two stages together.
        num_values: values a layer is pooled to for the linear probe.
        on_progress: told (done, total, text).

    Returns:
        "methods": for every method mean and standard error over its seeds; "failed": {method-seed: why}. In
        OUT/compare.json too, drawn in OUT/compare.png, and both in OUT/report.html.

    Raises:
        UserError: an unknown method, photos that cannot be probed, a folder whose rows had other settings.
    """
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods or seeds < 1:
        raise UserError(
            f"--methods wants some of {','.join(METHODS)} and --seeds at least 1; received: "
            f"{','.join(unknown or methods) or 'no method'}, {seeds}"
        )
    source = _open(config, spec)
    budget = _given(budget or Budget(), config)
    budgeted = {"budget": dataclasses.asdict(budget), "probe_values": num_values}
    settings = {"config": config.to_dict(), "data": data_record(source)} | budgeted
    folder = Path(out)
    keep_settings(folder / "settings.json", settings, "all rows of a comparison")
    if config.training.deterministic:
        tf.config.experimental.enable_op_determinism()
    finished: dict[str, list[dict[str, Any]]] = {}
    failed: dict[str, str] = {}
    for seed in range(config.training.seed, config.training.seed + seeds):
        for method in dict.fromkeys(methods):
            changed = config.replace(**{"training.seed": seed})
            path = folder / f"{method}-{seed}"
            with row_of_table(path, failed):
                figures = _row(method, changed, spec, path, budget, num_values, on_progress)
                finished.setdefault(method, []).append(figures)
    result = _table(finished, failed) | settings | provenance()
    write_json(folder / "compare.json", result)
    if finished:
        write_file(folder / "compare.png", lambda aside: draw(result).savefig(aside, dpi=150))
        report_comparison(folder, result, str(budget))
    return result


def _open(config: Config, spec: str) -> Any:
    source = open_source(spec, config)
    if not (source.has_labels and source.has_test):
        raise UserError(f"methods are compared on labelled photos with a test split; received: {spec}")
    return source


def _given(budget: Budget, config: Config) -> Budget:
    """The budget; by default all images of the recipe."""
    training = config.training
    if budget.images is None and budget.seconds is None:
        return Budget(images=training.batch_size * (training.autoencoder_steps + training.spotter_steps))
    if budget.images is not None and budget.images < 2 * training.batch_size:
        raise UserError(
            f"--budget-images wants two batches at least, here {2 * training.batch_size} images; received: "
            f"{budget.images}"
        )
    return budget


def _row(
    method: str, config: Config, spec: str, path: Path, budget: Budget, num_values: int, on_progress: Progress | None
) -> dict[str, Any]:
    """The figures of one row: read if it is finished, else trained and probed."""
    done = path / "result.json"
    if done.is_file():
        finished: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
        return finished

    def tell(step: int, total: int, text: str) -> None:
        if on_progress is not None:
            on_progress(step, total, f"{path.name}/{text}")

    source = _open(config, spec)
    trained = train_row(method, config, source, path, budget, tell)
    probe = linear_probe(
        trained.extract,
        source.labelled("train", BATCH),
        source.labelled("test", BATCH),
        num_values=num_values,
        seed=config.training.seed,
        on_progress=tell,
    )
    names = {"task": "compare", "method": method, "data": source.name, "preset": config.preset}
    names |= {"seed": config.training.seed, "metric": "accuracy", "unit": "percent", "probe_values": num_values}
    spent = {"images_seen": trained.images_seen, "seconds": round(trained.seconds, 3), "curve": read_curve(path)}
    figures = names | probe | spent | {"budget": dataclasses.asdict(budget), "config": config.to_dict()} | provenance()
    write_json(done, figures)
    return figures


# --- table ---------------------------------------------------------------------------------------------------


def _table(finished: dict[str, list[dict[str, Any]]], failed: dict[str, str]) -> dict[str, Any]:
    """Every method's mean over its seeds, its standard error, and what it spent."""
    methods = {}
    for method, rows in finished.items():
        best = [row["value"] for row in rows]
        layers = {name: [row["by_layer"][name] for row in rows] for name in rows[0]["by_layer"]}
        methods[method] = {
            "value": mean(best),
            "stderr": stderr(best),
            "by_layer": {name: mean(values) for name, values in layers.items()},
            "stderr_by_layer": {name: stderr(values) for name, values in layers.items()},
            "images_seen": [row["images_seen"] for row in rows],
            "seconds": [row["seconds"] for row in rows],
            "seeds": [row["seed"] for row in rows],
            "curves": [row["curve"] for row in rows],
        }
    return {"task": "compare", "metric": "accuracy", "unit": "percent", "methods": methods, "failed": failed}


def format_comparison(result: dict[str, Any]) -> str:
    """The table as text. The autoencoder has levels of its own, of which only the best is shown."""
    layers = [f"conv{i}" for i in range(1, 6)]
    head = "".join(f"{name:>8}" for name in layers)
    lines = [
        f"comparison on {result['data']['name']}: accuracy of the linear probe in percent; "
        f"{Budget(**result['budget'])} a method",
        f"{'':14}{head}{'best':>14}{'images':>12}{'seconds':>10}",
    ]
    for method, figures in result["methods"].items():
        cells = "".join(
            f"{figures['by_layer'][name]:8.1f}" if name in figures["by_layer"] else " " * 8 for name in layers
        )
        best = f"{figures['value']:.1f}" + ("" if figures["stderr"] is None else f" ± {figures['stderr']:.1f}")
        spent = f"{np.mean(figures['images_seen']):12,.0f}{np.mean(figures['seconds']):10,.0f}"
        lines.append(f"{method:14}{cells}{best:>14}{spent}")
    return "\n".join(lines + [f"failed: {name}: {why}" for name, why in result["failed"].items()])
