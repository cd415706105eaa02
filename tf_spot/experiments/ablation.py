"""Table 1 of the paper on one's own photos: the baseline and twelve rows, each a difference from it.

OUT/ROW-SEED/            a run folder a row and seed, its figures in ablation.json
OUT/ROW-SEED/error.txt   what stopped a row; it is tried again next time
OUT/ablation.json        the table
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
from scipy import stats

from tf_spot.config import ABLATIONS, Config
from tf_spot.data import open_source
from tf_spot.errors import UserError
from tf_spot.evaluation import linear_probe
from tf_spot.evaluation.evaluate_run import BATCH
from tf_spot.experiments.table import finished_autoencoder, mean, row_of_table, stderr
from tf_spot.models.from_config import build_discriminator
from tf_spot.progress import Progress
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_json
from tf_spot.storage.provenance import provenance
from tf_spot.training.health import game_signals
from tf_spot.training.train import train

RANDOM = "random"  # the untrained network, as the floor of the table
ENOUGH_ROWS = 4  # of fewer an order says nothing


def ablate(
    config: Config,
    spec: str,
    out: str | Path,
    rows: Sequence[str] = tuple(ABLATIONS),
    *,
    seeds: int = 1,
    num_values: int = 9_000,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Trains and probes every row with every seed, and puts the paper's figures beside what came out.

    Rows whose autoencoder is the same share its training. Finished rows are not run again, unfinished ones go on, and
    one that fails does not stop the others.

    Args:
        config: the baseline.
        spec: labelled photos with a test split; training does not see the labels.
        out: folder of the rows.
        rows: names from `ABLATIONS`.
        seeds: how many; seeds `config.training.seed`, the next one, and so on.
        num_values: values a layer is pooled to for the linear probe.
        on_progress: told (done, total, text).

    Returns:
        "rows": for every row its seeds' figures, mean and standard error; "rank_correlation": Spearman's, of their
        order with the paper's, None for fewer than four rows; "failed": {row-seed: why}. In OUT/ablation.json too.

    Raises:
        UserError: an unknown row; photos that cannot be probed; a folder whose rows had another configuration.
    """
    unknown = [row for row in rows if row not in ABLATIONS]
    if unknown or not rows or seeds < 1:
        raise UserError(
            f"--rows wants some of {','.join(ABLATIONS)} and --seeds at least 1; received: "
            f"{','.join(unknown or rows) or 'no row'}, {seeds}"
        )
    folder = Path(out)
    finished: dict[str, list[dict[str, Any]]] = {RANDOM: []}
    failed: dict[str, str] = {}
    for seed in range(config.training.seed, config.training.seed + seeds):
        finished[RANDOM].append(_random(config, spec, folder, seed, num_values))
        for row in rows:
            changed = config.replace(**ABLATIONS[row].changes, **{"training.seed": seed})
            path = folder / f"{row}-{seed}"
            with row_of_table(path, failed):
                figures = _row(
                    row, changed, spec, path, finished_autoencoder(folder, path, changed), num_values, on_progress
                )
                finished.setdefault(row, []).append(figures)
    result = _table(finished, failed, config) | provenance()
    write_json(folder / "ablation.json", result)
    return result


def _row(
    row: str,
    config: Config,
    spec: str,
    path: Path,
    autoencoder: Path | None,
    num_values: int,
    on_progress: Progress | None,
) -> dict[str, Any]:
    """The figures of one row: read if it is finished, else trained or gone on with, and probed."""
    done = path / "ablation.json"
    if done.is_file():
        return _finished(done, config, num_values)
    (path / "error.txt").unlink(missing_ok=True)

    def tell(step: int, total: int, text: str) -> None:
        if on_progress is not None:
            on_progress(step, total, f"{path.name}/{text}")

    spotter = train(config, spec, path, resume=True, autoencoder=autoencoder, on_progress=tell)
    figures = {"method": row} | _probe(spotter.backbone, config, spec, num_values, tell)
    source = _open(config, spec)
    if config.game.predict_mask:
        figures["mask_auc"] = game_signals(spotter, source.images("test", BATCH))["held_out_mask_auc"]
    spent = Run(path).spent().values()
    figures |= {name: sum(stage[name] for stage in spent) for name in ("images_seen", "seconds")}
    write_json(done, figures | provenance())
    return figures


def _random(config: Config, spec: str, folder: Path, seed: int, num_values: int) -> dict[str, Any]:
    """The figures of the untrained network."""
    config = config.replace(**{"training.seed": seed})
    done = folder / f"{RANDOM}-{seed}.json"
    if done.is_file():
        return _finished(done, config, num_values)
    keras.utils.set_random_seed(seed)
    figures = _probe(build_discriminator(config).backbone, config, spec, num_values, None)
    figures |= {"method": RANDOM, "images_seen": 0, "seconds": 0.0}
    write_json(done, figures | provenance())
    return figures


def _probe(backbone: Any, config: Config, spec: str, num_values: int, on_progress: Progress | None) -> dict[str, Any]:
    source = _open(config, spec)
    if not (source.has_labels and source.has_test):
        raise UserError(f"an ablation is judged on labelled photos with a test split; received: {spec}")
    probe = linear_probe(
        backbone,
        source.labelled("train", BATCH),
        source.labelled("test", BATCH),
        num_values=num_values,
        seed=config.training.seed,
        on_progress=on_progress,
    )
    names = {"task": "ablation", "data": source.name, "preset": config.preset, "seed": config.training.seed}
    return names | {"metric": "accuracy", "probe_values": num_values} | probe | {"config": config.to_dict()}


def _finished(path: Path, config: Config, num_values: int) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if (figures["config"], figures["probe_values"]) != (config.to_dict(), num_values):
        raise UserError(f"{path} is of another configuration than this command's; choose another --out")
    return figures


def _open(config: Config, spec: str) -> Any:
    return open_source(spec, config)


def _table(finished: dict[str, list[dict[str, Any]]], failed: dict[str, str], config: Config) -> dict[str, Any]:
    rows = {}
    for row, runs in finished.items():
        best = [run["value"] for run in runs]
        rows[row] = {
            "says": "the untrained network" if row == RANDOM else ABLATIONS[row].says,
            "paper": None if row == RANDOM else ABLATIONS[row].paper_accuracy,
            "value": mean(best),
            "stderr": stderr(best),
            "by_layer": {name: mean([run["by_layer"][name] for run in runs]) for name in runs[0]["by_layer"]},
            "mask_auc": [run.get("mask_auc") for run in runs],
            "images_seen": runs[0]["images_seen"],
            "seconds": [run["seconds"] for run in runs],
            "seeds": [run["seed"] for run in runs],
        }
    first = next(iter(finished.values()))[0]
    names = {name: first[name] for name in ("task", "data", "metric", "probe_values")}
    order = {"rank_correlation": _rank_correlation(rows)}
    return names | {"rows": rows} | order | {"failed": failed, "config": config.to_dict()}


def _rank_correlation(rows: dict[str, dict[str, Any]]) -> float | None:
    """Spearman's, of the rows' accuracies here and in the paper; 1: the same order."""
    pairs = [(row["value"], row["paper"]) for row in rows.values() if row["paper"] is not None]
    if len(pairs) < ENOUGH_ROWS or len({value for value, _ in pairs}) == 1:
        return None
    return round(float(stats.spearmanr(*zip(*pairs, strict=True)).statistic), 2)


def format_ablation(result: dict[str, Any]) -> str:
    """The table as text, the paper's own figures (on other photos) in the last column."""
    rows = result["rows"]
    labels = {row: f"({row}) " * (row not in (RANDOM, "baseline")) + figures["says"] for row, figures in rows.items()}
    width = max(map(len, labels.values()))
    lines = [f"ablation on {result['data']}: accuracy of the linear probe in percent"]
    layers = "".join(f"{f'conv{number}':>7}" for number in range(1, 6))
    lines.append(f"{'':{width}}{layers}{'best':>13}{'paper, STL-10':>16}")
    for row, figures in rows.items():
        best = f"{figures['value']:.1f}" + (f" ± {figures['stderr']:.1f}" if figures["stderr"] is not None else "")
        layers = "".join(f"{value:7.1f}" for value in figures["by_layer"].values())
        paper = "" if figures["paper"] is None else f"{figures['paper']:.2f}"
        lines.append(f"{labels[row]:{width}}{layers}{best:>13}{paper:>16}")
    if result["rank_correlation"] is not None:
        lines.append(f"rank correlation with the paper's order of rows: {result['rank_correlation']:.2f}")
    lines += [f"failed: {name}: {why}" for name, why in result["failed"].items()]
    return "\n".join(lines)
