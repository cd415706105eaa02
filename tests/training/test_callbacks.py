"""Callbacks around a toy model under plain `fit`."""

import json
import math
import threading
import time

import h5py
import keras
import pytest
import tensorflow as tf

from tests.support.toy_stage import TOTAL, Toy, ToyStage
from tf_spot.errors import UserError
from tf_spot.runs import checkpoints
from tf_spot.training import callbacks as cb
from tf_spot.training.position import Position


def test_one_line_of_metrics_an_epoch_with_its_own_mean(tmp_path):
    stage = ToyStage(tmp_path)
    stage.fit()
    lines = stage.run.metrics()
    assert [(line["step"], line["value"]) for line in lines] == [(4, 2.5), (8, 6.5), (10, 9.5)]
    assert [line["images_seen"] for line in lines] == [8, 16, 20]
    assert all(line["stage"] == "spotter" and line["learning_rate"] == 1.0 for line in lines)
    assert all(line["images_per_second"] > 0 for line in lines)
    assert lines[0]["seconds"] < lines[1]["seconds"] < lines[2]["seconds"]


def test_tensorboard_holds_the_same_numbers(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    stage = ToyStage(tmp_path)
    stage.fit()
    events = EventAccumulator(str(stage.run.path / "tensorboard"))
    events.Reload()
    values = [(e.step, tf.make_ndarray(e.tensor_proto).item()) for e in events.Tensors("health/value")]
    assert values == [(4, 2.5), (8, 6.5), (10, 9.5)]
    rates = {"rate/learning_rate", "rate/images_per_second", "rate/seconds"}
    assert set(events.Tags()["tensors"]) == {"health/value"} | rates


def test_an_epochs_line_is_told_once_it_is_written(tmp_path):
    told = []
    run = ToyStage(tmp_path).run
    position = Position("spotter", 10, 5, 2, step=5)
    record = cb.MetricsLog(position, run, tf.summary.create_file_writer(str(tmp_path)), told.append)
    record.set_model(Toy())
    record.model.compile(keras.optimizers.SGD(0.5))
    record.on_epoch_end(0, {"mask_loss": 0.25})
    assert told[0]["stage"] == "spotter" and told[0]["mask_loss"] == 0.25 and told[0]["learning_rate"] == 0.5
    assert {name: value for name, value in told[0].items() if name != "images_per_second"}.items() <= (
        run.metrics()[0].items()
    )


def test_checkpoints_come_every_so_many_steps_and_at_the_end(tmp_path):
    steps = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            stage.checkpoint.wait()
            steps.append(stage.saved())

    stage = ToyStage(tmp_path, every=3)
    stage.fit([Look()])
    assert steps[3] == [3] and steps[6] == [3, 6] and steps[9] == [6, 9]  # as seen before steps 4, 7, 10
    assert stage.saved() == [9, 10]


def test_a_checkpoint_at_the_end_of_an_epoch_comes_after_its_line(tmp_path):
    """Else a kill between the two would lose the line for good."""
    seen = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            stage.checkpoint.wait()
            seen.append((len(stage.lines()), stage.saved()))

    stage = ToyStage(tmp_path, every=4)
    stage.fit([Look()])
    assert seen[3] == (0, [])  # step 4 done, neither written
    assert seen[4] == (1, [4])  # both, one step later


def test_an_epoch_gone_on_with_keeps_what_it_had_summed_up(tmp_path):
    whole = ToyStage(tmp_path / "whole")
    whole.fit()
    broken = ToyStage(tmp_path / "broken", every=6)
    broken.fit()
    state = json.loads((broken.folder / "step-00000006" / "state.json").read_text())
    assert state["means"] == {"value": [5.0 + 6.0, 2.0]}
    broken.run.truncate_metrics("spotter", 6)
    position = broken.fit(first=6, means=state["means"])
    assert [line[2] for line in broken.lines()] == [line[2] for line in whole.lines()]
    assert position.step == TOTAL


def test_a_loss_that_is_not_finite_stops_at_its_step_with_the_last_good_checkpoint(tmp_path):
    values = [1, 2, 3, 4, 5, math.nan, 7, 8, 9, 10]
    stage = ToyStage(tmp_path, every=1, values=values)
    with pytest.raises(cb.NonFiniteLoss, match=r"at step 6 of stage spotter: value = nan.*step-0000000[45]") as error:
        stage.fit()
    assert "learning rate" in str(error.value)
    assert stage.saved() == [4, 5]


@pytest.mark.parametrize(
    ("every", "found"),
    [
        (100, "one of steps 5 to 8"),  # at the end of the epoch
        (7, "one of steps 5 to 7"),  # before the next checkpoint
        (6, "one of steps 5 to 6"),
    ],
)
def test_a_loss_looked_at_now_and_then_stops_before_anything_is_saved(tmp_path, every, found):
    values = [1, 2, 3, 4, 5, math.inf, 7, 8, 9, 10]
    stage = ToyStage(tmp_path, every=every, values=values, check_steps=100)
    with pytest.raises(cb.NonFiniteLoss, match=f"received at {found} of stage spotter: value = inf"):
        stage.fit()
    assert stage.saved() == [] and [line[1] for line in stage.lines()] == [4]


def test_losses_are_fetched_at_every_look_and_no_more_often(tmp_path):
    asked = []

    class Counted(float):
        def __float__(self):
            asked.append(position.step)
            return 1.0

    position = Position("spotter", 30, 15, 2, check_steps=10)
    count = cb.CountSteps(position)
    for batch in range(30):
        count.on_train_batch_begin(batch % 15)
        count.on_train_batch_end(batch % 15, {"value": Counted()})
    assert asked == [1, 10, 15, 20, 30], "the first, every tenth, and at the end of an epoch"
    assert position.step == 30 and position.rate > 0 and position.seconds > 0


def test_what_went_wrong_with_a_checkpoint_is_raised_at_the_next_step(tmp_path, monkeypatch):
    def full(*_):
        raise UserError("a checkpoint needs 8 bytes")

    monkeypatch.setattr(checkpoints, "write", full)
    stage = ToyStage(tmp_path, every=2)

    class Look(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 2:
                while not stage.checkpoint._writing.done():
                    time.sleep(0.001)

    with pytest.raises(UserError, match="a checkpoint needs 8 bytes"):
        stage.fit([Look()])
    assert stage.model.optimizer.iterations == 3


def test_training_goes_on_while_a_checkpoint_of_an_earlier_step_is_written(tmp_path, monkeypatch):
    """The file has the weight of step 3, though it is written after step 5 was done."""
    begun, go = threading.Event(), threading.Event()
    write = checkpoints.write

    def slowly(*arguments):
        begun.set()
        assert go.wait(20)
        write(*arguments)

    monkeypatch.setattr(checkpoints, "write", slowly)
    stage = ToyStage(tmp_path, every=3)
    weights = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            weights.append(float(stage.model.weight))
            if len(weights) == 5:
                assert begun.is_set() and stage.saved() == []
                go.set()
                stage.checkpoint.wait()
                with h5py.File(stage.folder / "step-00000003" / "model.weights.h5") as file:
                    arrays = []
                    file.visititems(lambda _, entry: arrays.append(entry[()]) if hasattr(entry, "shape") else None)
                assert 6.0 in arrays and weights[-1] == 15.0

    stage.fit([Look()])
    assert len(weights) == TOTAL and stage.saved() == [9, 10]


def test_weights_that_are_not_finite_are_never_saved_though_the_loss_is(tmp_path):
    stage = ToyStage(tmp_path, every=2, rate=math.inf)
    with pytest.raises(cb.NonFiniteLoss, match="at step 2 .*weight is not finite.*none yet"):
        stage.fit()
    assert stage.saved() == []


def test_progress_is_told_after_every_step(tmp_path):
    told = []
    position = Position("autoencoder", 5, 5, 2)
    report = cb.ReportProgress(position, lambda done, total, text: told.append((done, total, text.split()[0])))
    for position.step in (1, 2):
        position.rate = 10.0
        report.on_train_batch_end(0)
    assert told == [(1, 5, "autoencoder"), (2, 5, "autoencoder")]


def test_checkpoint_state_names_the_stage_and_the_seconds(tmp_path):
    stage = ToyStage(tmp_path)
    position = stage.fit()
    good, _ = checkpoints.newest_good(stage.folder)
    assert (good.step, good.state["stage"]) == (TOTAL, "spotter")
    assert good.state["seconds"] == position.seconds > 0


def test_bad_files_are_listed_whenever_a_checkpoint_is_due(tmp_path):
    """Photos read before a checkpoint are not read again after a kill."""

    class Source:
        @property
        def bad_files(self):
            return [f"{position.step:02}.jpg: bad"]

    run = ToyStage(tmp_path).run
    position = Position("spotter", total_steps=10, steps_per_epoch=5, batch_size=2, checkpoint_steps=3)
    record = cb.RecordBadFiles(position, run, Source())
    for position.step in range(1, 11):
        record.at_safe_point()
    assert (run.path / "bad_files.txt").read_text() == "03.jpg: bad\n06.jpg: bad\n09.jpg: bad\n10.jpg: bad\n"
