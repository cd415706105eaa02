"""What makes a step the same on one device and on many.

Random numbers are functions of (seed, step, index in the global batch), losses are divided by the number of replicas
because optimizers sum gradients over them, and sums over the batch are taken over all replicas.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar

import tensorflow as tf

# (index, count) of the micro batch that is being computed, see `micro_batch`.
_micro_batch: ContextVar[tuple[int | tf.Tensor, int]] = ContextVar("micro_batch", default=(0, 1))


def num_replicas() -> int:
    """Return the replicas that share the running step; 1 outside `strategy.run`, also inside a strategy's scope."""
    if tf.distribute.in_cross_replica_context():
        return 1
    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def per_replica(loss: tf.Tensor) -> tf.Tensor:
    """Divide a scalar loss by the number of replicas: `optimizer.apply` sums gradients over them."""
    return loss / num_replicas()


def global_sum(value: tf.Tensor) -> tf.Tensor:
    """Sum a tensor over all replicas; differentiable.

    Inside `strategy.run` only; outside a strategy it is `value` itself.

    Returns:
        Like `value`, the same on every replica.
    """
    if num_replicas() == 1:
        return value
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, value)


def gather_rows(value: tf.Tensor) -> tf.Tensor:
    """Concatenate the rows of all replicas, in the order of the replicas; not differentiable.

    Inside `strategy.run` only; outside a strategy it is `value` itself.

    Args:
        value: (rows, ...).

    Returns:
        (replicas * rows, ...), the same on every replica.
    """
    if num_replicas() == 1:
        return value
    return tf.distribute.get_replica_context().all_gather(value, axis=0)


def own_rows(value: tf.Tensor, rows: int | tf.Tensor) -> tf.Tensor:
    """Return this replica's rows of a global batch.

    Args:
        value: (replicas * rows, ...).
        rows: of one replica.

    Returns:
        (rows, ...).
    """
    if num_replicas() == 1:
        return value
    # Replica r of the whole group, over all workers, has the rows from r * rows on.
    first = tf.distribute.get_replica_context().replica_id_in_sync_group * rows
    return value[first : first + rows]


@contextlib.contextmanager
def micro_batch(index: int | tf.Tensor, count: int) -> Iterator[None]:
    """Inside, `example_uniform` draws for micro batch `index` of the `count` equal ones that a batch is split into."""
    token = _micro_batch.set((index, count))
    try:
        yield
    finally:
        _micro_batch.reset(token)


def global_uniform(seed: int, salt: int, step: int | tf.Tensor, rows: int, shape: Sequence[int]) -> tf.Tensor:
    """Draw uniform numbers in [0, 1) for the whole global batch, the same on every replica.

    Args:
        seed: the run's seed.
        salt: tells several draws of one step apart.
        step: scalar integer, the step.
        rows: examples in the global batch.
        shape: of one example's numbers.

    Returns:
        float32 (rows, *shape).
    """
    key = tf.random.experimental.stateless_fold_in((seed, salt), tf.cast(step, tf.int64), alg="philox")
    # XLA draws the same bits and makes other floats of them than TensorFlow does; these are TensorFlow's.
    bits = tf.random.stateless_uniform((rows, *shape), key, minval=None, maxval=None, dtype=tf.int32, alg="philox")
    one_to_two = tf.bitwise.bitwise_or(tf.bitwise.bitwise_and(bits, 0x7FFFFF), 0x3F800000)  # 23 bits of a float32
    return tf.bitcast(one_to_two, tf.float32) - 1.0


def example_uniform(seed: int, salt: int, step: int | tf.Tensor, rows: int, shape: Sequence[int]) -> tf.Tensor:
    """Draw uniform numbers in [0, 1) for this replica's rows of the global batch, see `global_uniform`.

    The numbers of the whole global batch are drawn on every replica and each takes its own rows, so what an example
    gets depends on its index in the global batch and not on how many devices or micro batches share it. Keras' own
    generators give every replica the same numbers and forget their state when saved.

    Args:
        seed, salt, step, shape: see `global_uniform`.
        rows: examples of this replica, or of its micro batch.

    Returns:
        float32 (rows, *shape).
    """
    index, count = _micro_batch.get()
    share = rows * count  # examples of this replica
    uniform = own_rows(global_uniform(seed, salt, step, share * num_replicas(), shape), share)  # (share, *shape)
    # (share, *shape) to (count, rows, *shape), of which the micro batch takes its own
    return uniform if count == 1 else tf.reshape(uniform, (count, rows, *shape))[index]


def step_logs(values: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Return scalars that are equal on all replicas in the shape that Keras' `fit` accepts.

    For several workers Keras 3.15 averages logs over their first axis, which scalars lack (keras issue 20585).
    """
    if isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy):
        return {name: tf.reshape(value, (1,)) for name, value in values.items()}
    return values
