"""A batch in equal micro batches, one after the other: large batches on a small memory.

The mean of the micro batches' gradients is the gradient of the whole batch, but for batch norm, which takes its moments
over a micro batch and moves its statistics once per micro batch. Random draws are those of each example's index in the
whole batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import tensorflow as tf

from tf_spot.distributed.replicas import micro_batch

# Whatever TensorFlow nests: a tensor, a (named) tuple, a dictionary or a list of them.
Structure = TypeVar("Structure")
Outputs = TypeVar("Outputs")
Losses = TypeVar("Losses")


class MicroBatches:
    """How a batch is computed: whole, or in `count` equal micro batches.

    Args:
        count: divides the batch; 1: the batch is computed whole.
    """

    def __init__(self, count: int) -> None:
        self.count = count

    def mean(self, function: Callable[..., Structure], *batch: Any) -> Structure:
        """Return the mean, over the micro batches, of what `function` computes of each, such as gradients."""
        if self.count == 1:
            return function(*batch)

        def add(index: tf.Tensor, sums: list[tf.Tensor]) -> list[tf.Tensor]:
            return [a + b for a, b in zip(sums, tf.nest.flatten(self._of(function, batch, index)), strict=True)]

        first = self._of(function, batch, 0)
        sums = self._after_first(add, tf.nest.flatten(first))
        mean: Structure = tf.nest.pack_sequence_as(first, [total / self.count for total in sums])
        return mean

    def rows(self, function: Callable[..., Structure], *batch: Any) -> Structure:
        """Return what `function` computes of each micro batch, joined to that of the whole batch."""
        if self.count == 1:
            return function(*batch)

        def write(index: tf.Tensor, arrays: list[tf.TensorArray]) -> list[tf.TensorArray]:
            values = tf.nest.flatten(self._of(function, batch, index))
            return [array.write(index, value) for array, value in zip(arrays, values, strict=True)]

        first = self._of(function, batch, 0)
        values = tf.nest.flatten(first)
        arrays = [tf.TensorArray(v.dtype, self.count, element_shape=v.shape).write(0, v) for v in values]
        joined = [array.stack() for array in self._after_first(write, arrays)]  # (count, micro batch, ...)
        rows = [tf.reshape(j, (-1, *v.shape[1:])) for j, v in zip(joined, values, strict=True)]  # (batch, ...)
        whole: Structure = tf.nest.pack_sequence_as(first, rows)
        return whole

    def record(self, function: Callable[..., Outputs], *batch: Any, again: Callable[..., Outputs]) -> Recorded[Outputs]:
        """Compute `function` of a batch so that a loss of its outputs can be differentiated later, see `Recorded`."""
        return Recorded(self, function, batch, again)

    def _of(self, function: Callable[..., Structure], batch: tuple[Any, ...], index: tf.Tensor | int) -> Structure:
        with micro_batch(index, self.count):
            # (batch, ...) to (count, micro batch, ...), of which one is taken
            own = tf.nest.map_structure(lambda x: tf.reshape(x, (self.count, -1, *x.shape[1:]))[index], batch)
            return function(*own)

    def _after_first(self, step: Callable[[tf.Tensor, list[Any]], list[Any]], state: list[Any]) -> list[Any]:
        """Return `state` after `step` with the micro batches 1, 2, ...

        Each waits for the one before, or memory would hold several at once.
        """
        done = [x.flow if isinstance(x, tf.TensorArray) else x for x in state]
        with tf.control_dependencies(done):
            second = tf.identity(tf.constant(1))

        def body(index: tf.Tensor, state: list[Any]) -> tuple[tf.Tensor, list[Any]]:
            return index + 1, step(index, state)

        ended = tf.while_loop(lambda index, _: index < self.count, body, (second, state), parallel_iterations=1)
        return list(ended[1])


class Recorded(Generic[Outputs]):
    """The outputs of a function of a batch, of which a loss will be differentiated later.

    A whole batch is computed once, under a tape that is kept. Micro batches are computed a second time, each under a
    tape of its own, when the gradients are asked for: memory never holds the activations of more than one.

    Attributes:
        outputs: of the whole batch.
    """

    def __init__(
        self,
        micro_batches: MicroBatches,
        function: Callable[..., Outputs],
        batch: tuple[Any, ...],
        again: Callable[..., Outputs],
    ) -> None:
        self._micro_batches, self._batch, self._again = micro_batches, batch, again
        self._tape = tf.GradientTape()
        if micro_batches.count > 1:
            self.outputs = micro_batches.rows(function, *batch)
            return
        with self._tape:
            self.outputs = function(*batch)

    def gradients(
        self,
        loss: Callable[..., tuple[tf.Tensor, Losses]],
        *batch: Any,
        of: Callable[[tf.GradientTape, tf.Tensor], list[tf.Tensor]],
    ) -> tuple[list[tf.Tensor], Losses]:
        """Return the gradients of a loss of the outputs, and what else the loss gives.

        Args:
            loss: of (outputs, *batch): the scalar to differentiate, and losses to report.
            batch: rows that belong to the outputs.
            of: takes the gradients from the tape.
        """
        if self._micro_batches.count == 1:
            with self._tape:  # goes on recording
                total, losses = loss(self.outputs, *batch)
            return of(self._tape, total), losses

        def of_micro_batch(inputs: tuple[Any, ...], rows: tuple[Any, ...]) -> tuple[list[tf.Tensor], Losses]:
            with tf.GradientTape() as tape:
                total, losses = loss(self._again(*inputs), *rows)
            return of(tape, total), losses

        return self._micro_batches.mean(of_micro_batch, self._batch, batch)
