"""A stage: which callbacks act in which order, how `fit` is split into epochs, where a resumed stage begins."""

import logging
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.grey_photos import open_folder, write
from tests.support.toy_stage import BATCH, STEPS_PER_EPOCH, TOTAL, Toy, ToyStage
from tf_spot.config import PAPER, preset
from tf_spot.data.photo_cache import decode_all
from tf_spot.ops.registry import training_images
from tf_spot.runs.run import Run
from tf_spot.training import stage as module
from tf_spot.training.callbacks import Checkpoints, CountSteps
from tf_spot.training.interrupts import Signals
from tf_spot.training.position import Position
from tf_spot.training.stage import Session


class Photos:
    """A source of blank photos, `held_out` of them kept from training; notes the steps it is opened at."""

    spec, has_labels = "folder:blank", False

    def __init__(self, held_out=3):
        self.blank = tf.data.Dataset.from_tensors(tf.zeros((8, 8, 3)))
        self.number, self.opened = held_out, []
        self.views = SimpleNamespace(cache=None)

    def held_out(self, batch_size):
        return self.blank.repeat(self.number).take(self.number).batch(batch_size)

    def images(self, split, batch_size):
        return self.blank.batch(batch_size)

    def unlabelled(self, batch_size, *, seed, first_step, images_before=None):
        self.opened.append((batch_size, seed, first_step))
        return self.blank


class Worker:
    """The strategy of one of two workers."""

    def __init__(self, index):
        spec = tf.train.ClusterSpec({"worker": ["a:1", "b:2"]})
        self.cluster_resolver = SimpleNamespace(task_id=index, cluster_spec=lambda: spec)


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "run", preset("tiny").replace(**{"training.seed": 7}), {})


def session(run, **changes):
    return Session(run, Photos(), tf.distribute.get_strategy(), Signals())._replace(**changes)


def position(stage="spotter", step=0):
    return Position(stage, TOTAL, STEPS_PER_EPOCH, BATCH, step=step)


def callbacks_of(given, at):
    return module._callbacks(given, at, Checkpoints(at, given.run.checkpoints(at.stage), 2))


def names(callbacks):
    return [type(callback).__name__ for callback in callbacks]


# --- callbacks --------------------------------------------------------------------------------------------------------

COUNT, RECORD = ["CountSteps", "FiniteLoss"], ["PictureGrid", "MetricsLog"]
SAVE = ["RecordBadFiles", "Checkpoints"]


@pytest.mark.parametrize(
    ("stage", "health"),
    [("autoencoder", ["HeldOutReconstruction"]), ("spotter", ["HealthSignals", "RepairSignals", "Projector"])],
)
def test_measures_come_before_records_and_saving_and_stopping_last(run, stage, health):
    """Health signals join the logs that `MetricsLog` writes, and a user's callback sees all of them."""
    watcher = keras.callbacks.Callback()
    asked = []

    def of_stage(name):
        asked.append(name)
        return [watcher]

    given = session(run, callbacks=of_stage, on_progress=lambda *_: None)
    callbacks = callbacks_of(given, position(stage))
    assert names(callbacks) == [*COUNT, *health, *RECORD, "Callback", "ReportProgress", *SAVE, "StopOnSignal"]
    assert asked == [stage] and watcher in callbacks
    listed = callbacks_of(session(run, callbacks=[watcher]), position(stage))
    assert watcher in listed and "ReportProgress" not in names(listed)


@pytest.mark.parametrize("linear", [True, False])
def test_the_recipe_says_whether_there_is_a_linear_probe(linear, tmp_path):
    config = preset("tiny").replace(**{"training.linear_probe": linear})
    callbacks = callbacks_of(session(Run.create(tmp_path / "run", config, {})), position("spotter"))
    (health,) = [callback for callback in callbacks if type(callback).__name__ == "HealthSignals"]
    assert health.linear is linear


def test_lines_of_metrics_are_told(run):
    told = []
    callbacks = callbacks_of(session(run, on_epoch=told.append), position("spotter"))
    (record,) = [callback for callback in callbacks if type(callback).__name__ == "MetricsLog"]
    record.on_epoch({"stage": "spotter"})
    assert told == [{"stage": "spotter"}]


def test_only_the_chief_records_and_writes(run):
    def callbacks(worker):
        given = session(run, strategy=Worker(worker), callbacks=[keras.callbacks.Callback()])
        return callbacks_of(given, position("autoencoder"))

    assert names(callbacks(1)) == [*COUNT, SAVE[-1], "StopOnSignal"]
    assert names(callbacks(0)) == [*COUNT, "HeldOutReconstruction", *RECORD, "Callback", *SAVE, "StopOnSignal"]


def test_without_held_out_photos_there_are_no_health_signals(run, caplog):
    with caplog.at_level(logging.WARNING, "tf_spot"):
        callbacks = callbacks_of(session(run, source=Photos(held_out=0)), position())
    assert names(callbacks) == [*COUNT, *RECORD, *SAVE, "StopOnSignal"]
    assert "folder:blank is too small to hold photos out of training" in caplog.text


@pytest.mark.parametrize("worker", [0, 1])
def test_checkpoints_come_as_the_recipe_says_and_from_the_chief(run, monkeypatch, worker):
    made = []

    def stop(_, model, at, callbacks):
        made.append((at, callbacks[-2]))
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_fit", stop)
    monkeypatch.setattr(module, "agree", lambda *_: None)
    monkeypatch.setattr(module, "resume", lambda *_, **__: {"means": {"value": [1.0]}})
    with pytest.raises(KeyboardInterrupt):
        module.train_stage(session(run, strategy=Worker(worker)), "spotter", None)
    ((at, checkpoint),) = made
    training = run.config.training
    assert (at.checkpoint_steps, at.check_steps, at.total_steps) == (
        training.checkpoint_steps, module.CHECK_STEPS, training.spotter_steps,
    )  # fmt: skip
    assert (checkpoint.keep, checkpoint.writes) == (training.keep_checkpoints, worker == 0)
    assert checkpoint.means == {"value": [1.0]} and checkpoint.folder == run.checkpoints("spotter")


# --- epochs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "expected"),
    [  # (initial_epoch, epochs, steps_per_epoch) of each `fit`; a stage of ten steps, four an epoch
        (0, [(0, 2, 4), (2, 3, 2)]),
        (4, [(1, 2, 4), (2, 3, 2)]),
        (6, [(1, 2, 2), (2, 3, 2)]),
        (9, [(2, 3, 1)]),
        (10, []),
    ],
)
def test_a_broken_off_epoch_is_finished_then_whole_ones_then_the_rest(run, first, expected):
    at, calls, source = position(step=first), [], Photos()

    def fit(stream, *, initial_epoch, epochs, steps_per_epoch, **_):
        calls.append((initial_epoch, epochs, steps_per_epoch))
        at.step += (epochs - initial_epoch) * steps_per_epoch

    model = SimpleNamespace(fit=fit, steps_per_execution=1, distribute_strategy=tf.distribute.get_strategy())
    module._fit(session(run, source=source), model, at, [])
    assert calls == expected and at.step == TOTAL
    opened = [first_step for _, _, first_step in source.opened]
    assert opened == [first, *([8] if first < 8 else [])][: len(expected)], "where the last one ended"
    assert {words[:2] for words in source.opened} <= {(BATCH, 7)}, "the batch size and the run's seed"


# --- resuming ---------------------------------------------------------------------------------------------------------


def toy():
    model = Toy()
    model.compile(keras.optimizers.SGD(1.0), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def test_a_new_stage_begins_at_step_0(run):
    at = position()
    assert module.resume(run, at, toy()) == {} and at.step == 0


def test_a_damaged_checkpoint_is_passed_over_and_what_came_after_the_good_one_forgotten(tmp_path, caplog):
    trained = ToyStage(tmp_path, every=3)
    trained.fit()
    assert trained.saved() == [9, 10]
    (trained.folder / "step-00000010" / "state.json").write_text("{}")
    at, model = position(), toy()
    with caplog.at_level(logging.WARNING, "tf_spot"):
        state = module.resume(trained.run, at, model)
    assert at.step == state["step"] == 9 and at.seconds == state["seconds"] > 0
    assert float(model.weight) == sum(range(1, 10)), "the weight after step 9"
    assert trained.saved() == [9]
    assert [step for _, step, _ in trained.lines()] == [4, 8]
    assert "step-00000010: state.json differ" in caplog.text and "goes on from step 9" in caplog.text


def test_another_worker_resumes_but_leaves_the_folder_to_the_chief(tmp_path):
    trained = ToyStage(tmp_path, every=3)
    trained.fit()
    (trained.folder / "step-00000010" / "state.json").write_text("{}")
    at = position()
    module.resume(trained.run, at, toy(), writes=False)
    assert at.step == 9 and trained.saved() == [9, 10] and len(trained.lines()) == 3


# --- photos on the device ---------------------------------------------------------------------------------------------


class Weighed(keras.Model):
    """One weight, the sum of all images that it was trained on."""

    def __init__(self):
        super().__init__()
        self.weight = self.add_weight(shape=(8, 8, 3), initializer="zeros", name="weight")
        self.to_images = training_images
        self.built = True

    def train_step(self, data):
        self.weight.assign_add(tf.reduce_sum(self.to_images(data), axis=0))
        return {"sum": tf.reduce_sum(self.weight)}


def test_photos_on_the_device_train_like_those_of_files(run, tmp_path):
    """From a step in the middle of an epoch on."""
    write(tmp_path / "photos", *range(0, 240, 20))
    weights = {}
    for place in (None, "host", "device"):
        source = open_folder(tmp_path / "photos", config=PAPER.data)
        source.views.cache = decode_all(source.views.split, place, 1 << 20) if place else None
        model, at = Weighed(), position(step=3)
        model.compile(jit_compile=False)
        module._fit(session(run, source=source), model, at, [CountSteps(at)])
        weights[place] = model.weight.numpy()
    assert weights[None].all()
    np.testing.assert_array_equal(weights["host"], weights[None])
    np.testing.assert_array_equal(weights["device"], weights[None])
