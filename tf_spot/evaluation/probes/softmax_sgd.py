"""The linear probe by stochastic gradient descent: softmax on features that lie in a file, by a published schedule.

Source: the authors' follow-up code (Jenni and Favaro, CVPR 2020), as the paper's own schedule is not known.
Deviation: not Keras' `fit`, which finds the same weights (to 3e-6 of 1.4) but takes 1.8 times the CPU time on 4,000 x
2,000 features, and which inside a strategy's scope would split each batch, and its norm, among replicas.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_spot.features.ridge import Classifier
from tf_spot.storage.reserved_array import reserved_array

EPOCHS = 100  # the follow-up code has 900 on STL-10; on ImageNet others have 35 (RotNet) to 90 (DeepCluster)
BATCH = 64
RATES = (0.1, 0.01, 0.002, 0.0004, 0.00008)  # one after the other ...
CHANGES = (0.08, 0.4, 0.7, 0.9)  # ... at these shares of the steps
MOMENTUM = 0.9  # Nesterov's
DECAY = 5e-4  # of the weights: the loss has half of it times their squares
NORM_MOMENTUM, EPSILON = 0.975, 1e-3  # of the batch norm before the classifier, without scale or offset


def feature_file(path: Path, rows: int, values: int) -> np.ndarray:
    """Return a new file of float32 (rows, values) that is used like an array; memory holds only what is in use.

    Raises:
        NoSpace: the disk lacks space for the file.
    """
    return reserved_array(
        path,
        (rows, values),
        "--solver sgd, for the features of one layer,",
        "lower --num-values, or probe fewer --layers",
    )


def rate(step: int, steps: int) -> float:
    """Return the learning rate of step number `step` of `steps`."""
    return RATES[sum(step >= share * steps for share in CHANGES)]


class State(NamedTuple):
    """The variables of the training."""

    weights: tf.Tensor  # (values, classes)
    bias: tf.Tensor  # (classes,)
    weights_velocity: tf.Tensor
    bias_velocity: tf.Tensor
    mean: tf.Tensor  # (values,) moving, from zero
    variance: tf.Tensor  # (values,) moving, from zero


def fit_softmax(
    features: np.ndarray,
    classes: np.ndarray,
    num_classes: int,
    *,
    epochs: int = EPOCHS,
    seed: int = 0,
    after_epoch: Callable[[], None] = lambda: None,
) -> Classifier:
    """Train a softmax classifier behind a batch norm; `features` are read one batch at a time.

    Args:
        features: float32 (examples, values), in memory or in a file.
        classes: (examples,), numbers 0, 1, ...
        num_classes: how many there are.
        epochs: passes over the examples, each in an order of its own; an incomplete last batch is left out.
        seed: of the order.
        after_epoch: called after every epoch.
    """
    count, values = features.shape
    batch = min(BATCH, count)
    steps, numbers = count // batch, np.random.default_rng(seed)
    weights, bias = tf.zeros((values, num_classes)), tf.zeros(num_classes)
    state = State(weights, bias, weights, bias, tf.zeros(values), tf.zeros(values))
    for epoch in range(epochs):
        order = numbers.permutation(count)
        for step in range(steps):
            rows = np.sort(order[step * batch : (step + 1) * batch])  # a disk reads forward best
            now = tf.constant(rate(epoch * steps + step, epochs * steps), tf.float32)
            state = _step(state, features[rows], classes[rows].astype(np.int32), now)
        after_epoch()
    weight = 1 - NORM_MOMENTUM ** (epochs * steps)  # what the moving averages have seen: little in a short training
    scale = tf.math.rsqrt(state.variance / weight + EPSILON)
    return Classifier((state.mean / weight).numpy(), (state.weights * scale[:, None]).numpy(), state.bias.numpy())


@tf.function(reduce_retracing=True)
def _step(state: State, features: tf.Tensor, classes: tf.Tensor, now: tf.Tensor) -> State:
    """Return the state after one step of Nesterov's descent; softmax and its gradient are written out.

    Args:
        state: before the step.
        features: float32 (batch, values).
        classes: int32 (batch,).
        now: the learning rate, a scalar.
    """
    mean, variance = tf.nn.moments(features, axes=0)
    inputs = (features - mean) * tf.math.rsqrt(variance + EPSILON)  # (batch, values)
    shares = tf.nn.softmax(inputs @ state.weights + state.bias)  # (batch, classes)
    error = (shares - tf.one_hot(classes, tf.shape(state.bias)[0])) / tf.cast(tf.shape(features)[0], tf.float32)
    gradient = tf.matmul(inputs, error, transpose_a=True) + DECAY * state.weights
    weights, weights_velocity = _moved(state.weights, state.weights_velocity, gradient, now)
    bias, bias_velocity = _moved(state.bias, state.bias_velocity, tf.reduce_sum(error, axis=0), now)
    kept = NORM_MOMENTUM
    return State(weights, bias, weights_velocity, bias_velocity,
                 kept * state.mean + (1 - kept) * mean, kept * state.variance + (1 - kept) * variance)  # fmt: skip


def _moved(value: tf.Tensor, velocity: tf.Tensor, gradient: tf.Tensor, now: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return a variable and its velocity, both of the variable's shape, after one step."""
    velocity = MOMENTUM * velocity - now * gradient
    return value + MOMENTUM * velocity - now * gradient, velocity
