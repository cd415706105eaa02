"""Weights & Biases: one W&B run per stage, in a group of the run folder's name."""

from __future__ import annotations

import os
from typing import Any

import keras

from tf_spot.errors import UserError
from tf_spot.training.trackers.tracker import Ending, Stage

PROJECT = "tf_spot"  # unless WANDB_PROJECT names another
EXIT_CODES: dict[Ending, int] = {"finished": 0, "failed": 1, "stopped": 130}


class WeightsAndBiases:
    """Through `WandbMetricsLogger`; settings such as WANDB_MODE=offline are W&B's own.

    Raises:
        UserError: a W&B run is open in this process, or W&B is online and knows no key.
    """

    name = "wandb"

    def __init__(self) -> None:
        import wandb

        self._wandb: Any = wandb
        self._run: Any = None
        if wandb.run is not None:
            raise UserError(
                f"--tracker wandb opens its own runs; received: {wandb.run.id}, which is open; close it with "
                "wandb.finish(), or give a callback of your own instead"
            )
        _check_login(wandb)

    def begin(self, stage: Stage) -> tuple[str, keras.callbacks.Callback]:
        """Open the W&B run of a stage."""
        from wandb.integration.keras import WandbMetricsLogger

        self._run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            group=stage.folder.name,
            job_type=stage.name,
            name=stage.title,
            id=stage.tracked,
            resume="allow",
        )
        # A stage that was extended has more steps than before.
        self._run.config.update(stage.facts | {"folder": str(stage.folder)}, allow_val_change=True)
        return str(self._run.id), WandbMetricsLogger()

    def end(self, ending: Ending) -> None:
        """Close the W&B run."""
        run, self._run = self._run, None
        if run is not None:
            run.finish(exit_code=EXIT_CODES[ending])


def _check_login(wandb: Any) -> None:
    """Find out before the photos are read whether W&B will refuse."""
    if os.environ.get("WANDB_MODE", "online") not in ("online", "shared"):
        return
    try:
        known = wandb.login()
    except Exception as error:
        reason = str(error)
    else:
        if known:
            return
        reason = "no key"
    raise UserError(
        f"--tracker wandb needs a login; received: {reason}; run wandb login, set WANDB_API_KEY, or set "
        "WANDB_MODE=offline"
    )
