"""Weights & Biases, by a stand-in for the package."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.tracker_stand_ins import Wandb
from tf_spot.errors import UserError
from tf_spot.training.trackers.tracker import Stage
from tf_spot.training.trackers.weights_and_biases import WeightsAndBiases

FACTS: dict[str, Any] = {"preset": "tiny", "game": {"drop_rate": 0.5}}


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Wandb:
    for name in ("WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    return Wandb(monkeypatch)


def stage(name: str = "spotter", tracked: str | None = None) -> Stage:
    return Stage(name, Path("/runs/mine"), FACTS, tracked)


def test_a_stage_is_a_run_in_the_group_of_its_folder(wandb: Wandb) -> None:
    tracker = WeightsAndBiases()
    identity, callback = tracker.begin(stage())
    callback.on_epoch_end(0, {"mask_loss": 0.5})
    tracker.end("finished")
    run = wandb.runs[identity]
    assert run["settings"] == {
        "project": "tf_spot", "group": "mine", "job_type": "spotter", "name": "mine-spotter", "id": None,
        "resume": "allow",
    }  # fmt: skip
    assert run["config"] == FACTS | {"folder": "/runs/mine"}
    assert run["logged"] == [{"epoch/mask_loss": 0.5}] and run["exit_codes"] == [0]


def test_a_resumed_stage_has_the_same_identity(wandb: Wandb) -> None:
    tracker = WeightsAndBiases()
    identity, _ = tracker.begin(stage())
    tracker.end("stopped")
    assert tracker.begin(stage(tracked=identity))[0] == identity
    tracker.end("failed")
    tracker.end("finished")  # of no run
    assert wandb.runs[identity]["exit_codes"] == [130, 1] and len(wandb.runs) == 1


def test_the_project_is_that_of_the_environment(wandb: Wandb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "ours")
    identity, _ = WeightsAndBiases().begin(stage())
    assert wandb.runs[identity]["settings"]["project"] == "ours"


def test_without_a_key_it_is_refused_unless_it_is_offline(wandb: Wandb, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb.known = False
    with pytest.raises(UserError, match=r"needs a login; received: no key; run wandb login, .*WANDB_MODE=offline"):
        WeightsAndBiases()
    monkeypatch.setenv("WANDB_MODE", "offline")
    WeightsAndBiases()


def test_an_error_of_the_login_is_told(wandb: Wandb) -> None:
    def refuse(**_: Any) -> bool:
        raise RuntimeError("key too short")

    wandb.module.login = refuse
    with pytest.raises(UserError, match="received: key too short"):
        WeightsAndBiases()


def test_a_run_of_the_user_is_not_taken_over(wandb: Wandb) -> None:
    wandb.module.run = SimpleNamespace(id="theirs")
    with pytest.raises(UserError, match="received: theirs, which is open"):
        WeightsAndBiases()
