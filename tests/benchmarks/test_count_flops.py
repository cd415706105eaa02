"""Operations are those of the layers that the result depends on."""

from __future__ import annotations

import runpy
from pathlib import Path

import tensorflow as tf

COUNT = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "count_flops.py"))


def test_work_that_no_result_needs_does_not_count() -> None:
    """The gradient of a frozen kernel is in the graph, and never runs."""
    kernel = tf.ones((3, 3, 8, 4))

    @tf.function
    def step(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            maps = tf.nn.conv2d(images, kernel, 2, "SAME")
            score = tf.matmul(tf.reshape(maps, (2, -1)), tf.ones((3 * 3 * 4, 5)))
        return tape.gradient(score, images)

    function = step.get_concrete_function(tf.TensorSpec((2, 6, 6, 8)))
    assert "Conv2DBackpropFilter" in {operation.type for operation in function.graph.get_operations()}
    # the gradient of a linear map does not depend on the forward pass
    assert COUNT["flop"](function) == 2 * (3 * 3 * 8 * 4) * (2 * 3 * 3) + 2 * (2 * 36 * 5)


def test_traffic_is_what_the_needed_operations_read_and_write() -> None:
    """A sum of squares: the square reads and writes 40 numbers, the sum reads them, a constant, and writes one."""

    @tf.function
    def step(numbers):
        tf.exp(numbers)  # not needed
        return tf.reduce_sum(tf.square(tf.reshape(numbers, (4, 10))))

    function = step.get_concrete_function(tf.TensorSpec((40,)))
    axes = 2 * 4  # the axes that are summed, two int32
    assert COUNT["traffic"](function) == 4 * (40 + 40) + 4 * (40 + 1) + axes
