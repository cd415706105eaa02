"""Stages as tracked runs: begun, gone on with, ended; and a tracker's errors, which stop no training."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import keras
import pytest

from tests.support.toy_stage import ToyStage
from tf_spot.config import preset
from tf_spot.errors import UserError
from tf_spot.runs.run import Run
from tf_spot.training.trackers.tracker import Ending, Stage, Watched, flat, identities, tracked

DATA = {"spec": "folder:photos", "name": "photos", "fingerprint": "1f", "counts": {}}


class Listing(keras.callbacks.Callback):
    """A tracker's callback that keeps what it is called with."""

    def __init__(self, fails: bool = False) -> None:
        super().__init__()
        self.fails, self.seen = fails, []

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.seen.append((epoch, type(logs), dict(logs or {})))
        if self.fails:
            raise ConnectionError("no\n  network")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        raise AssertionError("steps are not passed on")


class Fake:
    """A tracker that numbers its runs."""

    name = "fake"

    def __init__(self, *, begins: bool = True, ends: bool = True, fails: bool = False) -> None:
        self.begins, self.ends, self.fails = begins, ends, fails
        self.begun: list[Stage] = []
        self.ended: list[Ending] = []
        self.callbacks: list[Listing] = []

    def begin(self, stage: Stage) -> tuple[str, keras.callbacks.Callback]:
        if not self.begins:
            raise PermissionError("not\nlogged in")
        self.begun.append(stage)
        self.callbacks.append(Listing(self.fails))
        return stage.tracked or f"run {len(self.begun)}", self.callbacks[-1]

    def end(self, ending: Ending) -> None:
        if len(self.ended) < len(self.begun):
            self.ended.append(ending)
            if not self.ends:
                raise ConnectionError("gone")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "mine", preset("tiny"), DATA)


def test_each_stage_is_a_run_of_its_own_with_the_configuration(run: Run) -> None:
    tracker = Fake()
    with tracked(tracker, run) as of_stage:
        assert len(of_stage("autoencoder")) == 1 and tracker.ended == []
        of_stage("spotter")
        assert tracker.ended == ["finished"]
    assert tracker.ended == ["finished", "finished"]
    first, second = tracker.begun
    assert (first.title, second.title) == ("mine-autoencoder", "mine-spotter")
    assert first.facts == run.config.to_dict() | {"photos": "folder:photos"} and first.tracked is None
    assert json.loads((run.path / "tracking.json").read_text()) == {
        "fake": {"autoencoder": "run 1", "spotter": "run 2"}
    }


def test_a_resumed_stage_goes_on_in_its_own_run(run: Run) -> None:
    with tracked(Fake(), run) as of_stage:
        of_stage("spotter")
    other = Fake()
    other.name = "other"
    with tracked(other, run) as of_stage:
        of_stage("spotter")
    again = Fake()
    with tracked(again, run) as of_stage:
        of_stage("spotter")
    assert again.begun[0].tracked == "run 1" and other.begun[0].tracked is None
    assert identities(run).keys() == {"fake", "other"}


def test_without_a_tracker_nothing_is_written(run: Run) -> None:
    with tracked(None, run) as of_stage:
        assert of_stage("spotter") == []
    assert not (run.path / "tracking.json").exists() and identities(run) == {}


@pytest.mark.parametrize(("error", "ending"), [(KeyboardInterrupt, "stopped"), (UserError, "failed")])
def test_a_run_tells_how_the_training_ended(error: type[BaseException], ending: str, run: Run) -> None:
    tracker = Fake()
    with pytest.raises(error), tracked(tracker, run) as of_stage:
        of_stage("spotter")
        raise error
    assert tracker.ended == [ending]


def test_a_tracker_that_cannot_begin_is_one_line(run: Run) -> None:
    with (
        pytest.raises(UserError, match="--tracker fake must be able to begin a run; received: PermissionError: not lo"),
        tracked(Fake(begins=False), run) as of_stage,
    ):
        of_stage("autoencoder")
    assert not (run.path / "tracking.json").exists()


def test_a_tracker_that_cannot_end_is_a_warning(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    with tracked(Fake(ends=False), run) as of_stage:
        of_stage("spotter")
    assert "fake could not end its run: ConnectionError: gone" in caplog.text


def test_the_callback_sees_every_epoch_with_all_metrics_and_no_step(tmp_path: Path) -> None:
    """After `MetricsLog`, so with the learning rate; and plain numbers, which a tracker can write as JSON."""
    stage, listing = ToyStage(tmp_path), Listing()
    stage.fit(last=[Watched(listing, "fake")])
    assert len(listing.seen) == 3
    lines = stage.run.metrics()
    for (_, kind, logs), line in zip(listing.seen, lines, strict=True):
        assert kind is dict and logs["value"] == line["value"] and logs["learning_rate"] == 1.0
        json.dumps(logs)


def test_an_error_of_a_tracker_is_told_once_and_the_training_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stage, listing = ToyStage(tmp_path), Listing(fails=True)
    with caplog.at_level(logging.WARNING, "tf_spot"):
        stage.fit(last=[Watched(listing, "fake")])
    assert len(listing.seen) == 1 and len(stage.run.metrics()) == 3
    (record,) = caplog.records
    assert record.getMessage().endswith("metrics.jsonl has everything: ConnectionError: no network")


def test_a_nested_configuration_becomes_dotted_names() -> None:
    assert flat({"preset": "tiny", "game": {"fill": "avg3", "gated": True}}) == {
        "preset": "tiny", "game.fill": "avg3", "game.gated": True,
    }  # fmt: skip
