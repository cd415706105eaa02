"""Stage 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_spot.config import PAPER
from tf_spot.models.autoencoder import Autoencoder

# Keras itself converts its variables in numpy 1's way when it saves.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

SIZE = 16


def pictures(count: int, seed: int = 0) -> np.ndarray:
    """Smooth blobs of colour: (count, SIZE, SIZE, 3) in [-1, 1]."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(-1, 1, (count, 4, 4, 3)).astype("float32")
    return tf.image.resize(coarse, (SIZE, SIZE)).numpy()


def small(**changes: Any) -> Autoencoder:
    return Autoencoder(**({"image_size": SIZE, "width": 0.25, "levels": 2} | changes))


def copy(model: Autoencoder, **changes: Any) -> Autoencoder:
    other = Autoencoder(**(model.get_config() | changes))
    other.set_weights(model.get_weights())
    return other


def test_shapes_and_range() -> None:
    model, images = small(levels=3), pictures(2)
    encoding = model.encoder(images)
    assert model.grid_size == 2 and encoding.shape == (2, 2, 2, 128)
    decoded = model(images)
    assert decoded.shape == images.shape and decoded.dtype == tf.float32 and np.abs(decoded).max() <= 1
    np.testing.assert_array_equal(decoded, model.decoder(encoding))


def test_image_size_must_fit_the_levels() -> None:
    with pytest.raises(ValueError, match="multiple of 8 with levels=3. Received: 20"):
        Autoencoder(image_size=20, levels=3)


@pytest.mark.parametrize(("encoder_kernel", "cells"), [(2, 1), (3, 4)])
def test_kernel_size_two_keeps_cells_apart(encoder_kernel: int, cells: int) -> None:
    """The last pixel but one of a cell reaches only its own cell through 2x2 kernels; 3x3 kernels spread it."""
    model, images = small(encoder_kernel=encoder_kernel, levels=2), pictures(1)
    changed = images.copy()
    changed[0, 4 * 1 + 1, 4 * 1 + 1] += 0.5
    if encoder_kernel == 3:
        changed[0, 7, 7] += 0.5
    moved = np.abs(model.encoder(images) - model.encoder(changed))[0].max(-1) > 0
    assert moved.sum() == cells if encoder_kernel == 2 else moved.sum() >= cells


def test_settings_change_the_outputs() -> None:
    model, images = small(), pictures(2)
    for change in ({"negative_slope": 0.5}, {"norm_epsilon": 0.5}):
        assert np.abs(copy(model, **change)(images) - model(images)).max() > 1e-3


def test_one_step_is_the_gradient_of_the_weighted_loss() -> None:
    model, images = small(norm_momentum=0.9), pictures(4)
    stepped = copy(model, reconstruction_weight=30.0, weight_decay=0.5)
    stepped.compile(keras.optimizers.SGD(0.01))
    logs = stepped.train_step(images)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(images, training=True) - images))
    assert float(logs["reconstruction_loss"]) == pytest.approx(float(loss), rel=1e-5)
    variables = model.trainable_variables
    for gradient, old, new in zip(tape.gradient(loss, variables), variables, stepped.trainable_variables, strict=True):
        decay = 0.5 * old if len(old.shape) > 1 else 0.0
        np.testing.assert_allclose(new, old - 0.01 * (30 * gradient + decay), atol=1e-5, err_msg=old.path)
    for old, new in zip(model.non_trainable_variables, stepped.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(old, new)  # moved alike
        assert np.any(new.numpy() != (1 if "variance" in new.path else 0))


def test_default_optimizer_is_the_authors() -> None:
    model = small()
    model.compile()
    training = PAPER.training
    assert float(model.optimizer.learning_rate) == pytest.approx(training.autoencoder_learning_rate)
    assert (model.optimizer.beta_1, model.optimizer.epsilon) == (training.adam_beta_1, training.adam_epsilon)


def test_it_learns_to_copy_and_survives_saving(tmp_path: Path) -> None:
    model = small(norm_momentum=0.9)
    model.compile(keras.optimizers.Adam(5e-3))
    images = tf.data.Dataset.from_tensor_slices(pictures(64)).batch(16)
    history = model.fit(images.repeat(15), shuffle=False, verbose=0, epochs=1).history["reconstruction_loss"]
    assert model.evaluate(images, verbose=0) < 0.3 * np.var(pictures(64)) and history[0] < 1
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    fresh = copy(small())
    fresh.compile(keras.optimizers.Adam(5e-3))
    fresh.load_weights(tmp_path / "model.weights.h5")
    assert loaded.get_config() == model.get_config()
    for other in (loaded, fresh):
        assert int(other.optimizer.iterations) == 60
        ours, theirs = (m.variables + m.optimizer.variables for m in (model, other))
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
