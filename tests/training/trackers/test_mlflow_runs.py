"""MLflow, by a stand-in for the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.tracker_stand_ins import Mlflow
from tf_spot.training.trackers.mlflow_runs import MlflowRuns
from tf_spot.training.trackers.tracker import Stage

FACTS: dict[str, Any] = {"preset": "tiny", "training": {"spotter_steps": 20}}


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Mlflow:
    return Mlflow(monkeypatch)


def stage(tracked: str | None = None, steps: int = 20) -> Stage:
    return Stage("spotter", Path("/runs/mine"), FACTS | {"training": {"spotter_steps": steps}}, tracked)


def test_a_stage_is_a_run_with_its_configuration(mlflow: Mlflow) -> None:
    tracker = MlflowRuns()
    identity, callback = tracker.begin(stage())
    callback.on_epoch_end(0, {"mask_loss": 0.5})
    assert mlflow.runs[identity]["status"] == "RUNNING"
    tracker.end("finished")
    tracker.end("finished")  # of no run
    assert mlflow.runs == {
        identity: {
            "name": "mine-spotter",
            "params": {"preset": "tiny", "training.spotter_steps": "20"},
            "tags": {"tf_spot.run": "/runs/mine", "tf_spot.stage": "spotter"},
            "metrics": [(0, {"mask_loss": 0.5})],
            "nested": False,
            "status": "FINISHED",
        }
    }


def test_a_resumed_stage_goes_on_in_its_run(mlflow: Mlflow) -> None:
    tracker = MlflowRuns()
    identity, _ = tracker.begin(stage())
    tracker.end("stopped")
    assert mlflow.runs[identity]["status"] == "KILLED"
    assert tracker.begin(stage(identity))[0] == identity
    tracker.end("failed")
    assert mlflow.runs[identity]["status"] == "FAILED" and len(mlflow.runs) == 1


def test_a_stage_that_was_extended_has_other_parameters_and_so_another_run(mlflow: Mlflow) -> None:
    tracker = MlflowRuns()
    first, _ = tracker.begin(stage())
    tracker.end("finished")
    second, _ = tracker.begin(stage(first, steps=30))
    assert second != first and mlflow.runs[second]["params"]["training.spotter_steps"] == "30"


def test_inside_a_run_of_the_user_it_is_nested_and_theirs_stays_open(mlflow: Mlflow) -> None:
    theirs = mlflow._start(run_name="theirs").info.run_id
    tracker = MlflowRuns()
    identity, _ = tracker.begin(stage())
    tracker.end("finished")
    assert mlflow.runs[identity]["nested"] and mlflow.stack == [theirs]
