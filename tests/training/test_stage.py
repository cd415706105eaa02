"""A stage: which callbacks act in which order, how `fit` is split into epochs, where a resumed stage begins."""

import logging
from types import SimpleNamespace

import keras
import pytest
import tensorflow as tf

from tests.support.toy_stage import BATCH, STEPS_PER_EPOCH, TOTAL, Toy, ToyStage
from tf_spot.config import preset
from tf_spot.runs.run import Run
from tf_spot.training import stage as module
from tf_spot.training.interrupts import Signals
from tf_spot.training.position import Position
from tf_spot.training.stage import Session


class Photos:
    """A source of blank photos, `held_out` of them kept from training; notes the steps it is opened at."""

    spec, has_labels = "folder:blank", False

    def __init__(self, held_out=3):
        self.blank = tf.data.Dataset.from_tensors(tf.zeros((8, 8, 3)))
        self.number, self.opened = held_out, []

    def held_out(self, batch_size):
        return self.blank.repeat(self.number).take(self.number).batch(batch_size)

    def images(self, split, batch_size):
        return self.blank.batch(batch_size)

    def unlabelled(self, batch_size, *, seed, first_step):
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


def names(callbacks):
    return [type(callback).__name__ for callback in callbacks]


# --- callbacks --------------------------------------------------------------------------------------------------------

COUNT, RECORD, SAVE = (
    ["CountSteps", "FiniteLoss"],
    ["PictureGrid", "MetricsLog"],
    ["RecordBadFiles", "CheckpointEverySteps"],
)


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
    callbacks = module._callbacks(given, position(stage), None)
    assert names(callbacks) == [*COUNT, *health, *RECORD, "Callback", "ReportProgress", *SAVE, "StopOnSignal"]
    assert asked == [stage] and watcher in callbacks
    listed = module._callbacks(session(run, callbacks=[watcher]), position(stage), None)
    assert watcher in listed and "ReportProgress" not in names(listed)


def test_only_the_chief_records_and_writes(run):
    def callbacks(worker):
        given = session(run, strategy=Worker(worker), callbacks=[keras.callbacks.Callback()])
        return module._callbacks(given, position("autoencoder"), None)

    assert names(callbacks(1)) == [*COUNT, SAVE[-1], "StopOnSignal"]
    assert names(callbacks(0)) == [*COUNT, "HeldOutReconstruction", *RECORD, "Callback", *SAVE, "StopOnSignal"]
    assert [callbacks(worker)[-2].writes for worker in (0, 1)] == [True, False]


def test_without_held_out_photos_there_are_no_health_signals(run, caplog):
    with caplog.at_level(logging.WARNING, "tf_spot"):
        callbacks = module._callbacks(session(run, source=Photos(held_out=0)), position(), None)
    assert names(callbacks) == [*COUNT, *RECORD, *SAVE, "StopOnSignal"]
    assert "folder:blank is too small to hold photos out of training" in caplog.text


def test_a_checkpoint_comes_as_the_recipe_says(run):
    checkpoint = module._callbacks(session(run), position(), {"value": [1.0]})[-2]
    training = run.config.training
    assert (checkpoint.every, checkpoint.keep) == (training.checkpoint_steps, training.keep_checkpoints)
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

    module._fit(session(run, source=source), SimpleNamespace(fit=fit), at, [])
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
    assert module._resume(session(run), at, toy()) == {} and at.step == 0


def test_a_damaged_checkpoint_is_passed_over_and_what_came_after_the_good_one_forgotten(tmp_path, caplog):
    trained = ToyStage(tmp_path, every=3)
    trained.fit()
    assert trained.saved() == [9, 10]
    (trained.folder / "step-00000010" / "state.json").write_text("{}")
    at, model = position(), toy()
    with caplog.at_level(logging.WARNING, "tf_spot"):
        state = module._resume(session(trained.run), at, model)
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
    module._resume(session(trained.run, strategy=Worker(1)), at, toy())
    assert at.step == 9 and trained.saved() == [9, 10] and len(trained.lines()) == 3
