"""The learning rates that a comparison tries for each method: as many for all, each with the budget of a row.

OUT/trials/METHOD-xFACTOR/      the run folder of a trial, with the first seed
OUT/trials/METHOD-xFACTOR.json  its result

Trials are judged by conv5 on a fifth of the training labels (`learning_curve`): test photos are not read. The best
one's run folder becomes that of the method's first row.
"""

from __future__ import annotations

import dataclasses
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from tf_spot.baselines import GAMES, PRETEXTS, UNTRAINED
from tf_spot.config import Config
from tf_spot.data.source import Source
from tf_spot.errors import UserError
from tf_spot.experiments.budget import Budget
from tf_spot.experiments.comparison_row import train_row
from tf_spot.experiments.learning_curve import read_curve
from tf_spot.experiments.table import Result, Row, Table
from tf_spot.progress import Progress
from tf_spot.storage.provenance import provenance
from tf_spot.training.callbacks import NonFiniteLoss

FACTORS = (1.0, 0.3, 3.0, 0.1, 10.0)  # of the recipe's rate, in the order in which they are tried
# Fields of `Config.training` that hold a method's rate. The spotter's autoencoder keeps its own.
RATES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(PRETEXTS, ("discriminator_learning_rate",)),
    **dict.fromkeys(GAMES, ("discriminator_learning_rate", "repair_learning_rate")),
    "autoencoder": ("autoencoder_learning_rate",),
    **dict.fromkeys(UNTRAINED, ()),
}


def check_trials(trials: int) -> None:
    """Refuse a number of trials that there are no rates for."""
    if not 1 <= trials <= len(FACTORS):
        raise UserError(
            f"--trials must be from 1 to {len(FACTORS)}: the recipe's learning rate times "
            f"{', '.join(f'{factor:g}' for factor in FACTORS)}, in this order; received: {trials}"
        )


def scaled(config: Config, method: str, factor: float) -> Config:
    """Return the recipe with the method's learning rate multiplied by `factor`."""
    return config.replace(**{f"training.{name}": factor * getattr(config.training, name) for name in RATES[method]})


def factors(method: str, trials: int) -> tuple[float, ...]:
    """Return the factors that a method is tried with: one alone where it has no learning rate."""
    return FACTORS[: trials if RATES[method] else 1]


def choose_rate(
    method: str,
    config: Config,
    source: Source,
    folder: Path,
    budget: Budget,
    trials: int,
    table: Table,
) -> dict[str, Any] | None:
    """Train a method at several learning rates and return the best.

    Finished trials are not run again; one that was stopped goes on from its newest checkpoint.

    Args:
        method: one of `METHODS`.
        config: the recipe, with the first seed.
        source: labelled photos.
        folder: of the comparison. If the method has no row yet, the best trial's run folder becomes it.
        budget: of every trial.
        trials: how many, at most one per entry of `FACTORS`.
        table: whose progress is told, and whose `failed` gets the trials that stopped by an error.

    Returns:
        "factor" of the rate, and "trials": {factor: accuracy in percent, None where the loss was not finite}; None
        while a trial is unfinished, or if none has an accuracy.
    """
    found = Table(table.on_progress)
    for factor in factors(method, trials):
        path = folder / "trials" / f"{method}-x{factor:g}"
        changed = scaled(config, method, factor)
        made_with = {"config": changed.to_dict(), "data": source.name, "budget": dataclasses.asdict(budget)}
        row = Row(path.name, changed, path, path.parent / f"{path.name}.json", made_with, source.fingerprint)
        found.add(row, partial(_try, method, row, source, budget))
    if found.failed:  # they are tried again by the next command: until then nothing is chosen
        table.failed.update(found.failed)
        return None
    values = {name.rpartition("-x")[2]: results[0]["value"] for name, results in found.results.items()}
    judged = {factor: value for factor, value in values.items() if value is not None}
    if not judged:
        table.failed.setdefault(f"{method}-{config.training.seed}", "no learning rate gave features to judge")
        return None
    best = max(judged, key=lambda factor: judged[factor])
    _keep(folder, method, best, config.training.seed)
    return {"factor": float(best), "trials": values}


def _try(method: str, row: Row, source: Source, budget: Budget, on_progress: Progress | None) -> Result:
    head: Result = {"task": "compare-trial", "method": method, "data": source.name, "seed": row.config.training.seed}
    head |= {"metric": "accuracy", "unit": "percent"}
    settings = {"budget": dataclasses.asdict(budget), "config": row.config.to_dict()}
    try:
        trained = train_row(method, row.config, source, row.folder, budget, on_progress)
    except NonFiniteLoss as error:  # too high a rate, which is an answer
        return head | {"value": None, "says": str(error)} | settings | provenance()
    judged = {name: read_curve(row.folder)[-1][name] for name in ("value", "layer", "stderr")}
    cost = {"images_seen": trained.images_seen, "seconds": round(trained.seconds, 3)}
    return head | judged | cost | settings | provenance()


def _keep(folder: Path, method: str, best: str, seed: int) -> None:
    """Make the best trial's run folder the row's, and drop the checkpoints of the others."""
    chosen, row = folder / "trials" / f"{method}-x{best}", folder / f"{method}-{seed}"
    if chosen.is_dir() and not row.exists():
        chosen.rename(row)
    for checkpoints in (folder / "trials").glob(f"{method}-x*/checkpoints"):
        shutil.rmtree(checkpoints)
