"""A fresh critic: a small network, trained here alone, that tries to tell altered images from decoded ones.

The run's own discriminator is no judge of the repair, as the repair was trained against it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf_spot.training.health import auc

STEPS = 600
HALF_BATCH = 32  # images of each kind in a step
TRAIN_SHARE = 0.7  # of the photos; the critic is tested on the others
LEARNING_RATE = 1e-3  # Adam
LAYERS = ((32, 5), (64, 3), (128, 3))  # filters and kernel size of the convolutions, each of stride 2


class CriticScore(NamedTuple):
    """What a critic found."""

    auc: float  # 0.5: it cannot tell the images apart; 1: it always can
    stderr: float  # of the test images, not of the training


def split(photos: int) -> int:
    """Return how many of so many photos the critic trains on, the first ones."""
    return int(TRAIN_SHARE * photos)


def critic_score(
    decoded: np.ndarray, altered: np.ndarray, seed: int, on_share: Callable[[float], None] | None = None
) -> CriticScore:
    """Train a critic to tell decoded from altered images, and test it on other photos.

    Args:
        decoded, altered: of the same photos, float32 (photos, height, width, 3) in [-1, 1].
        seed: of weights and batches; Keras' global seed is set to it.
        on_share: called with the share of the training that is done.
    """
    keras.utils.set_random_seed(seed)
    critic, count = _build(decoded.shape[1:]), split(len(decoded))
    _train(critic, decoded[:count], altered[:count], seed, on_share)
    answers = [critic.predict(images[count:], verbose=0)[:, 0] for images in (decoded, altered)]
    each = len(answers[0])
    found = auc(np.arange(2 * each) < each, np.concatenate(answers)) or 0.0  # both kinds are there
    return CriticScore(found, auc_stderr(found, each))


def auc_stderr(area: float, each: int) -> float:
    """Return the standard error of an area under the ROC curve.

    Args:
        area: from 0 to 1.
        each: examples of each of the two classes.

    Source: Hanley & McNeil, Radiology 1982.
    """
    positives, negatives = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (each - 1) * (positives + negatives - 2 * area**2)
    return math.sqrt(max(0.0, variance)) / each


def _build(shape: tuple[int, ...]) -> keras.Sequential:
    blocks = [
        layer
        for filters, size in LAYERS
        for layer in (
            keras.layers.Conv2D(filters, size, 2, padding="same", activation="relu"),
            keras.layers.BatchNormalization(),
        )
    ]
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)]
    return keras.Sequential([keras.layers.Input(shape), *blocks, *head])


def _train(
    critic: keras.Sequential,
    decoded: np.ndarray,
    altered: np.ndarray,
    seed: int,
    on_share: Callable[[float], None] | None,
) -> None:
    optimizer, random = keras.optimizers.Adam(LEARNING_RATE), np.random.default_rng((5, seed))

    @tf.function
    def step(real: tf.Tensor, fake: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            logits = critic(tf.concat([real, fake], axis=0), training=True)[:, 0]
            targets = tf.concat([tf.ones(HALF_BATCH), tf.zeros(HALF_BATCH)], axis=0)
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits))
        optimizer.apply(tape.gradient(loss, critic.trainable_variables), critic.trainable_variables)

    for number in range(STEPS):
        # Photos of both halves are drawn apart, so that the critic cannot go by pairs.
        halves = [images[random.integers(0, len(images), HALF_BATCH)] for images in (decoded, altered)]
        flip = slice(None, None, -1) if random.random() < 0.5 else slice(None)
        step(*(tf.constant(half[:, :, flip]) for half in halves))
        if on_share:
            on_share((number + 1) / STEPS)
