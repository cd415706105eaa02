"""Callbacks around the steps of a stage: counting, guarding, recording, checkpointing.

All of them share one `Position`. A checkpoint is written only at a safe point: after a batch inside an epoch, or after
an epoch's line of metrics; so a resumed run neither repeats nor loses a line.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_spot.data.source import Source
from tf_spot.errors import UserError
from tf_spot.progress import Progress
from tf_spot.runs import checkpoints
from tf_spot.runs.load import optimizers
from tf_spot.runs.run import Run
from tf_spot.training.position import Position

_RECENT_STEPS = 50  # whose median gives the rate


class NonFiniteLoss(UserError):
    """A loss or a weight is NaN or infinite; the last good checkpoint is kept."""


class CountSteps(keras.callbacks.Callback):
    """Advance the position. First in the list, so that the others see the step just done."""

    def __init__(self, position: Position) -> None:
        super().__init__()
        self.position = position
        self._started = 0.0
        self._recent: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        took = time.perf_counter() - self._started
        self._recent = [*self._recent[1 - _RECENT_STEPS :], took]
        self.position.step += 1
        self.position.seconds += took
        # The median, as the first step traces the graph and takes far longer than the others.
        self.position.rate = self.position.batch_size / float(np.median(self._recent))


class FiniteLoss(keras.callbacks.Callback):
    """Stop at the first loss that is NaN or infinite, before anything is saved.

    Args:
        position: of the stage.
        folder: the stage's checkpoints, for the message.

    Raises:
        NonFiniteLoss: names stage, step and loss.
    """

    def __init__(self, position: Position, folder: Path) -> None:
        super().__init__()
        self.position, self.folder = position, folder

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        wrong = {name: value for name, value in (logs or {}).items() if not math.isfinite(value)}
        if wrong:
            what = ", ".join(f"{name} = {value}" for name, value in wrong.items())
            raise non_finite(what, self.position, self.folder)


def non_finite(what: str, position: Position, folder: Path) -> NonFiniteLoss:
    """Return the error that names what is not finite, the step, and the last good checkpoint in `folder`."""
    good = sorted(folder.glob("step-*"))
    return NonFiniteLoss(
        f"losses and weights must stay finite; received at step {position.step} of stage {position.stage}: {what}; "
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

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float | None] | None = None) -> None:
        self.at_safe_point()


class CheckpointEverySteps(SafePoint):
    """Write a checkpoint every `every` steps and at the end of the stage.

    Args:
        position: of the stage.
        folder: the stage's checkpoints.
        every: steps between two.
        keep: number of newest checkpoints that stay.
        means: for a run resumed inside an epoch, the sums of that epoch's metrics, from `state`.
        writes: whether this process keeps what it saves; of several workers only the chief does.
    """

    def __init__(
        self,
        position: Position,
        folder: Path,
        every: int,
        keep: int,
        means: dict[str, list[float]] | None = None,
        writes: bool = True,
    ) -> None:
        super().__init__(position)
        self.folder, self.every, self.keep, self.means, self.writes = folder, every, keep, means, writes
        self.saved_step = position.step

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Restore the means of an epoch that is resumed; Keras has just reset them."""
        if self.means and self.position.step % self.position.steps_per_epoch:
            for metric in self.model.metrics:
                for variable, value in zip(metric.variables, self.means[metric.name], strict=True):
                    variable.assign(value)
        self.means = None

    def at_safe_point(self) -> None:
        if self.position.step % self.every == 0 or self.position.step == self.position.total_steps:
            self.save()

    def save(self) -> None:
        """Write a checkpoint of this step unless there is one.

        Raises:
            NonFiniteLoss: a weight is not finite, though the loss before it was.
        """
        if self.saved_step == self.position.step:  # resumed here, or a signal came at a step that was due
            return
        self._check_weights()
        state = self.state()
        if self.writes:
            checkpoints.write(self.folder, self.position.step, state, self.model.save_weights, self.keep, self._size())
        else:
            # Reading the metrics' variables is a collective operation: this worker must take part in it.
            checkpoints.save_and_discard(self.model.save_weights, checkpoints.WEIGHTS)
        self.saved_step = self.position.step

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs beside the weights; JSON."""
        means = {metric.name: [float(v.numpy()) for v in metric.variables] for metric in self.model.metrics}
        return {"stage": self.position.stage, "seconds": self.position.seconds, "means": means}

    def _variables(self) -> list[keras.Variable]:
        return [*self.model.variables, *(v for o in optimizers(self.model) for v in o.variables)]

    def _size(self) -> int:
        """Bytes of the weights on disk, with room for what HDF5 records about each array."""
        variables = self._variables()
        return sum(v.value.dtype.size * math.prod(v.shape) + 4096 for v in variables) + 100_000

    def _check_weights(self) -> None:
        for variable in self._variables():
            value = tf.convert_to_tensor(variable)
            # Counters are integers, which is_finite does not accept.
            if value.dtype.is_floating and not bool(tf.reduce_all(tf.math.is_finite(value))):
                raise non_finite(f"{variable.path} is not finite", self.position, self.folder)


class RecordBadFiles(SafePoint):
    """List the unreadable photos before every checkpoint: after a kill, photos read before it are not read again.

    Args:
        position: of the stage.
        every: steps between two checkpoints.
        run: has the list.
        source: of the photos.
    """

    def __init__(self, position: Position, every: int, run: Run, source: Source) -> None:
        super().__init__(position)
        self.every, self.run, self.source = every, run, source

    def at_safe_point(self) -> None:
        if self.position.step % self.every == 0 or self.position.step == self.position.total_steps:
            self.run.add_bad_files(self.source.bad_files)


class MetricsLog(keras.callbacks.Callback):
    """Write one line of metrics.jsonl per epoch, and the same numbers for TensorBoard.

    Args:
        position: of the stage.
        run: the line goes into its metrics.jsonl.
        writer: of TensorBoard's events.
    """

    def __init__(self, position: Position, run: Run, writer: tf.summary.SummaryWriter) -> None:
        super().__init__()
        self.position, self.run, self.writer = position, run, writer

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float | None] | None = None) -> None:
        at = self.position
        names = {"stage": at.stage, "epoch": epoch + 1, "step": at.step, "images_seen": at.step * at.batch_size}
        speed = {"seconds": round(at.seconds, 3), "images_per_second": round(at.rate, 3)}
        # A signal that could not be measured, such as an area under the curve without pairs, is None: left out.
        values = {k: v for k, v in (logs or {}).items() if v is not None} | {"learning_rate": self._learning_rate()}
        self.run.add_metrics(names | speed | values)
        with self.writer.as_default(step=at.step):
            for name, value in (speed | values).items():
                tf.summary.scalar(name, value)
        self.writer.flush()

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
