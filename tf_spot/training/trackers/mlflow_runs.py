"""MLflow: one MLflow run per stage, in the experiment and at the address that MLflow is set to."""

from __future__ import annotations

from typing import Any

import keras

from tf_spot.training.trackers.tracker import Ending, Stage, flat

STATUS: dict[Ending, str] = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


class MlflowRuns:
    """Through `MlflowCallback`; MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME are MLflow's own settings."""

    name = "mlflow"

    def __init__(self) -> None:
        import mlflow

        self._mlflow: Any = mlflow
        self._open = False

    def begin(self, stage: Stage) -> tuple[str, keras.callbacks.Callback]:
        """Open the MLflow run of a stage, inside the caller's if one is open."""
        from mlflow.keras import MlflowCallback

        facts = flat(stage.facts)
        nested = self._mlflow.active_run() is not None
        goes_on = stage.tracked is not None and self._has(stage.tracked, facts)
        if goes_on:
            run = self._mlflow.start_run(run_id=stage.tracked, nested=nested)
        else:
            run = self._mlflow.start_run(run_name=stage.title, nested=nested)
        self._open = True
        if not goes_on:
            self._mlflow.log_params(facts)
            self._mlflow.set_tags({"tf_spot.run": str(stage.folder), "tf_spot.stage": stage.name})
        return run.info.run_id, MlflowCallback()

    def _has(self, identity: str, facts: dict[str, Any]) -> bool:
        """True if an MLflow run has these parameters, which are fixed: a stage that was extended has other ones."""
        recorded = self._mlflow.get_run(identity).data.params
        return all(recorded.get(name) == str(value) for name, value in facts.items())

    def end(self, ending: Ending) -> None:
        """Close the MLflow run."""
        if self._open:
            self._open = False
            self._mlflow.end_run(status=STATUS[ending])
