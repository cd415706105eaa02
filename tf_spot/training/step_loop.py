"""What keeps the host out of a GPU's way: several steps in one loop of the graph, and logs that stay on the device."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import keras
import numpy as np
import tensorflow as tf

from tf_spot.errors import UserError
from tf_spot.training.position import Position


class LazyLogs(Mapping[str, float]):
    """The logs of a step; a value is fetched from the device when it is asked for.

    Args:
        values: scalars by name.
    """

    def __init__(self, values: Mapping[str, tf.Tensor | float]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> float:
        value = self._values[name]
        if not isinstance(value, float):
            value = self._values[name] = float(np.asarray(value))
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class UnfetchedLogs(keras.callbacks.CallbackList):
    """Callbacks that get the logs of each step as `LazyLogs`; Keras itself would wait for every step to fetch them."""

    def on_train_batch_end(self, batch: int, logs: Mapping[str, tf.Tensor] | None = None) -> None:
        lazy = LazyLogs(logs or {})
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, lazy)


def in_one_execution(most: int, position: Position, steps: int) -> int:
    """Return how many steps one execution does: the most that end exactly where the training has something to do.

    Args:
        most: steps, at most.
        position: of the stage, whose checkpoints are due at multiples of a number of steps.
        steps: of each epoch that is to be run from here.

    Returns:
        a divisor of `steps`, of the position and of the steps between two checkpoints.
    """
    common = math.gcd(steps, position.step, position.checkpoint_steps or 0)
    return max(number for number in range(1, min(most, common) + 1) if common % number == 0)


def execute_together(model: keras.Model, steps: int) -> None:
    """Let each execution of a compiled model do that many steps.

    Raises:
        UserError: several steps, on several replicas.
    """
    replicas = model.distribute_strategy.num_replicas_in_sync
    if steps > 1 and replicas > 1:
        raise UserError(
            f"training on {replicas} replicas cannot do several steps in one execution; received: "
            f"training.steps_per_execution={steps}; leave it out"
        )
    if model.steps_per_execution != steps:
        model.steps_per_execution = steps
        model.make_train_function(force=True)
