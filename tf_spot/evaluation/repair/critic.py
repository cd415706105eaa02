"""Fresh critics: small networks, trained here alone, that try to tell altered images from decoded ones.

The run's own discriminator is no judge of the repair, as the repair was trained against it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf_spot.training.health import auc

CRITICS = 3  # from initial weights of their own: what one finds varies by more than the error of the test images
STEPS = 600
HALF_BATCH = 32  # images of each kind in a step
BATCH = 256  # images in a step of the test
TRAIN_SHARE = 0.7  # of the photos; the critic is tested on the others
LEARNING_RATE = 1e-3  # Adam
LAYERS = ((32, 5), (64, 3), (128, 3))  # filters and kernel size of the convolutions, each of stride 2


class CriticScore(NamedTuple):
    """What the critics found."""

    auc: float  # the mean of theirs. 0.5: they cannot tell the images apart; 1: they always can
    stderr: float  # of the test images, and of the critics as a sample of their kind
    aucs: tuple[float, ...]  # of each critic


def split(photos: int) -> int:
    """Return how many of so many photos the critic trains on, the first ones."""
    return int(TRAIN_SHARE * photos)


def critic_score(
    decoded: np.ndarray, altered: np.ndarray, seed: int, on_share: Callable[[float], None] | None = None
) -> CriticScore:
    """Train critics to tell decoded from altered images, and test them on other photos.

    Args:
        decoded, altered: of the same photos, float32 (photos, height, width, 3) in [-1, 1].
        seed: of weights and batches; Keras' global seed is set.
        on_share: called with the share of the trainings that is done.
    """
    count, critic = split(len(decoded)), _Critic(decoded.shape[1:])
    found = []
    for number in range(CRITICS):
        critic.start_anew(seed * CRITICS + number)
        before = number / CRITICS
        share = (lambda part, before=before: on_share(before + part / CRITICS)) if on_share else None
        _train(critic, decoded[:count], altered[:count], share)
        answers = [critic.answers(images[count:]) for images in (decoded, altered)]
        is_decoded = np.arange(len(answers[0]) + len(answers[1])) < len(answers[0])
        found.append(auc(is_decoded, np.concatenate(answers)) or 0.0)  # both kinds are there
    mean, of_critics = statistics.fmean(found), statistics.variance(found) / CRITICS
    of_photos = auc_stderr(mean, len(decoded) - count)
    return CriticScore(mean, math.sqrt(of_photos**2 + of_critics), tuple(found))


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


class _Critic:
    """A network that becomes one critic after the other, so that TensorFlow traces it once.

    Args:
        shape: of an image.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.seed, self._shape, self._network = 0, shape, _build(shape)
        self._optimizer = keras.optimizers.Adam(LEARNING_RATE)
        self._optimizer.build(self._network.trainable_variables)
        self._unused = [variable.numpy() for variable in self._optimizer.variables]
        images = tf.TensorSpec((None, *shape), tf.float32)
        self.learn = tf.function(self._learn, input_signature=(images, images))
        self._judge = tf.function(self._network, input_signature=(images,))

    def start_anew(self, seed: int) -> None:
        """Forget everything, and draw other initial weights."""
        keras.utils.set_random_seed(seed)
        self.seed = seed
        self._network.set_weights(_build(self._shape).get_weights())
        for variable, value in zip(self._optimizer.variables, self._unused, strict=True):
            variable.assign(value)

    def _learn(self, real: tf.Tensor, fake: tf.Tensor) -> None:
        """Update the network once; `real` and `fake` are images (batch, height, width, 3)."""
        with tf.GradientTape() as tape:
            logits = self._network(tf.concat([real, fake], axis=0), training=True)[:, 0]
            targets = tf.concat([tf.ones(HALF_BATCH), tf.zeros(HALF_BATCH)], axis=0)
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits))
        variables = self._network.trainable_variables
        self._optimizer.apply(tape.gradient(loss, variables), variables)

    def answers(self, images: np.ndarray) -> np.ndarray:
        """Return a number for each image (images, height, width, 3), larger for those that look decoded."""
        batches = [images[first : first + BATCH] for first in range(0, len(images), BATCH)]
        return np.concatenate([self._judge(tf.constant(batch)).numpy()[:, 0] for batch in batches])


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
    critic: _Critic,
    decoded: np.ndarray,
    altered: np.ndarray,
    on_share: Callable[[float], None] | None,
) -> None:
    random = np.random.default_rng((5, critic.seed))
    for number in range(STEPS):
        # Photos of both halves are drawn apart, so that the critic cannot go by pairs.
        halves = [images[random.integers(0, len(images), HALF_BATCH)] for images in (decoded, altered)]
        flip = slice(None, None, -1) if random.random() < 0.5 else slice(None)
        critic.learn(*(tf.constant(half[:, :, flip]) for half in halves))
        if on_share:
            on_share((number + 1) / STEPS)
