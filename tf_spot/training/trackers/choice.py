"""Which tracker is wanted, and whether it is there: known before anything is read."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from tf_spot.config import TRACKERS
from tf_spot.errors import UserError

if TYPE_CHECKING:
    from tf_spot.training.trackers.tracker import Tracker


def check_tracker(name: str | None) -> None:
    """Check that a tracker is known and installed, without importing it.

    Args:
        name: one of `config.TRACKERS`, which are also the names of their packages; None: no tracker.

    Raises:
        UserError: it is not.
    """
    if name is None:
        return
    if name not in TRACKERS:
        raise UserError(f"--tracker must be {' or '.join(TRACKERS)}; received: {name}")
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:  # without a file: a folder of that name, as W&B itself makes one
        raise UserError(
            f"--tracker {name} needs the package {name}; received: none of that name is installed; install it with: "
            f"pip install tf-spot[{name}]"
        )


def open_tracker(name: str | None) -> Tracker | None:
    """Import a tracker and check that it can be used.

    Raises:
        UserError: it cannot.
    """
    check_tracker(name)
    if name is None:
        return None
    if name == "wandb":
        from tf_spot.training.trackers.weights_and_biases import WeightsAndBiases

        return WeightsAndBiases()
    from tf_spot.training.trackers.mlflow_runs import MlflowRuns

    return MlflowRuns()
