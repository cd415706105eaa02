"""Callbacks around a toy model under plain `fit`."""

import json
import math
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_spot.config import preset
from tf_spot.runs import checkpoints
from tf_spot.runs.load import optimizers
from tf_spot.runs.run import Run
from tf_spot.training import callbacks as cb
from tf_spot.training.interrupts import Interrupted, Signals, StopOnSignal

STEPS_PER_EPOCH, TOTAL, BATCH = 4, 10, 2


class Toy(keras.Model):
    """One weight that each step moves by `rate` times the batch's mean; logs the mean of that mean."""

    def __init__(self, rate=1.0):
        super().__init__()
        self.weight = self.add_weight(shape=(), initializer="zeros", name="weight")
        self.rate = rate
        self.mean = keras.metrics.Mean(name="value")
        self.built = True

    @property
    def metrics(self):
        return [self.mean]

    def train_step(self, images):
        value = tf.reduce_mean(images)
        self.optimizer.apply([-self.rate * value], [self.weight])
        self.mean.update_state(value)
        return {"value": self.mean.result()}


class Fixture:
    """A run, a toy and the callbacks of a stage, fed with the values 1, 2, 3, ..."""

    def __init__(self, path, *, every=100, rate=1.0, values=None):
        self.run = Run.create(path / "run", preset("tiny"), {"spec": "s", "fingerprint": "f", "counts": {}})
        self.folder = self.run.checkpoints("spotter")
        self.values = np.arange(1, TOTAL + 1) if values is None else np.asarray(values)
        self.every, self.rate = every, rate

    def fit(self, extra=(), first=0, means=None, signals=None):
        position = cb.Position("spotter", TOTAL, STEPS_PER_EPOCH, BATCH, step=first)
        checkpoint = cb.CheckpointEverySteps(position, self.folder, self.every, keep=2, means=means)
        writer = tf.summary.create_file_writer(str(self.run.path / "tensorboard"))
        callbacks = [
            cb.CountSteps(position),
            cb.FiniteLoss(position, self.folder),
            *extra,
            cb.MetricsLog(position, self.run, writer),
            checkpoint,
            StopOnSignal(position, signals or Signals(), checkpoint),
        ]
        self.model = Toy(self.rate)
        self.model.compile(keras.optimizers.SGD(1.0), jit_compile=False)
        self.model.optimizer.build(self.model.trainable_variables)
        images = np.repeat(self.values[first:], BATCH).astype(np.float32).reshape(-1, 1)
        data = tf.data.Dataset.from_tensor_slices(images).batch(BATCH)
        done = first % STEPS_PER_EPOCH
        while position.step < TOTAL:
            steps = min(STEPS_PER_EPOCH - done, TOTAL - position.step)
            stream = data.skip(position.step - first)
            self.model.fit(stream, steps_per_epoch=steps, callbacks=callbacks, shuffle=False, verbose=0)
            done = 0
        return position

    def lines(self):
        return [(line["epoch"], line["step"], line["value"]) for line in self.run.metrics()]

    def saved(self):
        return sorted(int(entry.name[5:]) for entry in self.folder.glob("step-*"))


def test_position_knows_epochs_and_their_ends():
    ends = [cb.Position("spotter", 10, 4, 1, step=s).at_epoch_end for s in range(1, 11)]
    assert [s for s, end in enumerate(ends, start=1) if end] == [4, 8, 10]
    assert [cb.Position("spotter", 10, 4, 1, step=s).epoch for s in (1, 4, 5, 8, 9, 10)] == [1, 1, 2, 2, 3, 3]
    every_second = [cb.Position("spotter", 10, 4, 1, step=s).every(2) for s in (4, 8, 10)]
    assert every_second == [False, True, True]  # the last epoch counts always


def test_one_line_of_metrics_an_epoch_with_its_own_mean(tmp_path):
    fixture = Fixture(tmp_path)
    fixture.fit()
    lines = fixture.run.metrics()
    assert [(line["step"], line["value"]) for line in lines] == [(4, 2.5), (8, 6.5), (10, 9.5)]
    assert [line["images_seen"] for line in lines] == [8, 16, 20]
    assert all(line["stage"] == "spotter" and line["learning_rate"] == 1.0 for line in lines)
    assert all(line["images_per_second"] > 0 for line in lines)
    assert lines[0]["seconds"] < lines[1]["seconds"] < lines[2]["seconds"]


def test_tensorboard_holds_the_same_numbers(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fixture = Fixture(tmp_path)
    fixture.fit()
    events = EventAccumulator(str(fixture.run.path / "tensorboard"))
    events.Reload()
    values = [(e.step, tf.make_ndarray(e.tensor_proto).item()) for e in events.Tensors("value")]
    assert values == [(4, 2.5), (8, 6.5), (10, 9.5)]


def test_checkpoints_come_every_so_many_steps_and_at_the_end(tmp_path):
    steps = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            steps.append(fixture.saved())

    fixture = Fixture(tmp_path, every=3)
    fixture.fit([Look()])
    assert steps[3] == [3] and steps[6] == [3, 6] and steps[9] == [6, 9]  # as seen before steps 4, 7, 10
    assert fixture.saved() == [9, 10]


def test_a_checkpoint_at_the_end_of_an_epoch_comes_after_its_line(tmp_path):
    """Else a kill between the two would lose the line for good."""
    seen = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append((len(fixture.lines()), fixture.saved()))

    fixture = Fixture(tmp_path, every=4)
    fixture.fit([Look()])
    assert seen[3] == (0, [])  # step 4 done, neither written
    assert seen[4] == (1, [4])  # both, one step later


def test_an_epoch_gone_on_with_keeps_what_it_had_summed_up(tmp_path):
    whole = Fixture(tmp_path / "whole")
    whole.fit()
    broken = Fixture(tmp_path / "broken", every=6)
    broken.fit()
    state = json.loads((broken.folder / "step-00000006" / "state.json").read_text())
    assert state["means"] == {"value": [5.0 + 6.0, 2.0]}
    broken.run.truncate_metrics("spotter", 6)
    position = broken.fit(first=6, means=state["means"])
    assert [line[2] for line in broken.lines()] == [line[2] for line in whole.lines()]
    assert position.step == TOTAL


def test_a_loss_that_is_not_finite_stops_at_its_step_with_the_last_good_checkpoint(tmp_path):
    values = [1, 2, 3, 4, 5, math.nan, 7, 8, 9, 10]
    fixture = Fixture(tmp_path, every=1, values=values)
    with pytest.raises(cb.NonFiniteLoss, match=r"step 6 of stage spotter: value = nan.*step-00000005") as error:
        fixture.fit()
    assert "learning rate" in str(error.value)
    assert fixture.saved() == [4, 5]


def test_weights_that_are_not_finite_are_never_saved_though_the_loss_is(tmp_path):
    fixture = Fixture(tmp_path, every=2, rate=math.inf)
    with pytest.raises(cb.NonFiniteLoss, match="step 2 .*weight is not finite.*none yet"):
        fixture.fit()
    assert fixture.saved() == []


def test_all_optimizers_of_a_model_are_found():
    model = Toy()
    model.compile(keras.optimizers.SGD(1.0))
    model.second = keras.optimizers.Adam(1.0)
    assert {type(o).__name__ for o in optimizers(model)} == {"SGD", "Adam"}


class SignalAt(keras.callbacks.Callback):
    """Sends this process a real signal during a step."""

    def __init__(self, number, at):
        super().__init__()
        self.number, self.at, self.step = number, at, 0

    def on_train_batch_begin(self, batch, logs=None):
        self.step += 1
        if self.step == self.at:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_step_under_way_and_stops(tmp_path, number, exit_code):
    before = signal.getsignal(number)
    fixture = Fixture(tmp_path)
    with Signals() as signals, pytest.raises(Interrupted, match=number.name) as stop:
        signals.training = True
        fixture.fit([SignalAt(number, 6)], signals=signals)
    assert stop.value.exit_code == exit_code
    assert fixture.saved() == [6]
    assert [line[1] for line in fixture.lines()] == [4]
    assert signal.getsignal(number) is before


def test_a_signal_in_the_last_step_of_an_epoch_still_writes_its_line(tmp_path):
    fixture = Fixture(tmp_path)
    with Signals() as signals, pytest.raises(Interrupted):
        signals.training = True
        fixture.fit([SignalAt(signal.SIGTERM, 4)], signals=signals)
    assert fixture.saved() == [4] and [line[1] for line in fixture.lines()] == [4]


def test_a_signal_outside_training_or_a_second_one_stops_at_once():
    with Signals() as signals:
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
        signals.training = True
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.received == signal.SIGINT
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGINT)


def test_progress_is_told_after_every_step(tmp_path):
    told = []
    position = cb.Position("autoencoder", 5, 5, 2)
    report = cb.ReportProgress(position, lambda done, total, text: told.append((done, total, text.split()[0])))
    for position.step in (1, 2):
        position.rate = 10.0
        report.on_train_batch_end(0)
    assert told == [(1, 5, "autoencoder"), (2, 5, "autoencoder")]


def test_checkpoint_state_names_the_stage_and_the_seconds(tmp_path):
    fixture = Fixture(tmp_path)
    position = fixture.fit()
    good, _ = checkpoints.newest_good(fixture.folder)
    assert (good.step, good.state["stage"]) == (TOTAL, "spotter")
    assert good.state["seconds"] == position.seconds > 0
