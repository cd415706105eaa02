"""Several steps in one execution are the same as one by one, and logs stay on the device until they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.grey_photos import open_folder, write
from tf_spot.config import PAPER, preset
from tf_spot.distributed.strategies import make_strategy
from tf_spot.errors import UserError
from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.discriminator import Discriminator
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.runs.run import Run
from tf_spot.training import stage
from tf_spot.training.callbacks import Checkpoints
from tf_spot.training.interrupts import Signals, StopOnSignal
from tf_spot.training.position import Position
from tf_spot.training.step_loop import LazyLogs, execute_together, in_one_execution

BATCH, SIZE, TOTAL = 4, 16, 10


@pytest.mark.parametrize(
    ("most", "step", "checkpoints", "steps", "found"),
    [
        (1, 0, 100, 100, 1),
        (10, 0, 100, 100, 10),
        (10, 0, 781, 781, 1),
        (20, 0, 781, 781, 11),  # 781 = 11 x 71
        (8, 0, None, 12, 6),
        (8, 6, 12, 12, 6),
        (8, 5, 12, 12, 1),  # resumed at a step that no other number of steps leads on from
        (8, 12, 4, 12, 4),
        (50, 0, 100, 30, 10),
    ],
)
def test_an_execution_ends_where_something_is_to_be_done(
    most: int, step: int, checkpoints: int | None, steps: int, found: int
) -> None:
    at = Position("spotter", 10_000, steps, BATCH, step=step, checkpoint_steps=checkpoints)
    assert in_one_execution(most, at, steps) == found


def test_logs_are_fetched_once_and_only_when_asked_for() -> None:
    fetched = []

    class Scalar:
        def __init__(self, name: str) -> None:
            self.name = name

        def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
            fetched.append(self.name)
            return np.array(2.5, np.float32)

    logs = LazyLogs({"a": Scalar("a"), "b": Scalar("b"), "c": 1.0})
    assert list(logs) == ["a", "b", "c"] and len(logs) == 3 and fetched == []
    assert (logs["b"], logs["b"], logs["c"]) == (2.5, 2.5, 1.0) and fetched == ["b"]


def small_spotter() -> ArtifactSpotter:
    keras.utils.set_random_seed(3)
    autoencoder = Autoencoder(image_size=SIZE, width=0.25, levels=2)
    discriminator = Discriminator(
        image_size=SIZE, width=0.1, stem_kernel=3, stem_stride=1, trunk_norm="batch", norm_momentum=0.9,
        norm_epsilon=1e-3, fc_units=16, dropout_rate=0.5,
    )  # fmt: skip
    spotter = ArtifactSpotter(autoencoder, discriminator, history_batches=2)
    spotter.compile()
    return spotter


class Epochs(keras.callbacks.Callback):
    """The logs at the end of each epoch, and how many executions there were."""

    def __init__(self) -> None:
        super().__init__()
        self.logs: list[dict[str, float]] = []
        self.executions = 0

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.executions += 1

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.logs.append(dict(logs or {}))


@pytest.fixture
def graphs_as_traced() -> Iterator[None]:
    """Run graphs as they were traced.

    TensorFlow's graph optimizer fuses operations within a loop in another way than outside, and not always in the same:
    the last bits differ. The game makes much of that in a few steps, which is its nature and no fault of the loop.
    """
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})


TOLERANCE = 1e-5


def test_a_loop_in_the_graph_does_what_single_steps_do(tmp_path: Path, graphs_as_traced: None) -> None:
    """Weights, moments, history, losses and checkpoints; epochs of four steps, the last one of two."""
    write(tmp_path / "photos", *range(0, 240, 20))
    source = open_folder(tmp_path / "photos", config=PAPER.data)
    found = {}
    for most in (1, 4):
        changes = {"training.steps_per_execution": most, "training.seed": 5}
        run = Run.create(tmp_path / f"run{most}", preset("tiny").replace(**changes), {})
        at = Position("spotter", TOTAL, 4, BATCH, check_steps=10, checkpoint_steps=4)
        checkpoint, epochs, model = Checkpoints(at, run.checkpoints("spotter"), 3), Epochs(), small_spotter()
        session = stage.Session(run, source, tf.distribute.get_strategy(), Signals())
        callbacks = [stage.cb.CountSteps(at), epochs, checkpoint, StopOnSignal(at, Signals(), checkpoint)]
        source.image_size = source.views.image_size = SIZE
        stage._fit(session, model, at, callbacks)
        checkpoint.wait()
        saved = sorted(path.name for path in run.checkpoints("spotter").glob("step-*"))
        values = [v.numpy() for o in (model.optimizer, model.optimizer_of_repair) for v in o.variables]
        found[most] = [v.numpy() for v in model.variables] + values, epochs.logs, saved, epochs.executions, at.step
    (one, logs, saved, executions, step), (loop, loop_logs, loop_saved, loop_executions, loop_step) = found.values()
    assert (executions, loop_executions, step, loop_step) == (10, 3, TOTAL, TOTAL)
    assert saved == loop_saved == ["step-00000004", "step-00000008", "step-00000010"]
    assert len(logs) == len(loop_logs) == 3
    for of_one, of_loop in zip(logs, loop_logs, strict=True):
        assert of_loop == pytest.approx(of_one, rel=1e-4)
    for a, b in zip(one, loop, strict=True):
        np.testing.assert_allclose(b, a, rtol=TOLERANCE, atol=TOLERANCE)


def test_several_replicas_refuse_several_steps() -> None:
    strategy = make_strategy("mirrored")
    with strategy.scope():
        model = Autoencoder(image_size=8, width=0.0625, levels=2)
    model.compile()
    execute_together(model, 1)
    with pytest.raises(UserError, match="2 replicas cannot do several steps.*training.steps_per_execution=2"):
        execute_together(model, 2)
