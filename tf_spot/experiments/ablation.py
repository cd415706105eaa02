"""Table 1 of the paper on one's own photos: the baseline and twelve variants, each with one change.

OUT/VARIANT-SEED/        a row's run folder, its result in ablation.json
OUT/random-SEED.json     the result of the untrained network
OUT/ablation.json        the table

See `table` for unfinished and failed rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from scipy import stats

from tf_spot.config import ABLATIONS, LAYERS, Config
from tf_spot.data import Source, open_source
from tf_spot.errors import UserError
from tf_spot.evaluation.evaluate_run import BATCH
from tf_spot.evaluation.judgement import judged_value
from tf_spot.evaluation.probes.examples import require_labelled_test
from tf_spot.experiments.plain_fit import random_backbone
from tf_spot.experiments.ranking import accuracies, differences, legend, seeds_error
from tf_spot.experiments.table import (
    Result,
    Row,
    Table,
    check_names,
    failed_lines,
    finished_autoencoder,
    probe_on_test,
    training_cost,
    with_error,
)
from tf_spot.models.backbones import Backbone
from tf_spot.progress import Progress
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_json
from tf_spot.storage.lock import sole_writer
from tf_spot.storage.provenance import provenance
from tf_spot.training.health import game_signals
from tf_spot.training.train import run_with_autoencoder, same_autoencoder, train

RESULT = "ablation.json"  # of a row, and of the table
RANDOM = "random"  # the untrained network, the floor of the table
MIN_RANKED = 4  # variants; a rank correlation of fewer is meaningless
GAN = "l"  # the paper does not describe its generator, so rows are ranked with and without it


def ablate(
    config: Config,
    spec: str,
    out: str | Path,
    rows: Sequence[str] = tuple(ABLATIONS),
    *,
    seeds: int = 1,
    num_values: int = 9_000,
    autoencoder: str | Path | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Train and probe every variant with every seed, and set the paper's accuracies beside the results.

    Variants with the same autoencoder share its training; with `autoencoder`, seeds share it too. Finished rows are not
    run again, unfinished ones are continued, and one that fails does not stop the others.

    Args:
        config: the baseline.
        spec: labelled photos with a test split; training does not see the labels.
        out: folder of the rows.
        rows: variants, names from `ABLATIONS`.
        seeds: how many; seeds `config.training.seed`, the next one, and so on.
        num_values: values per image that a layer is pooled to for the linear probe.
        autoencoder: a run whose trained autoencoder is taken by every row that it fits; (h) has another one.
        on_progress: called with (done, total, text).

    Returns:
        "rows": {variant: its results, mean and standard error over seeds}; "rank_correlation": Spearman's, between the
        order of the variants by conv5 here and in the paper, None for fewer than four; "rank_correlation_without_l":
        without the GAN; "failed": {VARIANT-SEED: error}. Also written to OUT/ablation.json.

    Raises:
        UserError: an unknown variant, or one that the baseline cannot be changed to; photos that cannot be probed; a
            folder whose rows had another configuration.
    """
    check_names("--rows", rows, ABLATIONS, seeds)
    source = open_source(spec, config)
    require_labelled_test(source)
    # All before the first training: what a row cannot be changed to is told now, and costs no other row.
    changed = {variant: config.replace(**ABLATIONS[variant].changes) for variant in rows}
    source.check_batch(config.training.batch_size)
    shared = run_with_autoencoder(autoencoder) if autoencoder else None
    if shared is not None and not any(same_autoencoder(shared.config, recipe) for recipe in changed.values()):
        raise UserError(
            f"--autoencoder must be a run whose autoencoder fits the rows; received: {autoencoder}, of preset "
            f"{shared.config.preset} at {shared.config.data.image_size} pixels; train one by the rows' recipe"
        )
    with sole_writer(out, "ablation"):
        return _ablate(config, changed, source, Path(out), seeds, num_values, shared, Table(on_progress))


def _ablate(
    config: Config,
    changed: Mapping[str, Config],
    source: Source,
    folder: Path,
    seeds: int,
    num_values: int,
    shared: Run | None,
    table: Table,
) -> dict[str, Any]:
    """Train what is missing of the table, as the only process that writes the folder.

    Args:
        config: the baseline.
        changed: {variant: its recipe}.
        source, folder, seeds, num_values, table: of the rows.
        shared: the run of the autoencoder that they share.
    """
    for seed in range(config.training.seed, config.training.seed + seeds):
        # Outside the table's guard: what stops this probe would stop every other one, so it stops the command.
        random = _row(RANDOM, config.replace(**{"training.seed": seed}), source, folder, num_values)
        result = random.result(partial(_judge_untrained, random, source, num_values))
        table.results.setdefault(RANDOM, []).append(result)
        for variant, recipe in changed.items():
            row = _row(variant, recipe.replace(**{"training.seed": seed}), source, folder, num_values)
            table.add(row, partial(_train, row, source, num_values, shared))
    record = _summary(table, config) | provenance()
    write_json(folder / RESULT, record)
    return record


def _row(variant: str, config: Config, source: Source, folder: Path, num_values: int) -> Row:
    path = folder / f"{variant}-{config.training.seed}"
    result_path = folder / f"{path.name}.json" if variant == RANDOM else path / RESULT
    made_with = {"config": config.to_dict(), "probe_values": num_values, "data": source.name}
    return Row(variant, config, path, result_path, made_with, source.fingerprint)


# --- one row ----------------------------------------------------------------------------------------------------------


def _train(row: Row, source: Source, num_values: int, shared: Run | None, on_progress: Progress | None) -> Result:
    """Train a variant, or continue to, and judge it by the probe and by its mask head."""
    fits = shared is not None and same_autoencoder(shared.config, row.config)
    autoencoder = shared.path if shared is not None and fits else finished_autoencoder(row)
    _refuse_other_batches(row)
    spotter = train(row.config, source, row.folder, resume=True, autoencoder=autoencoder, on_progress=on_progress)
    result: Result = {"method": row.name} | _judge(spotter.backbone, row, source, num_values, on_progress)
    if row.config.game.predict_mask:
        result["mask_auc"] = game_signals(spotter, source.images("test", BATCH))["held_out_mask_auc"]
    return result | training_cost(row.folder) | provenance()


def _refuse_other_batches(row: Row) -> None:
    """A training alone may go on with another batch size; the rows of a table must be of one."""
    if (row.folder / "config.json").is_file():
        begun, wanted = Run(row.folder).config.training.batch_size, row.config.training.batch_size
        if begun != wanted:
            raise UserError(
                f"all rows of a table have one batch size; received: training.batch_size={wanted}, but {row.folder} "
                f"began with {begun}; repeat the first command or choose another --out"
            )


def _judge_untrained(row: Row, source: Source, num_values: int, on_progress: Progress | None) -> Result:
    """Judge the backbone at its initial weights."""
    result = _judge(random_backbone(row.config), row, source, num_values, on_progress)
    return result | {"method": RANDOM, "images_seen": 0, "seconds": 0.0} | provenance()


def _judge(backbone: Backbone, row: Row, source: Source, num_values: int, on_progress: Progress | None) -> Result:
    seed = row.config.training.seed
    head = {"task": "ablation", "data": source.name, "preset": row.config.preset, "seed": seed}
    head |= {"metric": "accuracy", "probe_values": num_values}
    probe = probe_on_test(backbone, source, num_values=num_values, seed=seed, on_progress=on_progress)
    return head | probe | {"config": row.config.to_dict()}


# --- the table --------------------------------------------------------------------------------------------------------


def _summary(table: Table, config: Config) -> dict[str, Any]:
    rows = {variant: _statistics(variant, results) for variant, results in table.results.items()}
    first = table.results[RANDOM][0]
    head = {name: first[name] for name in ("task", "data", "metric", "probe_values", "test_images")}
    return head | {"rows": rows} | _rank_correlations(rows) | {"failed": table.failed, "config": config.to_dict()}


def _statistics(variant: str, results: Sequence[Result]) -> dict[str, Any]:
    return {
        "says": "the untrained network" if variant == RANDOM else ABLATIONS[variant].says,
        "paper": None if variant == RANDOM else ABLATIONS[variant].paper_accuracy,
        **accuracies(results),
        "mask_auc": [result.get("mask_auc") for result in results],
        "images_seen": results[0]["images_seen"],
        "seconds": [result["seconds"] for result in results],
        "seeds": [result["seed"] for result in results],
    }


def _rank_correlations(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None]:
    """Return the rank correlation over all variants, and over all but the GAN, as entries of the table."""
    others = {variant: row for variant, row in rows.items() if variant != GAN}
    return {"rank_correlation": _rank_correlation(rows), "rank_correlation_without_l": _rank_correlation(others)}


def _rank_correlation(rows: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Return Spearman's coefficient of conv5's accuracies here and the paper's: 1 for the same order."""
    pairs = [(judged_value(row), row["paper"]) for row in rows.values() if row["paper"] is not None]
    # Undefined where all accuracies are equal.
    if len(pairs) < MIN_RANKED or len({value for value, _ in pairs}) == 1:
        return None
    return round(float(stats.spearmanr(*zip(*pairs, strict=True)).statistic), 2)


def format_ablation(result: Mapping[str, Any]) -> str:
    """Return the table as text: every layer, and the variants judged by conv5.

    `± ` is the standard error over seeds. The paper's own accuracies (on other photos) stand in the last column.
    """
    rows = result["rows"]
    labels = {
        variant: f"({variant}) " * (variant not in (RANDOM, "baseline")) + row["says"] for variant, row in rows.items()
    }
    width = max(map(len, labels.values()))
    test_images = result.get("test_images")  # earlier tables do not have it
    above = differences(rows, "baseline", test_images)
    *others, judged = LAYERS
    lines = [
        f"ablation on {result['data']}: accuracy of the linear probe in percent",
        f"{'':{width}}"
        + "".join(f"{name:>7}" for name in others)
        + f"{judged:>13}{'vs baseline':>12}{'paper, STL-10':>16}",
    ]
    for variant, row in rows.items():
        layers = "".join(f"{row['by_layer'][name]:7.1f}" for name in others)
        value = with_error(judged_value(row), seeds_error(row))
        paper = "" if row["paper"] is None else f"{row['paper']:.2f}"
        lines.append(f"{labels[variant]:{width}}{layers}{value:>13}{above.get(variant, ''):>12}{paper:>16}".rstrip())
    return "\n".join([*lines, *legend(rows, above, test_images), *_ranks(rows), *failed_lines(result["failed"])])


def _ranks(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the line with the rank correlations. Those of earlier files were not of conv5: it is computed anew."""
    ranks = _rank_correlations(rows)
    if ranks["rank_correlation"] is None:
        return []
    line = f"rank correlation of {LAYERS[-1]} with the paper's order of rows: {ranks['rank_correlation']:.2f}"
    without = ranks["rank_correlation_without_l"]
    return [line + (f", without (l): {without:.2f}" if GAN in rows and without is not None else "")]
