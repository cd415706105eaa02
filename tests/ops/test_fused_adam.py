"""Adam in one pass: the numbers of Keras' own, and its checkpoints."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_spot.ops.fused_adam import FusedAdam

RNG = np.random.default_rng(0)


def variables() -> list[keras.Variable]:
    rng = np.random.default_rng(1)
    return [keras.Variable(rng.normal(size=shape).astype("float32")) for shape in ((40, 30), (7,))]


@pytest.mark.parametrize("amsgrad", [False, True])
def test_it_steps_as_keras_does(amsgrad: bool) -> None:
    settings = {"learning_rate": 0.01, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-4, "amsgrad": amsgrad}
    ours, theirs = FusedAdam(**settings), keras.optimizers.Adam(**settings)
    mine, others = variables(), variables()
    for _ in range(5):
        gradients = [tf.constant(RNG.normal(size=variable.shape), tf.float32) for variable in mine]
        ours.apply(gradients, mine)
        theirs.apply(gradients, others)
    for a, b in zip((*mine, *ours.variables), (*others, *theirs.variables), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2e-5, atol=1e-7, err_msg=a.path)


def test_it_follows_a_schedule_and_survives_saving() -> None:
    schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 4, end_learning_rate=0.0)
    optimizer = FusedAdam(schedule)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert isinstance(again, FusedAdam)
    (variable, _), moved = variables(), []
    for _ in range(6):
        before = variable.numpy()
        again.apply([tf.ones(variable.shape)], [variable])
        moved.append(float(np.abs(variable.numpy() - before).max()))
    np.testing.assert_allclose(moved, [0.1, 0.075, 0.05, 0.025, 0, 0], atol=1e-4)
