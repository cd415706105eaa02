"""Draws and sums over the global batch: on two replicas as on one device."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tf_spot.distributed.replicas import (
    example_uniform,
    gather_rows,
    global_sum,
    global_uniform,
    micro_batch,
    num_replicas,
    own_rows,
    per_replica,
    step_logs,
)

BATCH = 8


def test_two_replicas_draw_the_two_halves_of_the_global_batch(two: tf.distribute.Strategy) -> None:
    whole = example_uniform(7, 1, tf.constant(5), BATCH, (2, 3))
    halves = two.run(lambda: example_uniform(7, 1, tf.constant(5), BATCH // 2, (2, 3))).values
    np.testing.assert_array_equal(tf.concat(halves, 0), whole)
    assert np.abs(halves[0] - halves[1]).max() > 0.1


def test_sums_and_rows_of_the_global_batch(two: tf.distribute.Strategy) -> None:
    values = two.experimental_distribute_values_from_function(
        lambda context: tf.constant([[1.0, 2.0]]) * 10**context.replica_id_in_sync_group
    )
    for total in two.run(global_sum, args=(values,)).values:
        np.testing.assert_array_equal(total, [[11, 22]])
    for rows in two.run(gather_rows, args=(values,)).values:
        np.testing.assert_array_equal(rows, [[1, 2], [10, 20]])
    first, second = two.run(lambda v: own_rows(gather_rows(v), 1), args=(values,)).values
    np.testing.assert_array_equal(first, [[1, 2]])
    np.testing.assert_array_equal(second, [[10, 20]])


def test_replicas_are_counted_inside_a_step_only(two: tf.distribute.Strategy) -> None:
    assert num_replicas() == 1
    with two.scope():
        assert num_replicas() == 1
    assert two.run(lambda: tf.constant(num_replicas())).values[0] == 2


def test_losses_of_the_replicas_add_up_to_that_of_the_batch(two: tf.distribute.Strategy) -> None:
    assert per_replica(tf.constant(3.0)) == 3.0
    parts = two.run(lambda: per_replica(tf.constant(3.0))).values
    assert [float(part) for part in parts] == [1.5, 1.5]


def test_outside_a_strategy_a_batch_is_its_own_sum_and_rows() -> None:
    value = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    for same in (global_sum(value), gather_rows(value), own_rows(value, 2)):
        np.testing.assert_array_equal(same, value)


def test_draws_depend_on_seed_salt_and_step_alone() -> None:
    first = global_uniform(7, 1, 5, BATCH, (2, 3))
    assert first.shape == (BATCH, 2, 3) and first.dtype == tf.float32
    assert float(tf.reduce_min(first)) >= 0 and float(tf.reduce_max(first)) < 1
    np.testing.assert_array_equal(global_uniform(7, 1, tf.constant(5), BATCH, (2, 3)), first)
    for seed, salt, step in ((8, 1, 5), (7, 2, 5), (7, 1, 6)):
        assert np.abs(global_uniform(seed, salt, step, BATCH, (2, 3)) - first).max() > 0.1


def test_micro_batches_draw_the_parts_of_the_batch_in_order() -> None:
    whole = example_uniform(7, 1, 5, BATCH, (3,))
    parts = []
    for index in range(4):
        with micro_batch(index, 4):
            parts.append(example_uniform(7, 1, 5, BATCH // 4, (3,)))
    np.testing.assert_array_equal(tf.concat(parts, axis=0), whole)
    np.testing.assert_array_equal(example_uniform(7, 1, 5, BATCH, (3,)), whole)  # the context is left again


def test_logs_keep_their_shape_unless_there_are_several_workers() -> None:
    logs = {"loss": tf.constant(1.0)}
    assert step_logs(logs) is logs


def test_draws_are_those_of_tensorflow_and_the_same_when_xla_compiles_them() -> None:
    key = tf.random.experimental.stateless_fold_in((7, 1), tf.constant(5, tf.int64))
    wanted = tf.random.stateless_uniform((BATCH, 3), key)
    compiled = tf.function(lambda step: global_uniform(7, 1, step, BATCH, (3,)), jit_compile=True)
    for found in (global_uniform(7, 1, 5, BATCH, (3,)), compiled(tf.constant(5))):
        np.testing.assert_array_equal(found, wanted)
