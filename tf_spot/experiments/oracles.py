"""Keras Tuner, which proposes the trials of a search and keeps its state."""

from __future__ import annotations

import itertools
import statistics
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tf_spot.config import Config
from tf_spot.errors import UserError
from tf_spot.experiments.search_space import SPACES
from tf_spot.storage.files import write_text
from tf_spot.storage.json_files import interpreting
from tf_spot.training.callbacks import NonFiniteLoss

if TYPE_CHECKING:
    import keras_tuner

DEFAULT_TRIALS = 10  # of the oracles that could go on for ever
MAX_FAILED_TRIALS = 3  # one after the other; then the search stops


def load_keras_tuner() -> Any:
    """Import Keras Tuner.

    Raises:
        UserError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries that it imports
            import keras_tuner
    except ImportError as error:
        raise UserError(
            f"a search needs Keras Tuner; received: {error}; install it with: pip install tf-spot[tune]"
        ) from None
    return keras_tuner


def make_oracle(kind: str, space: Sequence[str], trials: int | None, config: Config) -> keras_tuner.Oracle:
    """Return the oracle called `kind`, one of `ORACLES`.

    Args:
        kind: which.
        space: names from `SPACES`.
        trials: at most; None: the whole grid, or `DEFAULT_TRIALS`. Hyperband ends by itself.
        config: gives the seed and the length of a training.
    """
    kt = load_keras_tuner()
    training = config.training
    common: dict[str, Any] = {
        "objective": kt.Objective("objective", "max"),
        "hyperparameters": _hyperparameters(kind, space),
        "max_consecutive_failed_trials": MAX_FAILED_TRIALS,
    }
    if kind == "grid":
        return _grid_class()(max_trials=trials, **common)
    common["seed"] = training.seed
    if kind == "hyperband":
        epochs = training.spotter_steps // training.steps_per_epoch
        if not epochs:
            raise UserError(
                "hyperband counts whole epochs and needs one at least; received: training.spotter_steps="
                f"{training.spotter_steps} with training.steps_per_epoch={training.steps_per_epoch}; lower the second"
            )
        return kt.oracles.HyperbandOracle(max_epochs=epochs, **common)
    kinds = {"random": kt.oracles.RandomSearchOracle, "bayesian": kt.oracles.BayesianOptimizationOracle}
    return kinds[kind](max_trials=trials or DEFAULT_TRIALS, **common)


def _hyperparameters(kind: str, space: Sequence[str]) -> keras_tuner.HyperParameters:
    hyperparameters = load_keras_tuner().HyperParameters()
    for group in space:
        for name, field in SPACES[group].items():
            if kind == "grid" or field.between is None:
                hyperparameters.Choice(name, field.grid)
            else:
                low, high, sampling = field.between
                hyperparameters.Float(name, low, high, sampling=sampling)
    return hyperparameters


def _grid_class() -> type[keras_tuner.Oracle]:
    kt: Any = load_keras_tuner()

    class Grid(kt.Oracle):
        """Every combination in order. Keras Tuner's own (1.4.8) forgets its order when a search is continued."""

        def populate_space(self, trial_id: str) -> dict[str, Any]:
            space = self.get_space().space
            points = itertools.product(*(hyperparameter.values for hyperparameter in space))
            point = next(itertools.islice(points, int(trial_id), None), None)
            if point is None:
                return {"status": "STOPPED"}
            names = (hyperparameter.name for hyperparameter in space)
            return {"status": "RUNNING", "values": dict(zip(names, point, strict=True))}

    return Grid


def make_tuner(
    oracle: keras_tuner.Oracle, folder: Path, objectives: Callable[[keras_tuner.engine.trial.Trial], list[float]]
) -> keras_tuner.engine.base_tuner.BaseTuner:
    """Return a tuner whose trials are worth the mean of their objectives.

    Args:
        oracle: proposes the trials.
        folder: of the search; FOLDER/search holds Keras Tuner's state, FOLDER/trials/ID.txt what stopped a trial.
        objectives: trains a trial with every seed.
    """
    kt: Any = load_keras_tuner()

    class SpotterTuner(kt.engine.base_tuner.BaseTuner):
        def run_trial(self, trial: keras_tuner.engine.trial.Trial, *_: object, **__: object) -> float:
            stopped = folder / "trials" / f"{trial.trial_id}.txt"
            stopped.unlink(missing_ok=True)
            try:
                return statistics.fmean(objectives(trial))
            except Exception as error:
                # A loss that is not finite is due to the trial's own values; other mistakes would stop every trial.
                if isinstance(error, UserError | OSError) and not isinstance(error, NonFiniteLoss):
                    raise kt.errors.FatalValueError(str(error)) from error
                stopped.parent.mkdir(parents=True, exist_ok=True)
                write_text(stopped, f"{type(error).__name__}: {error}\n")
                raise kt.errors.FailedTrialError(str(error)) from error

    with interpreting(folder / "search"):
        tuner = SpotterTuner(oracle, directory=str(folder), project_name="search")
        _go_on(tuner.oracle, folder / "search")
    return tuner


def _go_on(oracle: keras_tuner.Oracle, folder: Path) -> None:
    """Let the trials that a stop interrupted come first, with their own values.

    Keras Tuner (1.4.8) reads a search again only after its first trial is finished; before that it would draw other
    values for the trial whose run folder is there.
    """
    if not hasattr(oracle, "trials"):  # a worker: the chief's process has the trials
        return
    if not oracle.trials and (folder / "oracle.json").is_file():
        oracle.reload()
    waiting = [name for name, trial in oracle.trials.items() if trial.status == "RUNNING"]
    oracle._retry_queue += [name for name in waiting if name not in oracle._retry_queue]
