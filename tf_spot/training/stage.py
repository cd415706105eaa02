"""One stage of training under `fit`, from wherever it stands to its end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tf_spot.config import Config, TrainingConfig
from tf_spot.distributed.strategies import agree, is_chief, of_all_workers, training_stream
from tf_spot.progress import Progress
from tf_spot.runs import checkpoints
from tf_spot.runs.load import restore
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_file
from tf_spot.training import callbacks as cb
from tf_spot.training.health import HealthSignals, HeldOutReconstruction
from tf_spot.training.interrupts import Signals, StopOnSignal
from tf_spot.training.picture_grid import PictureGrid
from tf_spot.training.tensorboard_projector import Projector

log = logging.getLogger("tf_spot")

# Callbacks of both stages, or a function that gives those of a stage by its name.
Callbacks = Sequence[keras.callbacks.Callback] | Callable[[str], Sequence[keras.callbacks.Callback]]


def train_stage(
    run: Run,
    stage: str,
    model: keras.Model,
    source: Any,
    signals: Signals,
    on_progress: Progress | None = None,
    extra: Callbacks = (),
) -> None:
    """Trains `model` to the end of its stage, from a checkpoint if there is one, and saves it as RUN/STAGE.keras.

    Args:
        run: the run folder.
        stage: `autoencoder` or `spotter`.
        model: new and compiled.
        source: see `tf_spot.data`.
        signals: says when to stop early.
        on_progress: told (steps done, steps, text) after every step.
        extra: the user's callbacks, which may watch but not stop; of several workers only the first calls them.
    """
    config = run.config
    training = config.training
    position = cb.Position(stage, getattr(training, f"{stage}_steps"), training.steps_per_epoch, training.batch_size)
    strategy = model.distribute_strategy
    state = _go_on(run, position, model)
    agree(strategy, position.step, f"newest checkpoint of stage {stage}")
    callbacks = _callbacks(run, position, source, signals, on_progress, state, config, strategy, extra)
    signals.training = True
    try:
        _fit(model, source, position, callbacks, training.seed)
    finally:
        signals.training = False
    if is_chief(strategy):
        write_file(run.model_path(stage), model.save)
    else:
        checkpoints.thrown_away(model.save, f"{stage}.keras")
    agree(strategy, position.step, f"last step of stage {stage}")  # the others wait for the file


def _fit(model: keras.Model, source: Any, position: cb.Position, callbacks: list[Any], seed: int) -> None:
    """The rest of a broken-off epoch, then whole epochs, then a last shorter one: a `fit` each.

    The data stream is a function of the step, so each `fit` opens it where the last one ended.
    """
    while position.step < position.total_steps:
        epoch, done = divmod(position.step, position.steps_per_epoch)
        left = position.total_steps - position.step
        whole = 0 if done else left // position.steps_per_epoch
        model.fit(
            training_stream(model.distribute_strategy, source, position.batch_size, seed, position.step),
            initial_epoch=epoch,
            epochs=epoch + max(1, whole),
            steps_per_epoch=min(position.steps_per_epoch - done, left),
            callbacks=callbacks,
            shuffle=False,  # of no effect on a dataset, and Keras warns of its own default
            verbose=0,
        )


def _callbacks(
    run: Run,
    position: cb.Position,
    source: Any,
    signals: Signals,
    on_progress: Progress | None,
    state: dict[str, Any],
    config: Config,
    strategy: Any,
    extra: Callbacks,
) -> list[keras.callbacks.Callback]:
    """In the order in which they must act: count, guard, measure, record, save, stop. Only the chief records."""
    training, folder, chief = config.training, run.checkpoints(position.stage), is_chief(strategy)
    checkpoint = cb.CheckpointEverySteps(
        position, folder, training.checkpoint_steps, training.keep_checkpoints, state.get("means"), writes=chief
    )
    return [
        cb.CountSteps(position),
        cb.FiniteLoss(position, folder),
        *(_records(run, position, source, training) if chief else []),
        *((extra(position.stage) if callable(extra) else extra) if chief else []),
        *([cb.ReportProgress(position, on_progress)] if on_progress else []),
        checkpoint,
        StopOnSignal(position, signals, checkpoint, partial(of_all_workers, strategy)),
    ]


def _records(run: Run, position: cb.Position, source: Any, training: TrainingConfig) -> list[keras.callbacks.Callback]:
    """They run the networks on this process alone, and so must not reduce anything over the workers."""
    folder = run.path / "tensorboard" / position.stage
    writer = tf.summary.create_file_writer(str(folder))
    return [
        *_health(position, source, training.probe_epochs, folder),
        PictureGrid(position, run, source, training.picture_epochs, writer),
        cb.MetricsLog(position, run, writer),
    ]


def _health(position: cb.Position, source: Any, probe_epochs: int, folder: Path) -> list[keras.callbacks.Callback]:
    if next(iter(source.held_out(1)), None) is None:
        log.warning("%s is too small to hold photos out of training: no health signals", source.spec)
        return []
    if position.stage == "autoencoder":
        return [HeldOutReconstruction(source)]
    return [HealthSignals(position, source, probe_epochs), Projector(position, source, folder)]


def _go_on(run: Run, position: cb.Position, model: keras.Model) -> dict[str, Any]:
    """Puts model, position and metrics where the newest good checkpoint has them; returns its state, {} without one."""
    folder = run.checkpoints(position.stage)
    checkpoint, damaged = checkpoints.newest_good(folder)
    for text in damaged:
        log.warning("damaged checkpoint passed over: %s", text)
    if checkpoint is not None:
        restore(model, checkpoint)
        position.step, position.seconds = checkpoint.step, checkpoint.state["seconds"]
        log.warning("stage %s goes on from step %d", position.stage, checkpoint.step)
    if is_chief(model.distribute_strategy):
        checkpoints.drop_after(folder, position.step)
        run.truncate_metrics(position.stage, position.step)
    return checkpoint.state if checkpoint else {}
