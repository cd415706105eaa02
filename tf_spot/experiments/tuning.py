"""A search over the recipe with Keras Tuner, by default over the drop rate.

OUT/settings.json      what all trials share; another command may not change it
OUT/search/            Keras Tuner's own state, from which a search is continued
OUT/trials/ID-SEED/    the run folder of a trial and seed, its result in trial.json
OUT/trials/ID.txt      what stopped a trial
OUT/tune.json, .png    the table, and the objective against the drop rate
OUT/config.json        the best recipe, for `tf-spot train --config`
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_spot.config import Config
from tf_spot.data import Source, open_source
from tf_spot.errors import UserError
from tf_spot.evaluation import held_out_probe
from tf_spot.evaluation.evaluate_run import BATCH
from tf_spot.evaluation.judgement import binomial_error
from tf_spot.experiments.oracles import load_keras_tuner, make_oracle, make_tuner
from tf_spot.experiments.search_results import draw, format_search
from tf_spot.experiments.search_space import OBJECTIVES, ORACLES, SPACES, recipe, rounded
from tf_spot.experiments.table import (
    Result,
    Row,
    check_names,
    finished_autoencoder,
    keep_settings,
    mean,
    stderr,
    training_cost,
)
from tf_spot.progress import Progress
from tf_spot.storage.files import write_file, write_json, write_text
from tf_spot.storage.json_files import NUMBER, read_json
from tf_spot.storage.lock import sole_writer
from tf_spot.storage.provenance import provenance
from tf_spot.training.health import game_signals
from tf_spot.training.train import train

if TYPE_CHECKING:
    import keras_tuner

__all__ = ["format_search", "tune"]

RESULT = "trial.json"


def tune(
    config: Config,
    spec: str,
    out: str | Path,
    *,
    space: Sequence[str] = ("drop_rate",),
    oracle: str = "grid",
    trials: int | None = None,
    seeds: int = 1,
    objective: str | None = None,
    autoencoder: str | Path | None = None,
    num_values: int = 2_048,
    strategy: str | tf.distribute.Strategy = "auto",
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a spotter per trial, and judge its features or its mask head on photos that it was not trained on.

    The test split is never read. Trials with the same autoencoder share its training. A search that was stopped is
    continued: finished trials are kept, the unfinished one continues from its newest checkpoint. With Keras Tuner's
    variables KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT, several processes share one search.

    Args:
        config: the recipe that the trials change.
        spec: the photos.
        out: folder of the search; the same one is continued.
        space: names from `SPACES`.
        oracle: `grid` (the paper's five drop rates), `random`, `bayesian` or `hyperband`, whose trials differ in
            length.
        trials: how many, at most; None: the whole grid, or 10. Hyperband ends by itself.
        seeds: trainings per trial, whose mean is the objective; seeds `config.training.seed` and up.
        objective: `probe` or `mask_auc`; by default `probe` for labelled photos. The adversarial losses do not measure
            features, and their scale changes with the recipe.
        autoencoder: a run whose autoencoder all trials take; by default the first trial trains it.
        num_values: values per image that a layer is pooled to for the probe.
        strategy: the devices that share the training, see `tf_spot.train`.
        on_progress: called with (done, total, text).

    Returns:
        "trials": values, results, mean and standard error of each, the best first; "failed": {trial: error}; "best".
        Also written to OUT/tune.json. A process that only ran trials for another returns {"worker": its id}.

    Raises:
        UserError: keras-tuner is not installed; an unknown name; photos that the objective cannot use.
    """
    # First of all, so that nobody waits for the photos only to read that a package is missing.
    kt = load_keras_tuner()
    _check(space, oracle, trials, seeds, autoencoder)
    source = open_source(spec, config)
    source.check_batch(config.training.batch_size)
    objective = _objective(objective, source)
    settings = {"config": config.to_dict(), "space": list(space), "oracle": oracle, "max_trials": trials}
    settings |= {"seeds": seeds, "objective": objective, "probe_values": num_values, "fingerprint": source.fingerprint}
    folder = Path(out)
    # Several processes may share one search, by Keras Tuner's own means.
    shared = bool(os.environ.get("KERASTUNER_ORACLE_IP"))
    with nullcontext() if shared else sole_writer(folder, "search"):
        keep_settings(folder / "settings.json", settings, "all trials of a search")
        trainer = _Trainer(source, objective, autoencoder, num_values, strategy)
        objectives = partial(_objectives, trainer, config, seeds, folder / "trials", on_progress)
        tuner = make_tuner(make_oracle(oracle, space, trials, config), folder, objectives)
        try:
            tuner.search()
        except kt.errors.FatalError as error:
            # The user's own mistake or the machine's, which Keras Tuner wraps to end the search.
            raise (error.__cause__ or error) from None
        if not hasattr(tuner.oracle, "trials"):  # a worker: the chief's process has the trials and writes the table
            return {"worker": os.environ["KERASTUNER_TUNER_ID"]}
        return _record(folder, tuner.oracle, settings, source.name, config)


def _check(space: Sequence[str], oracle: str, trials: int | None, seeds: int, autoencoder: str | Path | None) -> None:
    check_names("--space", space, SPACES, seeds)
    if oracle not in ORACLES:
        raise UserError(f"--oracle must be one of {', '.join(ORACLES)}; received: {oracle}")
    if trials is not None and trials < 1:
        raise UserError(f"--trials must be at least 1; received: {trials}")
    if "width" in space and autoencoder is not None:
        raise UserError("--space width trains an autoencoder per width; received: --autoencoder as well; leave one out")
    # Workers that run at the same time would each train the autoencoder that they are to share.
    if os.environ.get("KERASTUNER_ORACLE_IP") and autoencoder is None:
        raise UserError(
            "processes that share a search need one autoencoder: --autoencoder RUN; received: none; train a run first"
        )


def _objective(objective: str | None, source: Source) -> str:
    """Return the objective, by default the one that the photos allow."""
    name = objective or ("probe" if source.has_labels else "mask_auc")
    if name not in OBJECTIVES or (name == "probe" and not source.has_labels):
        raise UserError(
            f"--objective must be one of {', '.join(OBJECTIVES)}, and probe needs labelled photos; received: {name} "
            f"with {source.spec}"
        )
    return name


# --- one row ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Trainer:
    """Trains and judges a row; the arguments are those of `tune`."""

    source: Source
    objective: str
    autoencoder: str | Path | None
    num_values: int
    strategy: str | tf.distribute.Strategy

    def train(self, row: Row, on_progress: Progress | None) -> Result:
        spotter = train(
            row.config,
            self.source,
            row.folder,
            resume=True,
            autoencoder=self.autoencoder or finished_autoencoder(row),
            strategy=self.strategy,
            on_progress=on_progress,
        )
        # The test split stays unread: a search would choose by it.
        signals = game_signals(spotter, self.source.held_out(BATCH))
        result = {"seed": row.config.training.seed, "mask_auc": signals.get("held_out_mask_auc")}
        if self.objective == "probe":
            probe = held_out_probe(spotter.backbone, self.source, num_values=self.num_values, on_progress=on_progress)
            best = max(probe["by_layer"].values())  # of held-out training labels
            error = round(binomial_error(best, probe["test_images"]), 2)
            result |= {"objective": best, "by_layer": probe["by_layer"], "stderr": error}
        elif result["mask_auc"] is None:
            raise ValueError("the held-out photos have no dropped or no kept cells to distinguish; hold out more")
        else:
            result["objective"] = result["mask_auc"]
        return result | training_cost(row.folder)


def _objectives(
    trainer: _Trainer,
    config: Config,
    seeds: int,
    folder: Path,
    on_progress: Progress | None,
    trial: keras_tuner.engine.trial.Trial,
) -> list[float]:
    """Train a trial with every seed, in folders of `folder`; return the objective of each."""
    results = []
    for seed in range(config.training.seed, config.training.seed + seeds):
        changed = recipe(config, trial.hyperparameters.values, seed)
        path = folder / f"{trial.trial_id}-{seed}"
        # A search shares its settings, so that a result needs to name its seed only.
        row = Row(trial.trial_id, changed, path, path / RESULT, {"seed": seed}, trainer.source.fingerprint)
        results.append(row.result(partial(trainer.train, row), on_progress))
    return [result["objective"] for result in results]


# --- the table --------------------------------------------------------------------------------------------------------


def _record(
    folder: Path, oracle: keras_tuner.Oracle, settings: Mapping[str, Any], data: str, config: Config
) -> dict[str, Any]:
    """Write the table, and with it the plot and the best recipe."""
    finished, failed = [], {}
    for name, trial in sorted(oracle.trials.items()):
        if trial.status == "COMPLETED":
            finished.append(_summary(folder, trial, settings["objective"]))
        else:
            error = folder / "trials" / f"{name}.txt"
            failed[name] = error.read_text(encoding="utf-8").strip() if error.is_file() else trial.status
    # Best first; every objective is maximised.
    finished.sort(key=lambda row: -row["objective"])
    unit, description = OBJECTIVES[settings["objective"]]
    result = {"task": "tune", "data": data, "metric": settings["objective"], "unit": unit, "says": description}
    result |= {"trials": finished, "failed": failed, "best": finished[0]["values"] if finished else None}
    result |= {**settings, **provenance()}
    write_json(folder / "tune.json", result)
    if finished:
        best = recipe(config, finished[0]["values"], config.training.seed)
        write_text(folder / "config.json", best.to_json())
        if any("game.drop_rate" in row["values"] for row in finished):
            write_file(folder / "tune.png", lambda aside: draw(result).savefig(aside, dpi=150))
    return result


def _summary(folder: Path, trial: keras_tuner.engine.trial.Trial, objective: str) -> dict[str, Any]:
    """Return a trial's values and its results over seeds."""
    paths = sorted(folder.glob(f"trials/{trial.trial_id}-*/{RESULT}"))
    runs = [read_json(path, {"objective": NUMBER}) for path in paths]
    objectives = [run["objective"] for run in runs]
    # Percent to two decimals, but an area under the curve in full.
    average = mean if objective == "probe" else statistics.fmean
    return {
        "trial": trial.trial_id,
        "values": rounded(trial.hyperparameters.values),
        "objective": average(objectives),
        "stderr": stderr(objectives),
        "runs": runs,
    }
