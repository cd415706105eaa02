"""A search over the recipe with Keras Tuner: by default over the dropping rate.

OUT/search/            Keras Tuner's own state, from which a search goes on
OUT/trials/ID-SEED/    a run folder a trial and seed, its figures in trial.json
OUT/trials/ID.txt      what stopped a trial
OUT/tune.json, .png    the table, and the objective against the drop rate
OUT/config.json        the best recipe, for `tf-spot train --config`
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tf_spot.config import ABLATIONS, Config
from tf_spot.data import open_source
from tf_spot.errors import UserError
from tf_spot.evaluation import held_out_probe
from tf_spot.evaluation.evaluate_run import BATCH
from tf_spot.experiments.table import finished_autoencoder, keep_settings, mean, stderr
from tf_spot.progress import Progress
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_file, write_json, write_text
from tf_spot.storage.provenance import provenance
from tf_spot.training.health import game_signals
from tf_spot.training.train import train

# What --space may name: fields, the values of a grid, and the range of the other oracles (None: the same values).
SPACES: dict[str, dict[str, tuple[list[Any], tuple[float, float, str] | None]]] = {
    "drop_rate": {"game.drop_rate": ([0.1, 0.3, 0.5, 0.7, 0.9], (0.1, 0.9, "linear"))},  # those of the paper's Table 1
    "mask_weight": {"game.mask_weight": ([0.1, 0.3, 1.0, 3.0], (0.03, 3.0, "log"))},
    "adversarial_loss": {"game.adversarial_loss": (["nonsaturating", "minimax", "confusion"], None)},
    "learning_rates": {
        "training.discriminator_learning_rate": ([3e-4, 1e-3], (1e-4, 3e-3, "log")),
        "training.repair_learning_rate": ([1e-4, 3e-4, 1e-3], (1e-5, 3e-3, "log")),
    },
    "width": {"network.width": ([0.25, 0.5, 1.0], None)},
}
ORACLES = ("grid", "random", "bayesian", "hyperband")
OBJECTIVES = {  # name: (unit, what it is)
    "probe": ("percent", "best layer's linear probe, fitted to four fifths of the training labels, on the other fifth"),
    "mask_auc": ("area", "the mask head against the true keep mask, on held-out photos"),
}
_FIGURES = "trial.json"


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
    strategy: Any = "auto",
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Trains a spotter a trial and keeps what its features, or its mask head, are worth on photos not trained on.

    The test split is never read. Trials with the same autoencoder share its training. A search that was stopped goes
    on: finished trials are kept, the one that ran goes on from its newest checkpoint. With Keras Tuner's variables
    KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT, several processes share one search.

    Args:
        config: the recipe that the trials change.
        spec: the photos.
        out: folder of the search; the same one goes on.
        space: names from `SPACES`.
        oracle: `grid` (the paper's five drop rates), `random`, `bayesian` or `hyperband`, whose trials
            differ in length.
        trials: how many, at most; None: the whole grid, or 10. Hyperband ends by itself.
        seeds: trainings a trial, whose mean is the objective; seeds `config.training.seed` and up.
        objective: `probe` or `mask_auc`; by default `probe` for labelled photos. The adversarial losses say nothing
            about features, and their scale changes with the recipe.
        autoencoder: a run whose autoencoder all trials take; by default the first trial trains it.
        num_values: values a layer is pooled to for the probe.
        strategy: the devices that share the training, see `tf_spot.train`.
        on_progress: told (done, total, text).

    Returns:
        "trials": values, figures, mean and standard error of each, the best first; "failed": {trial: why}; "best". In
        OUT/tune.json too. A process that only ran trials for another returns {"worker": its id}.

    Raises:
        UserError: keras-tuner is not installed; an unknown name; photos that the objective cannot use.
    """
    kt = _keras_tuner()
    _check(space, oracle, trials, seeds, autoencoder)
    source = open_source(spec, config)
    objective = objective or ("probe" if source.has_labels else "mask_auc")
    if objective not in OBJECTIVES or (objective == "probe" and not source.has_labels):
        raise UserError(
            f"--objective is one of {', '.join(OBJECTIVES)}, and probe wants labelled photos; received: {objective} "
            f"with {spec}"
        )
    settings = {"config": config.to_dict(), "space": list(space), "oracle": oracle, "max_trials": trials}
    settings |= {"seeds": seeds, "objective": objective, "probe_values": num_values, "fingerprint": source.fingerprint}
    folder = Path(out)
    keep_settings(folder / "settings.json", settings, "all trials of a search")

    def one(trial: Any, seed: int) -> dict[str, Any]:
        changed = recipe(config, trial.hyperparameters.values, seed)
        path = folder / "trials" / f"{trial.trial_id}-{seed}"
        return _figures(changed, spec, path, autoencoder, objective, num_values, strategy, on_progress)

    range_of_seeds = range(config.training.seed, config.training.seed + seeds)
    tuner = _tuner(kt, _oracle(kt, oracle, space, trials, config), folder, range_of_seeds, one)
    try:
        tuner.search()
    except kt.errors.FatalError as error:
        raise (error.__cause__ or error) from None
    if not hasattr(tuner.oracle, "trials"):  # the chief has them
        return {"worker": os.environ["KERASTUNER_TUNER_ID"]}
    return _result(folder, tuner.oracle, settings, source.name, config)


def recipe(config: Config, values: dict[str, Any], seed: int) -> Config:
    """`config` with a trial's values; Hyperband's own value says how many epochs the trial is long."""
    changes = _rounded(values)
    epochs = changes.get("tuner/epochs")
    changes = {name: value for name, value in changes.items() if not name.startswith("tuner/")}
    if epochs:
        changes["training.spotter_steps"] = epochs * config.training.steps_per_epoch
    return config.replace(**changes, **{"training.seed": seed})


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    """A trial's values to six decimals."""
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in values.items()}


def _figures(
    config: Config,
    spec: str,
    path: Path,
    autoencoder: str | Path | None,
    objective: str,
    num_values: int,
    strategy: Any,
    on_progress: Progress | None,
) -> dict[str, Any]:
    """What one training is worth: read if it is finished, else trained or gone on with, and judged."""
    done = path / _FIGURES
    if done.is_file():
        figures: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
        return figures

    def tell(step: int, total: int, text: str) -> None:
        if on_progress is not None:
            on_progress(step, total, f"{path.name}/{text}")

    shared = autoencoder or finished_autoencoder(path.parent, path, config)
    spotter = train(config, spec, path, resume=True, autoencoder=shared, strategy=strategy, on_progress=tell)
    source = open_source(spec, config)
    figures = {"seed": config.training.seed, "mask_auc": game_signals(spotter, source.held_out(BATCH)).get(
        "held_out_mask_auc")}  # fmt: skip
    if objective == "probe":
        probe = held_out_probe(spotter.backbone, source, num_values=num_values, on_progress=tell)
        figures |= {"objective": probe["value"], "by_layer": probe["by_layer"], "stderr": probe["stderr"]}
    elif figures["mask_auc"] is None:
        raise ValueError("the held-out photos have no dropped or no kept cells to tell apart; hold out more of them")
    else:
        figures["objective"] = figures["mask_auc"]
    spent = Run(path).spent().values()
    figures |= {name: sum(stage[name] for stage in spent) for name in ("images_seen", "seconds")}
    write_json(done, figures)
    return figures


# --- Keras Tuner ------------------------------------------------------------------------------------------------------


def _keras_tuner() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries that it imports
            import keras_tuner
    except ImportError as error:
        raise UserError(
            f"a search needs Keras Tuner; received: {error}; install it with: pip install tf-spot[tune]"
        ) from None
    return keras_tuner


def _tuner(kt: Any, oracle: Any, folder: Path, seeds: range, one: Callable[[Any, int], dict[str, Any]]) -> Any:
    """A tuner whose trial is `one` training a seed."""

    class SpotterTuner(kt.engine.base_tuner.BaseTuner):
        def run_trial(self, trial: Any, *_: Any, **__: Any) -> float:
            stopped = folder / "trials" / f"{trial.trial_id}.txt"
            stopped.unlink(missing_ok=True)
            try:
                return statistics.fmean([one(trial, seed)["objective"] for seed in seeds])
            except UserError as error:  # would stop every trial
                raise kt.errors.FatalValueError(str(error)) from error
            except Exception as error:
                stopped.parent.mkdir(parents=True, exist_ok=True)
                write_text(stopped, f"{type(error).__name__}: {error}\n")
                raise kt.errors.FailedTrialError(str(error)) from error

    return SpotterTuner(oracle, directory=str(folder), project_name="search")


def _oracle(kt: Any, kind: str, space: Sequence[str], trials: int | None, config: Config) -> Any:
    training = config.training
    common: dict[str, Any] = {
        "objective": kt.Objective("objective", "max"),
        "hyperparameters": _hyperparameters(kt, kind, space),
        "max_consecutive_failed_trials": 3,
    }
    if kind == "grid":
        return _grid(kt)(max_trials=trials, **common)
    common["seed"] = training.seed
    if kind == "hyperband":
        epochs = training.spotter_steps // training.steps_per_epoch
        return kt.oracles.HyperbandOracle(max_epochs=epochs, **common)
    kinds = {"random": kt.oracles.RandomSearchOracle, "bayesian": kt.oracles.BayesianOptimizationOracle}
    return kinds[kind](max_trials=trials or 10, **common)


def _grid(kt: Any) -> Any:
    class Grid(kt.Oracle):
        """Every combination in order; Keras Tuner's own (1.4.8) forgets its order when a search goes on."""

        def populate_space(self, trial_id: str) -> dict[str, Any]:
            space = self.get_space().space
            point = next(itertools.islice(itertools.product(*(hp.values for hp in space)), int(trial_id), None), None)
            if point is None:
                return {"status": "STOPPED"}
            return {"status": "RUNNING", "values": dict(zip((hp.name for hp in space), point, strict=True))}

    return Grid


def _hyperparameters(kt: Any, kind: str, space: Sequence[str]) -> Any:
    found = kt.HyperParameters()
    for group in space:
        for name, (values, between) in SPACES[group].items():
            if kind == "grid" or between is None:
                found.Choice(name, values)
            else:
                low, high, sampling = between
                found.Float(name, low, high, sampling=sampling)
    return found


# --- what is kept -----------------------------------------------------------------------------------------------------


def _check(space: Sequence[str], oracle: str, trials: int | None, seeds: int, autoencoder: Any) -> None:
    unknown = [name for name in space if name not in SPACES]
    if unknown or not space:
        raise UserError(f"--space wants some of {','.join(SPACES)}; received: {','.join(unknown) or 'nothing'}")
    if oracle not in ORACLES:
        raise UserError(f"--oracle is one of {', '.join(ORACLES)}; received: {oracle}")
    if seeds < 1 or (trials is not None and trials < 1):
        raise UserError(f"--seeds and --trials must be at least 1; received: {seeds}, {trials}")
    if "width" in space and autoencoder is not None:
        raise UserError("--space width trains an autoencoder a width; received: --autoencoder as well; leave one out")
    if os.environ.get("KERASTUNER_ORACLE_IP") and autoencoder is None:
        raise UserError(
            "processes that share a search want one autoencoder: --autoencoder RUN; received: none; train a run first"
        )


def _result(folder: Path, oracle: Any, settings: dict[str, Any], data: str, config: Config) -> dict[str, Any]:
    finished, failed = [], {}
    for name, trial in sorted(oracle.trials.items()):
        if trial.status == "COMPLETED":
            finished.append(_row(folder, name, trial, settings))
        else:
            why = folder / "trials" / f"{name}.txt"
            failed[name] = why.read_text(encoding="utf-8").strip() if why.is_file() else trial.status
    finished.sort(key=lambda row: -row["objective"])
    unit, says = OBJECTIVES[settings["objective"]]
    result: dict[str, Any] = {"task": "tune", "data": data, "metric": settings["objective"], "unit": unit, "says": says}
    result |= {"trials": finished, "failed": failed, "best": finished[0]["values"] if finished else None}
    result |= settings | provenance()
    write_json(folder / "tune.json", result)
    if finished:
        best = recipe(config, finished[0]["values"], config.training.seed)
        write_text(folder / "config.json", best.to_json())
        rates = [row for row in finished if "game.drop_rate" in row["values"]]
        if rates:
            write_file(folder / "tune.png", lambda aside: draw(result).savefig(aside, dpi=150))
    return result


def _row(folder: Path, name: str, trial: Any, settings: dict[str, Any]) -> dict[str, Any]:
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob(f"trials/{name}-*/{_FIGURES}"))]
    objectives = [run["objective"] for run in runs]
    digits = mean if settings["objective"] == "probe" else statistics.fmean
    return {
        "trial": name,
        "values": _rounded(trial.hyperparameters.values),
        "objective": digits(objectives),
        "stderr": stderr(objectives),
        "runs": runs,
    }


def draw(result: dict[str, Any]) -> Any:
    """The objective against the drop rate; the paper's five points, on other photos, on an axis of their own."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    rows = [row for row in result["trials"] if "game.drop_rate" in row["values"]]
    rates, heights, spread = np.transpose(
        sorted((row["values"]["game.drop_rate"], row["objective"], _error(row) or 0.0) for row in rows)
    )
    axes.errorbar(rates, heights, spread, marker="o", color="C0", capsize=3, label=f"ours, {result['data']}")
    axes.set_xlabel("drop rate")
    axes.set_ylabel(f"{result['metric']}, {result['unit']}", color="C0")
    theirs = sorted((Config().replace(**row.changes).game.drop_rate, row.paper_accuracy) for name, row in
                    ABLATIONS.items() if name in ("baseline", "c", "d", "e", "f"))  # fmt: skip
    paper = axes.twinx()
    paper.plot(*zip(*theirs, strict=True), marker="s", linestyle="--", color="C1", label="paper, STL-10 (Table 1)")
    paper.set_ylabel("paper's accuracy, percent", color="C1")
    handles = [axes.get_legend_handles_labels(), paper.get_legend_handles_labels()]
    axes.legend(handles[0][0] + handles[1][0], handles[0][1] + handles[1][1], frameon=False, loc="lower center")
    return figure


def _error(row: dict[str, Any]) -> float | None:
    """Standard error of a trial: over its seeds, or with one seed that of its probe, if it has one."""
    error: float | None = row["stderr"]
    return row["runs"][0].get("stderr") if error is None and row["runs"] else error


def format_search(result: dict[str, Any]) -> str:
    """The table as text, the best trial first."""
    lines = [f"search on {result['data']}: {result['metric']} ({result['says']})"]
    for row in result["trials"]:
        values = ", ".join(f"{name.partition('.')[2] or name} {value}" for name, value in row["values"].items()
                           if not name.startswith("tuner/"))  # fmt: skip
        error = _error(row)
        spread = f" ± {error:.2f}" if error is not None else ""
        lines.append(f"{row['trial']:>6}  {row['objective']:8.3f}{spread}  {values}")
    return "\n".join(lines + [f"failed: {name}: {why}" for name, why in result["failed"].items()])
