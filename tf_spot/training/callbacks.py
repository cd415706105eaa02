"""What happens around the steps of a stage: records, checkpoints, guards, signals.

Every callback reads one shared `Position`. A checkpoint is written only at a safe point: after a batch inside an epoch,
or after an epoch's line of metrics; so a resumed run neither repeats nor loses a line.
"""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_spot.errors import UserError
from tf_spot.progress import Progress
from tf_spot.runs import checkpoints
from tf_spot.runs.load import optimizers
from tf_spot.runs.run import Run


class NonFiniteLoss(UserError):
    """A loss or a weight is NaN or infinite; the last good checkpoint is kept."""


@dataclasses.dataclass
class Position:
    """Where a stage stands."""

    stage: str
    total_steps: int
    steps_per_epoch: int
    batch_size: int
    step: int = 0  # done
    seconds: float = 0.0  # spent in steps, over all sessions
    rate: float = math.nan  # images per second, over the last steps

    @property
    def epoch(self) -> int:
        """Epochs done or under way; 1 during the first."""
        return -(-self.step // self.steps_per_epoch)

    @property
    def at_epoch_end(self) -> bool:
        return self.step % self.steps_per_epoch == 0 or self.step == self.total_steps

    def every(self, epochs: int) -> bool:
        """At the end of an epoch: is it one of every `epochs`, or the last?"""
        return self.epoch % epochs == 0 or self.step == self.total_steps


class CountSteps(keras.callbacks.Callback):
    """Moves the position. First in the list, so that the others see the step just done."""

    def __init__(self, position: Position) -> None:
        super().__init__()
        self.position = position
        self._started = 0.0
        self._recent: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        took = time.perf_counter() - self._started
        self._recent = [*self._recent[-49:], took]
        self.position.step += 1
        self.position.seconds += took
        typical = float(np.median(self._recent))  # the first step, which traces the graph, does not count
        self.position.rate = self.position.batch_size / typical


class FiniteLoss(keras.callbacks.Callback):
    """Stops at the first loss that is NaN or infinite, before anything is saved.

    Raises:
        NonFiniteLoss: names stage, step and loss.
    """

    def __init__(self, position: Position, folder: Path) -> None:
        super().__init__()
        self.position, self.folder = position, folder

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        wrong = {name: value for name, value in (logs or {}).items() if not math.isfinite(value)}
        if wrong:
            what = ", ".join(f"{name} = {value}" for name, value in wrong.items())
            raise non_finite(what, self.position, self.folder)


def non_finite(what: str, position: Position, folder: Path) -> NonFiniteLoss:
    """The error that says where training went astray and what is left."""
    good = sorted(folder.glob("step-*"))
    return NonFiniteLoss(
        f"losses and weights must stay finite; received at step {position.step} of stage {position.stage}: {what}; "
        f"last good checkpoint: {good[-1] if good else 'none yet'}; try a lower learning rate"
    )


class SafePoint(keras.callbacks.Callback):
    """A callback called wherever a checkpoint may be written. Subclasses come after `MetricsLog`."""

    def __init__(self, position: Position) -> None:
        super().__init__()
        self.position = position

    def at_safe_point(self) -> None:
        raise NotImplementedError

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if not self.position.at_epoch_end:
            self.at_safe_point()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.at_safe_point()


class CheckpointEverySteps(SafePoint):
    """Writes a checkpoint every so many steps and at the end of the stage.

    Args:
        folder: the stage's checkpoints.
        every: steps between two.
        keep: newest ones that stay.
        means: the sums of the epoch that a resumed run is in the midst of, from `state`.
        writes: this process keeps what it saves; of several workers only one does.
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

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Keras has just reset the epoch's means; an epoch that is gone on with keeps its own."""
        if self.means and self.position.step % self.position.steps_per_epoch:
            for metric in self.model.metrics:
                for variable, value in zip(metric.variables, self.means[metric.name], strict=True):
                    variable.assign(value)
        self.means = None

    def at_safe_point(self) -> None:
        if self.position.step % self.every == 0 or self.position.step == self.position.total_steps:
            self.save()

    def save(self) -> None:
        """Writes a checkpoint of this step unless there is one.

        Raises:
            NonFiniteLoss: a weight is not finite, though the loss before it was.
        """
        if self.saved_step == self.position.step:
            return
        self._check_weights()
        state = self.state()
        if self.writes:
            checkpoints.write(self.folder, self.position.step, state, self.model.save_weights, self.keep, self._size())
        else:
            checkpoints.thrown_away(self.model.save_weights, checkpoints.WEIGHTS)
        self.saved_step = self.position.step

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs beside the weights."""
        means = {metric.name: [float(v.numpy()) for v in metric.variables] for metric in self.model.metrics}
        return {"stage": self.position.stage, "seconds": self.position.seconds, "means": means}

    def _variables(self) -> list[Any]:
        return [*self.model.variables, *(v for o in optimizers(self.model) for v in o.variables)]

    def _size(self) -> int:
        """Bytes of the weights on disk, with room for what HDF5 records of each array."""
        variables = self._variables()
        return sum(v.value.dtype.size * math.prod(v.shape) + 4096 for v in variables) + 100_000

    def _check_weights(self) -> None:
        for variable in self._variables():
            value = tf.convert_to_tensor(variable)
            if value.dtype.is_floating and not bool(tf.reduce_all(tf.math.is_finite(value))):
                raise non_finite(f"{variable.path} is not finite", self.position, self.folder)


class MetricsLog(keras.callbacks.Callback):
    """One line of metrics.jsonl an epoch, and the same numbers for TensorBoard."""

    def __init__(self, position: Position, run: Run, writer: Any) -> None:
        super().__init__()
        self.position, self.run, self.writer = position, run, writer

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        at = self.position
        place = {"stage": at.stage, "epoch": epoch + 1, "step": at.step, "images_seen": at.step * at.batch_size}
        speed = {"seconds": round(at.seconds, 3), "images_per_second": round(at.rate, 3)}
        values = {k: v for k, v in (logs or {}).items() if v is not None} | {"learning_rate": self._learning_rate()}
        self.run.add_metrics(place | speed | values)
        with self.writer.as_default(step=at.step):
            for name, value in (speed | values).items():
                tf.summary.scalar(name, value)
        self.writer.flush()

    def _learning_rate(self) -> float:
        return float(self.model.optimizer.learning_rate)


class ReportProgress(keras.callbacks.Callback):
    """Tells a on_progress `(done, total, text)` after every step."""

    def __init__(self, position: Position, on_progress: Progress) -> None:
        super().__init__()
        self.position, self.on_progress = position, on_progress

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        at = self.position
        self.on_progress(at.step, at.total_steps, f"{at.stage} ({at.rate:.0f} images/s)")
