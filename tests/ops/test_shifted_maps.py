"""Pooling, response norm and upsampling of shifted maps are TensorFlow's own, and so are their gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from tests.ops.test_convolutions import noise
from tf_spot.ops import shifted_maps


def with_gradient(function: Callable[[tf.Tensor], tf.Tensor], inputs: tf.Tensor, compiled: bool) -> list[np.ndarray]:
    """Of a score in which every output counts differently."""

    @tf.function(jit_compile=compiled)
    def computed(inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = function(inputs)
            score = tf.reduce_sum(outputs * tf.reshape(tf.range(float(tf.size(outputs))), outputs.shape))
        return outputs, tape.gradient(score, inputs)

    return [value.numpy() for value in computed(inputs)]


FUNCTIONS = {
    "pooling": (shifted_maps.max_pool, lambda x: tf.nn.max_pool2d(x, 3, 2, "SAME")),
    "response norm": (
        lambda x: shifted_maps.response_norm(10 * x, 2, 1.0, 2e-2, 0.75),
        lambda x: tf.nn.local_response_normalization(10 * x, 2, 1.0, 2e-2, 0.75),
    ),
    "upsampling": (
        shifted_maps.upsample,
        lambda x: tf.image.resize(x, (2 * x.shape[1], 2 * x.shape[2])),
    ),
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("size", [(6, 8), (7, 5), (2, 1)])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_shifted_maps_give_what_the_kernels_do(name: str, size: tuple[int, int], compiled: bool) -> None:
    ours, theirs = FUNCTIONS[name]
    inputs = noise(2, *size, 7)
    found, wanted = with_gradient(ours, inputs, compiled), with_gradient(theirs, inputs, False)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())


@pytest.mark.parametrize("compiled", [False, True])
def test_the_first_of_equal_values_takes_the_gradient_of_pooling(compiled: bool) -> None:
    found, wanted = (
        with_gradient(function, tf.ones((1, 4, 4, 1)), compiled and ours)
        for ours, function in zip((True, False), FUNCTIONS["pooling"], strict=True)
    )
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)
