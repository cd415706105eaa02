"""The spotter beside other methods: the same backbone, photos, augmentation, budget and probe for all.

OUT/settings.json      what all rows share; another command may not change it
OUT/METHOD-SEED/       a row: config.json, metrics.jsonl, curve.jsonl, backbone.keras, its result in result.json
OUT/trials/            learning rates that were tried, see `rate_search`
OUT/compare.json, .png the table and the plots
OUT/report.html        both on one page

See `table` for unfinished and failed rows.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tf_spot.baselines import GAMES, METHODS
from tf_spot.config import LAYERS, Config
from tf_spot.data import Source, open_source
from tf_spot.evaluation.judgement import judged_value
from tf_spot.evaluation.probes.examples import require_labelled_test
from tf_spot.experiments.budget import Budget
from tf_spot.experiments.comparison_row import train_row
from tf_spot.experiments.learning_curve import read_curve
from tf_spot.experiments.ranking import accuracies, differences, legend, seeds_error
from tf_spot.experiments.rate_search import check_trials, choose_rate, scaled
from tf_spot.experiments.table import (
    Result,
    Row,
    Table,
    check_names,
    failed_lines,
    keep_settings,
    probe_on_test,
    with_error,
)
from tf_spot.progress import Progress
from tf_spot.report.comparison import by_judged_layer, draw, own_layers, rate_cell, report_comparison, tried_rates
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_file, write_json
from tf_spot.storage.lock import sole_writer
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
    trials: int = 1,
    num_values: int = 9_000,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Train and probe every method with every seed.

    Finished rows are not run again, one that was stopped goes on from its newest checkpoint, and one that fails does
    not stop the others.

    Args:
        config: the recipe; the baselines use the learning rate of its discriminator.
        spec: labelled photos with a test split. Only `supervised` sees labels in training.
        out: folder of the rows.
        methods: names from `METHODS`.
        seeds: how many; seeds `config.training.seed`, the next one, and so on.
        budget: what each method may spend; by default the images of the recipe's two stages together.
        trials: learning rates tried per method, each with the first seed and the whole budget, and judged on held-out
            training labels; the method's rows have the best. 1: the recipe's.
        num_values: values per image that a layer is pooled to for the linear probe.
        on_progress: called with (done, total, text).

    Returns:
        "methods": {method: mean and standard error over its seeds, and its cost; after several trials "rate", see
        `choose_rate`}; "failed": {METHOD-SEED: error}. Also written to OUT/compare.json, drawn in OUT/compare.png, and
        both in OUT/report.html.

    Raises:
        UserError: an unknown method, photos that cannot be probed, a folder whose rows had other settings.
    """
    check_names("--methods", methods, METHODS, seeds)
    check_trials(trials)
    source = open_source(spec, config)
    require_labelled_test(source)
    source.check_batch(config.training.batch_size)
    budget = (budget or Budget()).or_recipe(config.training)
    with sole_writer(out, "comparison"):
        return _compare(config, source, Path(out), methods, seeds, budget, trials, num_values, Table(on_progress))


def _compare(
    config: Config,
    source: Source,
    folder: Path,
    methods: Sequence[str],
    seeds: int,
    budget: Budget,
    trials: int,
    num_values: int,
    table: Table,
) -> dict[str, Any]:
    """Train what is missing of the table, as the only process that writes the folder."""
    shared = {"budget": dataclasses.asdict(budget), "probe_values": num_values}
    settings = {"config": config.to_dict(), "data": source.record()} | shared
    settings |= {"trials": trials} if trials > 1 else {}
    # Only now is anything written: a refused command leaves no folder behind.
    keep_settings(folder / "settings.json", settings, "all rows of a comparison")
    # Before the first row: `train` switches it on for the spotter, and the rows before it must have it too.
    if config.training.deterministic:
        tf.config.experimental.enable_op_determinism()
    # A method named twice is one row.
    methods = tuple(dict.fromkeys(methods))
    rates: dict[str, dict[str, Any] | None] = {}
    for seed in range(config.training.seed, config.training.seed + seeds):
        for method in methods:
            if trials > 1 and method not in rates:
                rates[method] = choose_rate(method, config, source, folder, budget, trials, table)
            rate = rates.get(method, {"factor": 1.0})
            if rate is None:
                continue  # which stands in the table's failed rows
            changed = scaled(config, method, rate["factor"]).replace(**{"training.seed": seed})
            path = folder / f"{method}-{seed}"
            made_with = {"config": changed.to_dict(), "data": source.name} | shared
            row = Row(method, changed, path, path / "result.json", made_with, source.fingerprint)
            table.add(row, partial(_train, row, source, budget, num_values))
    result = _summary(table, rates) | settings | provenance()
    write_json(folder / "compare.json", result)
    # With every row failed there is nothing to draw.
    if table.results:
        write_file(folder / "compare.png", lambda aside: draw(result).savefig(aside, dpi=150))
        report_comparison(folder, result, str(budget))
    return result


def _train(row: Row, source: Source, budget: Budget, num_values: int, on_progress: Progress | None) -> Result:
    """Train a method and judge its features by the probe."""
    seed = row.config.training.seed
    trained = train_row(row.name, row.config, source, row.folder, budget, on_progress)
    probe = probe_on_test(trained.extract, source, num_values=num_values, seed=seed, on_progress=on_progress)
    head = {"task": "compare", "method": row.name, "data": source.name, "preset": row.config.preset, "seed": seed}
    head |= {"metric": "accuracy", "unit": "percent", "probe_values": num_values}
    cost = {"images_seen": trained.images_seen, "seconds": round(trained.seconds, 3), "curve": read_curve(row.folder)}
    settings = {"budget": dataclasses.asdict(budget), "config": row.config.to_dict()}
    if row.name not in GAMES:  # whose runs may be extended
        shutil.rmtree(Run(row.folder).checkpoints(row.name), ignore_errors=True)
    return head | probe | cost | settings | provenance()


# --- the table --------------------------------------------------------------------------------------------------------


def _summary(table: Table, rates: Mapping[str, Any]) -> dict[str, Any]:
    methods = {
        method: _statistics(results) | ({"rate": rates[method]} if method in rates else {})
        for method, results in table.results.items()
    }
    head = {"task": "compare", "metric": "accuracy", "unit": "percent"}
    return head | {"methods": methods, "failed": table.failed}


def _statistics(results: Sequence[Result]) -> dict[str, Any]:
    """Return a method's mean over its seeds, its standard error, and what it cost."""
    return {
        **accuracies(results),
        "images_seen": [result["images_seen"] for result in results],
        "seconds": [result["seconds"] for result in results],
        "seeds": [result["seed"] for result in results],
        "curves": [result["curve"] for result in results],
    }


def format_comparison(result: Mapping[str, Any]) -> str:
    """Return the table as text: every layer, the methods in the order of conv5.

    The autoencoder has other layers, which stand below the table; it is ranked by the last of them.
    """
    rows = by_judged_layer(result["methods"])
    test_images = result["data"]["counts"]["test"]
    above = differences(rows, "spot", test_images)
    *others, judged = LAYERS
    width = max(14, 2 + max(map(len, rows), default=0))
    tried = "trials" in result
    head = "".join(f"{name:>8}" for name in others)
    lines = [
        f"comparison on {result['data']['name']}: accuracy of the linear probe in percent; "
        f"{Budget(**result['budget'])} a method",
        f"{'':{width}}{head}{judged:>14}{'vs spot':>9}{'images':>12}{'seconds':>10}" + ("   rate" if tried else ""),
    ]
    for method, row in rows.items():
        layers = row["by_layer"]
        cells = "".join(f"{layers[name]:8.1f}" if name in layers else " " * 8 for name in others)
        value = with_error(judged_value(row), seeds_error(row)) if judged in layers else ""
        cost = f"{np.mean(row['images_seen']):12,.0f}{np.mean(row['seconds']):10,.0f}"
        lines.append(f"{method:{width}}{cells}{value:>14}{above.get(method, ''):>9}{cost}{rate_cell(row):>7}".rstrip())
    own = [f"{name}: {own_layers(row['by_layer'])}" for name, row in rows.items() if judged not in row["by_layer"]]
    if tried:
        own.append("rate: a multiple of the recipe's, the best one on held-out training labels")
    lines += [*own, *legend(rows, above, test_images), *failed_lines(result["failed"])]
    return "\n".join([*lines, *_trial_lines(rows)])


def _trial_lines(rows: Mapping[str, Any]) -> list[str]:
    """Return the lines below the table that say what every learning rate gave."""
    tried = tried_rates(rows)
    if not tried:
        return []
    factors = next(iter(tried.values()))
    lines = ["", f"tried: {LAYERS[-1]} on held-out training labels by learning rate, first seed", _cells("", factors)]
    return [*lines, *(_cells(method, by_rate.values()) for method, by_rate in tried.items())]


def _cells(name: str, values: Iterable[str]) -> str:
    return f"{name:18}" + "".join(f"{value:>8}" for value in values)
