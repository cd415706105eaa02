"""One stage of training under `fit`, from wherever it stands to its end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tf_spot.config import TrainingConfig
from tf_spot.data.random_views import DeviceViews
from tf_spot.data.source import Source
from tf_spot.distributed.strategies import agree, is_chief, of_all_workers, training_stream
from tf_spot.progress import Progress
from tf_spot.runs import checkpoints
from tf_spot.runs.load import restore
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_file
from tf_spot.storage.json_files import NUMBER
from tf_spot.training import callbacks as cb
from tf_spot.training.health import HealthSignals, HeldOutReconstruction
from tf_spot.training.interrupts import Signals, StopOnSignal, saved_when_stopped
from tf_spot.training.picture_grid import PictureGrid
from tf_spot.training.position import Position
from tf_spot.training.repair_signals import RepairSignals
from tf_spot.training.step_loop import UnfetchedLogs, execute_together, in_one_execution
from tf_spot.training.tensorboard_projector import Projector

log = logging.getLogger("tf_spot")
CHECK_STEPS = 10  # steps between two looks at the losses

# Callbacks of both stages, or a function that returns those of a stage by its name.
Callbacks = Sequence[keras.callbacks.Callback] | Callable[[str], Sequence[keras.callbacks.Callback]]


class Session(NamedTuple):
    """What both stages of a training share."""

    run: Run
    source: Source
    strategy: tf.distribute.Strategy
    signals: Signals  # to stop early
    callbacks: Callbacks = ()  # the user's, which may watch but not stop; of several workers only the chief calls them
    on_progress: Progress | None = None  # called with (steps done, steps, text) after every step
    on_epoch: cb.OnEpoch | None = None  # of several workers only in the chief

    @property
    def is_chief(self) -> bool:
        """True in the one process that writes the run folder."""
        return is_chief(self.strategy)


def train_stage(session: Session, stage: str, model: keras.Model) -> None:
    """Train `model` to the end of its stage, from a checkpoint if there is one, and save it as RUN/STAGE.keras.

    Args:
        session: what both stages share.
        stage: `autoencoder` or `spotter`.
        model: new and compiled, made in the scope of the session's strategy.
    """
    run, strategy, signals = session.run, session.strategy, session.signals
    training = run.config.training
    position = Position(
        stage,
        getattr(training, f"{stage}_steps"),
        training.steps_per_epoch,
        training.batch_size,
        check_steps=CHECK_STEPS,
        checkpoint_steps=training.checkpoint_steps,
    )
    state = resume(run, position, model, writes=session.is_chief)
    # Workers that see different folders would restore different weights and still train on.
    agree(strategy, position.step, f"newest checkpoint of stage {stage}")
    checkpoint = cb.Checkpoints(
        position, run.checkpoints(stage), training.keep_checkpoints, state.get("means"), writes=session.is_chief
    )
    callbacks = _callbacks(session, position, checkpoint)
    with saved_when_stopped(signals, checkpoint):
        _fit(session, model, position, callbacks)
    if session.is_chief:
        write_file(run.model_path(stage), model.save)
    else:
        checkpoints.save_and_discard(model.save, f"{stage}.keras")
    agree(strategy, position.step, f"last step of stage {stage}")  # the others wait for the file


def _fit(
    session: Session, model: keras.Model, position: Position, callbacks: Sequence[keras.callbacks.Callback]
) -> None:
    """Run what is left, in several calls of `fit`; see `Position.next_fit`.

    The data stream is a function of the step, so each `fit` opens it where the last one ended.
    """
    training = session.run.config.training
    while position.step < position.total_steps:
        part = position.next_fit()
        epochs, steps = part["epochs"], part["steps_per_epoch"]
        stream = _stream(session, model, position)
        execute_together(model, in_one_execution(training.steps_per_execution, position, steps))
        model.fit(
            stream,
            **part,
            callbacks=UnfetchedLogs(callbacks, add_history=True, model=model, epochs=epochs, steps=steps),
            shuffle=False,  # of no effect on a dataset, and Keras warns of its own default
            verbose=0,
        )


def _stream(
    session: Session, model: keras.Model, position: Position
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """Return the batches from the position on: images or, for photos on the device, what the model makes them of."""
    seed, views, before = session.run.config.training.seed, session.source.views, position.images_seen
    if views.cache is None or views.cache.place != "device":
        return training_stream(session.strategy, session.source, position.batch_size, seed, position.step, before)
    on_device = DeviceViews(views, views.cache)
    model.to_images = on_device.images
    return on_device.recipes(position.batch_size, seed, position.step, before)


# --- callbacks --------------------------------------------------------------------------------------------------------


def _callbacks(session: Session, position: Position, checkpoint: cb.Checkpoints) -> list[keras.callbacks.Callback]:
    """Return them in the order in which they must act: count, guard, measure, record, save, stop.

    Only the chief measures and records.
    """
    chief, on_progress = session.is_chief, session.on_progress
    return [
        cb.CountSteps(position),
        cb.FiniteLoss(position, checkpoint.folder),
        *([*_records(session, position), *of_stage(session.callbacks, position.stage)] if chief else []),
        *([cb.ReportProgress(position, on_progress)] if on_progress else []),
        *([cb.RecordBadFiles(position, session.run, session.source)] if chief else []),
        checkpoint,
        StopOnSignal(position, session.signals, checkpoint, partial(of_all_workers, session.strategy)),
    ]


def of_stage(callbacks: Callbacks, stage: str) -> Sequence[keras.callbacks.Callback]:
    """Return the callbacks of one stage."""
    return callbacks(stage) if callable(callbacks) else callbacks


def _records(session: Session, position: Position) -> list[keras.callbacks.Callback]:
    """Return what measures and records an epoch.

    These callbacks run the networks on this process alone, and so must not reduce anything over the workers.
    """
    run, source, training = session.run, session.source, session.run.config.training
    folder = run.path / "tensorboard" / position.stage
    writer = tf.summary.create_file_writer(str(folder))
    return [
        *_health(source, position, training, folder),
        PictureGrid(position, run, source, training.picture_epochs, writer),
        cb.MetricsLog(position, run, writer, session.on_epoch),
    ]


def _health(
    source: Source, position: Position, training: TrainingConfig, folder: Path
) -> list[keras.callbacks.Callback]:
    if next(iter(source.held_out(1)), None) is None:
        log.warning("%s is too small to hold photos out of training: no health signals", source.spec)
        return []
    if position.stage == "autoencoder":
        return [HeldOutReconstruction(source)]
    return [
        HealthSignals(position, source, training.probe_epochs, training.linear_probe),
        RepairSignals(position, source, training.probe_epochs),
        Projector(position, source, folder),
    ]


# --- resuming ---------------------------------------------------------------------------------------------------------


def resume(run: Run, position: Position, model: keras.Model, writes: bool = True) -> dict[str, Any]:
    """Restore model, position and metrics from the newest good checkpoint.

    Args:
        run: whose checkpoints of the position's stage are looked at.
        position: new; moved to the step of the checkpoint.
        model: new and compiled, its optimizers built.
        writes: this process writes the run folder: it removes what is not continued.

    Returns:
        the checkpoint's state, {} without a checkpoint.
    """
    folder = run.checkpoints(position.stage)
    checkpoint, damaged = checkpoints.newest_good(folder, {"seconds": NUMBER, "means": dict})
    for text in damaged:
        log.warning("damaged checkpoint passed over: %s", text)
    if checkpoint is not None:
        before = checkpoint.state.get("batch_size", run.first_batch_size)
        restore(model, checkpoint, other_batch_size=before != position.batch_size)
        position.step, position.seconds = checkpoint.step, checkpoint.state["seconds"]
        # Checkpoints of earlier versions do not say it: their runs never changed the size of a batch.
        seen = checkpoint.state.get("images_seen", checkpoint.step * before)
        position.images_ahead = seen - checkpoint.step * position.batch_size
        log.warning("stage %s goes on from step %d", position.stage, checkpoint.step)
        if before != position.batch_size:
            log.warning("%s", _other_batches(before, position))
    if writes:
        # Checkpoints and lines of later steps are not continued: those steps will be run again.
        checkpoints.drop_after(folder, position.step)
        run.truncate_metrics(position.stage, position.step)
    return checkpoint.state if checkpoint else {}


def _other_batches(before: int, position: Position) -> str:
    """Say what another batch size keeps and what it does not."""
    history = "; the history of corrupt images begins empty" if position.stage == "spotter" else ""
    return (
        f"batches have {position.batch_size} images from here on, {before} so far: weights, optimizers and the order "
        f"of the photos go on after {position.images_seen} images{history}; steps and learning rates stay as they are"
    )
