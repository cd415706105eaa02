"""What makes a step the same on one device and on many.

Random numbers are functions of (seed, step, place in the global batch), losses are divided by the number of replicas
because optimizers sum gradients over them, and sums over the batch are taken over all replicas.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import tensorflow as tf

_part: ContextVar[tuple[Any, int]] = ContextVar("part", default=(0, 1))  # see `part_of_batch`


def num_replicas() -> int:
    """Replicas that share the step under way; 1 outside `strategy.run`, also where a strategy's scope is open."""
    if tf.distribute.in_cross_replica_context():
        return 1
    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def per_replica(loss: Any) -> Any:
    """`loss` divided by the number of replicas: `optimizer.apply` sums gradients over them."""
    return loss / num_replicas()


def global_sum(value: Any) -> Any:
    """`value` summed over all replicas; differentiable.

    Inside `strategy.run` only; outside a strategy it is `value` itself.
    """
    if num_replicas() == 1:
        return value
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, value)


def gather_rows(value: Any) -> Any:
    """The rows of all replicas, (global batch, ...), on every replica; not differentiable.

    Inside `strategy.run` only; outside a strategy it is `value` itself.
    """
    if num_replicas() == 1:
        return value
    return tf.distribute.get_replica_context().all_gather(value, axis=0)


def own_rows(value: Any, rows: int) -> Any:
    """This replica's `rows` rows of `value`, whose first axis is the global batch."""
    if num_replicas() == 1:
        return value
    first = tf.distribute.get_replica_context().replica_id_in_sync_group * rows
    return value[first : first + rows]


@contextlib.contextmanager
def part_of_batch(index: Any, parts: int) -> Iterator[None]:
    """Inside, `example_uniform` draws for part `index` of the `parts` equal parts that a batch is computed in."""
    token = _part.set((index, parts))
    try:
        yield
    finally:
        _part.reset(token)


def global_uniform(seed: int, salt: int, step: Any, rows: int, shape: Sequence[int]) -> tf.Tensor:
    """Uniform numbers in [0, 1) for the whole global batch, the same on every replica.

    Args:
        seed: the run's seed.
        salt: tells apart several draws of one step.
        step: scalar integer tensor, the step.
        rows: examples in the global batch.
        shape: shape of one example's numbers.

    Returns:
        float32 (rows, *shape).
    """
    key = tf.random.experimental.stateless_fold_in((seed, salt), tf.cast(step, tf.int64))
    return tf.random.stateless_uniform((rows, *shape), key)


def example_uniform(seed: int, salt: int, step: Any, rows: int, shape: Sequence[int]) -> tf.Tensor:
    """Uniform numbers in [0, 1) for this replica's `rows` rows of the global batch, see `global_uniform`.

    The numbers of the whole global batch are drawn on every replica and each takes its own rows, so what an example
    gets depends on its place in the global batch and not on how many devices or parts share it. Keras' own generators
    give every replica the same numbers and forget their state when saved.

    Returns:
        float32 (rows, *shape).
    """
    index, parts = _part.get()
    share = rows * parts
    uniform = own_rows(global_uniform(seed, salt, step, share * num_replicas(), shape), share)
    return uniform if parts == 1 else tf.reshape(uniform, (parts, rows, *shape))[index]


def step_logs(values: dict[str, Any]) -> dict[str, Any]:
    """Scalars equal on all replicas, in the shape that Keras' `fit` takes.

    For several workers Keras 3.15 averages logs over their first axis, which scalars lack (keras issue 20585).
    """
    if isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy):
        return {name: tf.reshape(value, (1,)) for name, value in values.items()}
    return values
