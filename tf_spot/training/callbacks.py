"""Callbacks around the steps of a stage: counting, guarding, recording, checkpointing.

All of them share one `Position`. A checkpoint is written only at a safe point: after a batch inside an epoch, or after
an epoch's line of metrics; so a resumed run neither repeats nor loses a line.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_spot.data.source import Source
from tf_spot.errors import UserError
from tf_spot.progress import Progress
from tf_spot.runs import checkpoints
from tf_spot.runs.run import Run
from tf_spot.runs.snapshot import Snapshot
from tf_spot.training.position import Position
from tf_spot.training.tensorboard_tags import tag_of

# Called with an epoch's line of metrics.jsonl.
OnEpoch = Callable[[Mapping[str, Any]], None]
_RECENT = 50  # measured times whose median gives the rate


class NonFiniteLoss(UserError):
    """A loss or a weight is NaN or infinite; the last good checkpoint is kept."""


class CountSteps(keras.callbacks.Callback):
    """Advance the position. First in the list, so that the others see the step just done.

    A GPU computes while the host goes on, so times are taken where the losses are looked at, which waits for it.
    """

    def __init__(self, position: Position) -> None:
        super().__init__()
        self.position = position
        self._first, self._started = 0, 0.0  # step of the epoch that an execution begins with; when it began
        self._steps, self._seconds = 0, 0.0  # since the last look at the losses
        self._recent: list[float] = []  # seconds per step

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self._first, self._started = batch, time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        at = self.position
        at.executed = batch - self._first + 1
        at.step += at.executed
        check = at.at_check
        if check:
            for value in (logs or {}).values():
                float(value)
        took = time.perf_counter() - self._started
        at.seconds += took
        self._steps, self._seconds = self._steps + at.executed, self._seconds + took
        if check:
            self._recent = [*self._recent[1 - _RECENT :], self._seconds / self._steps]
            self._steps, self._seconds = 0, 0.0
            # The median, as the first step traces the graph and takes far longer than the others.
            at.rate = at.batch_size / float(np.median(self._recent))


class FiniteLoss(keras.callbacks.Callback):
    """Stop at a loss that is NaN or infinite, before anything is saved.

    The logs are the means of an epoch so far, which stay not finite once they are: looking at them now and then is
    enough.

    Args:
        position: of the stage; says when to look.
        folder: the stage's checkpoints, for the message.

    Raises:
        NonFiniteLoss: names stage, steps and loss.
    """

    def __init__(self, position: Position, folder: Path) -> None:
        super().__init__()
        self.position, self.folder = position, folder
        self._checked = position.step

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        if not self.position.at_check:
            return
        wrong = {name: value for name, value in (logs or {}).items() if not math.isfinite(value)}
        if wrong:
            what = ", ".join(f"{name} = {value}" for name, value in wrong.items())
            raise non_finite(what, self.position, self.folder, self._checked + 1)
        self._checked = self.position.step


def non_finite(what: str, position: Position, folder: Path, first: int | None = None) -> NonFiniteLoss:
    """Return the error that names what is not finite, where, and the last good checkpoint.

    Args:
        what: in words.
        position: where it was found.
        folder: the stage's checkpoints.
        first: the first step that it may have happened at; None: that of the position.
    """
    steps = f"step {position.step}" if first in (None, position.step) else f"one of steps {first} to {position.step}"
    good = sorted(folder.glob("step-*"))
    return NonFiniteLoss(
        f"losses and weights must stay finite; received at {steps} of stage {position.stage}: {what}; "
        f"last good checkpoint: {good[-1] if good else 'none yet'}; try a lower learning rate"
    )


class SafePoint(keras.callbacks.Callback):
    """Base of callbacks that act wherever a checkpoint may be written. They come after `MetricsLog`."""

    def __init__(self, position: Position) -> None:
        super().__init__()
        self.position = position

    def at_safe_point(self) -> None:
        """Act on what has been done so far."""
        raise NotImplementedError

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        # The last batch of an epoch is no safe point yet: the epoch's line of metrics is still to be written.
        if not self.position.at_epoch_end:
            self.at_safe_point()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self.at_safe_point()


class Checkpoints(SafePoint):
    """Write a checkpoint wherever the position says that one is due, beside the training.

    The values are taken at once, and written by a thread while the training goes on; the next checkpoint waits for it.

    Args:
        position: of the stage.
        folder: the stage's checkpoints.
        keep: number of newest checkpoints that stay.
        means: for a run resumed inside an epoch, the sums of that epoch's metrics, from `state`.
        writes: whether this process keeps what it saves; of several workers only the chief does.

    Raises:
        NonFiniteLoss: a weight is not finite, though the losses before it were; nothing of that step is kept.
    """

    def __init__(
        self,
        position: Position,
        folder: Path,
        keep: int,
        means: dict[str, list[float]] | None = None,
        writes: bool = True,
    ) -> None:
        super().__init__(position)
        self.folder, self.keep, self.means, self.writes = folder, keep, means, writes
        self.saved_step = position.step
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Restore the means of an epoch that is resumed; Keras has just reset them."""
        if self.means and self.position.step % self.position.steps_per_epoch:
            for metric in self.model.metrics:
                for variable, value in zip(metric.variables, self.means[metric.name], strict=True):
                    variable.assign(value)
        self.means = None

    def at_safe_point(self) -> None:
        if self._writing is not None and self._writing.done():
            self.wait()  # raises what went wrong
        if self.position.at_checkpoint:
            self.save()

    def save(self) -> None:
        """Begin to write a checkpoint of this step unless there is one; `wait` waits for it."""
        if self.saved_step == self.position.step:  # resumed here, or a signal came at a step that was due
            return
        self.wait()
        # Reading the metrics' variables is a collective operation: a worker that does not write takes part in it.
        state, snapshot = self.state(), Snapshot(self.model)
        if self.writes:
            at = dataclasses.replace(self.position)  # of now: the training goes on
            self._writing = self._thread.submit(self._write, at, state, snapshot)
        self.saved_step = self.position.step

    def wait(self) -> None:
        """Wait until what was begun is written, and raise what went wrong with it."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _write(self, at: Position, state: Mapping[str, object], snapshot: Snapshot) -> None:
        wrong = snapshot.first_not_finite()
        if wrong is not None:
            raise non_finite(f"{wrong} is not finite", at, self.folder)
        checkpoints.write(self.folder, at.step, state, snapshot.save_weights, self.keep, snapshot.file_size)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs beside the weights; JSON."""
        means = {metric.name: [float(v.numpy()) for v in metric.variables] for metric in self.model.metrics}
        at = self.position
        return {"stage": at.stage, "seconds": at.seconds, "images_seen": at.images_seen, "batch_size": at.batch_size,
                "means": means}  # fmt: skip


class RecordBadFiles(SafePoint):
    """List the unreadable photos before every checkpoint: after a kill, photos read before it are not read again.

    Args:
        position: of the stage.
        run: has the list.
        source: of the photos.
    """

    def __init__(self, position: Position, run: Run, source: Source) -> None:
        super().__init__(position)
        self.run, self.source = run, source

    def at_safe_point(self) -> None:
        if self.position.at_checkpoint:
            self.run.add_bad_files(self.source.bad_files)


class MetricsLog(keras.callbacks.Callback):
    """Write one line of metrics.jsonl per epoch, and the same numbers for TensorBoard, there in groups.

    The learning rate and the speed join the logs, for the callbacks after it.

    Args:
        position: of the stage.
        run: the line goes into its metrics.jsonl.
        writer: of TensorBoard's events.
        on_epoch: called with the line once it is written.
    """

    def __init__(
        self, position: Position, run: Run, writer: tf.summary.SummaryWriter, on_epoch: OnEpoch | None = None
    ) -> None:
        super().__init__()
        self.position, self.run, self.writer, self.on_epoch = position, run, writer, on_epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        at, logs = self.position, {} if logs is None else logs
        names = {"stage": at.stage, "epoch": epoch + 1, "step": at.step, "images_seen": at.images_seen}
        speed = {"seconds": round(at.seconds, 3), "images_per_second": round(at.rate, 3)}
        logs |= speed | {"learning_rate": self._learning_rate()}
        line = names | speed | logs  # the speed before the losses
        self.run.add_metrics(line)
        with self.writer.as_default(step=at.step):
            for name, value in logs.items():
                tf.summary.scalar(tag_of(name), value)
        self.writer.flush()
        if self.on_epoch is not None:
            self.on_epoch(line)

    def _learning_rate(self) -> float:
        return float(self.model.optimizer.learning_rate)


class ReportProgress(keras.callbacks.Callback):
    """Call `on_progress` with (steps done, steps, text) after every step."""

    def __init__(self, position: Position, on_progress: Progress) -> None:
        super().__init__()
        self.position, self.on_progress = position, on_progress

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        at = self.position
        self.on_progress(at.step, at.total_steps, f"{at.stage} ({at.rate:.0f} images/s)")
