"""Small pretext models and pictures to train them on, for the tests of the baselines."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_spot.baselines import pretext_class
from tf_spot.baselines.pretext import Pretext
from tf_spot.config import preset
from tf_spot.models.from_config import build_discriminator

CONFIG = preset("tiny").replace(**{"network.width": 0.125, "network.fc_units": 32})
SIZE = 32


def make(method: str, **settings: Any) -> Pretext:
    """Return a compiled pretext model on a narrow backbone."""
    keras.utils.set_random_seed(0)
    model = pretext_class(method)(build_discriminator(CONFIG).backbone, SIZE, units=32, **settings)
    model.compile(keras.optimizers.Adam(2e-3), jit_compile=False)
    return model


def one_step(model: Pretext, images: tf.Tensor) -> None:
    """Train one step without the seconds that tracing a graph takes."""
    model.train_step(images)


def pictures(count: int, seed: int = 0) -> tf.Tensor:
    """Draw photos of a kind: each of its own colours, light above and dark below, a disc in the lower left quarter.

    Returns:
        float32 (count, SIZE, SIZE, 3) in [-1, 1].
    """
    numbers = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    images = []
    for _ in range(count):
        sky, ground, disc = numbers.uniform(-0.5, 0.5, (3, 3))
        image = sky + 0.5 - rows[..., None] * (sky + 1 - ground)
        inside = (rows - 0.7) ** 2 + (columns - 0.3) ** 2 < numbers.uniform(0.01, 0.03)
        image[inside] = disc + 0.2
        images.append(image + numbers.normal(0, 0.05, image.shape))
    return tf.constant(np.clip(images, -1, 1), tf.float32)


def learn(model: Pretext, steps: int, labels: tf.Tensor | None = None) -> dict[str, tuple[float, float]]:
    """Return the metrics of the first and the last of four epochs, `steps` batches of 16 pictures in all."""
    data = (pictures(16 * 8),) if labels is None else (pictures(16 * 8), labels)
    batches = tf.data.Dataset.from_tensor_slices(data if labels is not None else data[0]).repeat().batch(16)
    history = model.fit(batches, steps_per_epoch=steps // 4, epochs=4, verbose=0, shuffle=False).history
    return {name: (values[0], values[-1]) for name, values in history.items()}


def check_draws(method: str) -> None:
    """Check that a task's random draws are functions of seed and step."""
    model, images = make(method, seed=5), pictures(8)
    losses = [float(model.task_metrics(images, None, step, training=False)["pretext_loss"]) for step in (3, 3, 4)]
    assert losses[0] == losses[1] != losses[2]
    other = make(method, seed=6)
    other.set_weights(model.get_weights())
    assert float(other.task_metrics(images, None, 3, training=False)["pretext_loss"]) != losses[0]


def positions(size: int) -> tf.Tensor:
    """Return one image whose two channels are each pixel's row and column: float32 (1, size, size, 2)."""
    return tf.cast(tf.stack(tf.meshgrid(tf.range(size), tf.range(size), indexing="ij"), axis=-1)[None], tf.float32)


def noise(numbers: np.random.Generator, *shape: int) -> tf.Tensor:
    """Return uniform noise in [-1, 1): float32 of that shape."""
    return tf.constant(numbers.uniform(-1, 1, shape), tf.float32)
