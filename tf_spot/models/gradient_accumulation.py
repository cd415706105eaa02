"""A batch in equal parts, one after the other: large batches on a small memory.

One update from the mean of the parts' gradients is the update from the whole batch, but for batch norm, which takes its
moments over a part and moves its statistics once a part. Random draws are those of each example's place in the whole
batch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import tensorflow as tf

from tf_spot.distributed.replicas import part_of_batch


def mean_over_parts(function: Callable[..., Any], batch: tuple[Any, ...], parts: int) -> Any:
    """The mean, over the parts, of what `function` computes from each: a structure of tensors, such as gradients."""
    if parts == 1:
        return function(*batch)

    def add(index: Any, sums: list[Any]) -> list[Any]:
        return [a + b for a, b in zip(sums, tf.nest.flatten(_of_part(function, batch, index, parts)), strict=True)]

    first = _of_part(function, batch, 0, parts)
    sums = _go_on(add, tf.nest.flatten(first), parts)
    return tf.nest.pack_sequence_as(first, [total / parts for total in sums])


def rows_over_parts(function: Callable[..., Any], batch: tuple[Any, ...], parts: int) -> Any:
    """What `function` computes from each part, a structure of tensors, joined to that of the whole batch."""

    def write(index: Any, arrays: list[Any]) -> list[Any]:
        values = tf.nest.flatten(_of_part(function, batch, index, parts))
        return [array.write(index, value) for array, value in zip(arrays, values, strict=True)]

    first = _of_part(function, batch, 0, parts)
    values = tf.nest.flatten(first)
    arrays = [tf.TensorArray(value.dtype, parts, element_shape=value.shape).write(0, value) for value in values]
    joined = [array.stack() for array in _go_on(write, arrays, parts)]
    rows = [tf.reshape(j, (-1, *value.shape[1:])) for j, value in zip(joined, values, strict=True)]
    return tf.nest.pack_sequence_as(first, rows)


def _of_part(function: Callable[..., Any], batch: tuple[Any, ...], index: Any, parts: int) -> Any:
    with part_of_batch(index, parts):
        return function(*tf.nest.map_structure(lambda x: tf.reshape(x, (parts, -1, *x.shape[1:]))[index], batch))


def _go_on(step: Callable[[Any, list[Any]], list[Any]], state: list[Any], parts: int) -> Any:
    """`state` after `step` with the parts 1, 2, ... Each waits for the one before, or memory would hold several."""
    done = [x.flow if isinstance(x, tf.TensorArray) else x for x in state]
    with tf.control_dependencies(done):
        second = tf.identity(tf.constant(1))

    def body(index: Any, state: list[Any]) -> tuple[Any, list[Any]]:
        return index + 1, step(index, state)

    return tf.while_loop(lambda index, _: index < parts, body, (second, state), parallel_iterations=1)[1]


def train_in_parts(spotter: Any, images: Any, step: Any, parts: int) -> dict[str, tf.Tensor]:
    """The updates of `ArtifactSpotter.train_step`, in the same order, from a batch in parts; returns what to log.

    With alternating updates the discriminator must have been updated from all parts before the repair network learns
    from the first: repaired images are computed twice.
    """
    if spotter.repair.trainable_variables and spotter.update == "simultaneous":
        return _simultaneously(spotter, images, step, parts)
    corrupted = rows_over_parts(lambda part: spotter.corrupt(part, step, training=True), (images,), parts)
    real = spotter.real(images, corrupted)
    judged = (real, *spotter.with_past(corrupted, step))
    gradients, logs = mean_over_parts(partial(spotter.discriminator_gradients, step=step), judged, parts)
    spotter.optimizer.apply(gradients, spotter.discriminator.trainable_variables)
    if not spotter.repair.trainable_variables:
        return dict(logs)
    again = partial(_repair_gradients, spotter, step, tf.reduce_sum(corrupted.keep_mask) / parts)
    gradients, repair_logs = mean_over_parts(again, (images, real, corrupted), parts)
    spotter.optimizer_of_repair.apply(gradients, spotter.repair.trainable_variables)
    return dict(logs | repair_logs)


def _repair_gradients(
    spotter: Any, step: Any, kept_cells: Any, images: Any, real: Any, corrupted: Any
) -> tuple[list[Any], dict[str, tf.Tensor]]:
    """From one part, through the discriminator as it is; no statistics move."""
    with tf.GradientTape() as tape:
        repaired = spotter.hide_damage(
            corrupted.damaged, corrupted.keep_mask, step, training=True, update_statistics=False
        )
        answers = spotter.judge(real, repaired, step, update_statistics=False, apart=True)
        loss, adversarial = spotter.repair_losses(images, corrupted._replace(repaired=repaired), answers, kept_cells)
    gradients = spotter.gradients(tape, loss, spotter.repair.trainable_variables)
    return gradients, {"repair_loss": loss, "adversarial_loss": adversarial}


def _simultaneously(spotter: Any, images: Any, step: Any, parts: int) -> dict[str, tf.Tensor]:
    grid = spotter.autoencoder.grid_size
    kept_cells = tf.reduce_sum(spotter.damage.draw(tf.zeros((images.shape[0], grid, grid, 1)), step)) / parts
    of_part = partial(spotter.both_gradients, step=step, kept_cells=kept_cells)
    gradients, repair_gradients, logs = mean_over_parts(of_part, (images,), parts)
    spotter.optimizer.apply(gradients, spotter.discriminator.trainable_variables)
    spotter.optimizer_of_repair.apply(repair_gradients, spotter.repair.trainable_variables)
    return dict(logs)
