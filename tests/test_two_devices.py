"""Two devices under a strategy do what one does with the same global batch: damage, dropout and history included."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_spot.distributed.strategies import make_strategy
from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.discriminator import Discriminator
from tf_spot.models.layers import BatchNorm
from tf_spot.models.spotter import ArtifactSpotter

STEPS, BATCH, SIZE = 3, 8, 16
# Both compute the same sums in another order, a float32 rounding (6e-8) apart. Adam divides a gradient by its size, so
# where a gradient is all rounding, an update of at most the learning rate, 1e-3, is too; epsilon 1e-2 keeps it out.
WEIGHT_TOLERANCE = 2e-6
LOG_TOLERANCE = 1e-5
IMAGE_TOLERANCE = 5e-5  # nine layers of batch norm later; another row or mask would be 0.1 away


def batches() -> tf.data.Dataset:
    """Each image unlike the others, so that swapped or shared rows would show."""
    images = np.random.default_rng(1).uniform(-1, 1, (STEPS * BATCH, SIZE, SIZE, 3)).astype("float32")
    return tf.data.Dataset.from_tensor_slices(images).batch(BATCH, drop_remainder=True)


def adam() -> keras.optimizers.Optimizer:
    return keras.optimizers.Adam(1e-3, beta_1=0.5, epsilon=1e-2)


def small_autoencoder() -> Autoencoder:
    model = Autoencoder(image_size=SIZE, width=0.25, levels=2, weight_decay=0.1)
    model.compile(adam())
    return model


def small_spotter() -> ArtifactSpotter:
    autoencoder = Autoencoder(image_size=SIZE, width=0.25, levels=2)
    discriminator = Discriminator(
        image_size=SIZE, width=0.1, stem_kernel=3, stem_stride=1, trunk_norm="batch", norm_momentum=0.9,
        norm_epsilon=1e-3, fc_units=16, dropout_rate=0.5,
    )  # fmt: skip
    settings = {"history_batches": 2, "kept_weight": 30.0, "mask_weight": 1.0, "weight_decay": 0.1}
    spotter = ArtifactSpotter(autoencoder, discriminator, **settings)
    spotter.compile(adam(), adam())
    return spotter


def trained(make: Callable[[], Any], strategy: Any) -> SimpleNamespace:
    """`.model` after STEPS steps, `.logs` step by step."""
    keras.utils.set_random_seed(3)
    with strategy.scope():
        model = make()
    history = model.fit(batches().repeat(), epochs=STEPS, steps_per_epoch=1, shuffle=False, verbose=0)
    return SimpleNamespace(model=model, logs=history.history)


@pytest.fixture(scope="module")
def two() -> tf.distribute.Strategy:
    strategy = make_strategy("mirrored")
    assert strategy.num_replicas_in_sync == 2
    return strategy


@pytest.fixture(scope="module", params=[small_autoencoder, small_spotter], ids=["autoencoder", "spotter"])
def pair(request: pytest.FixtureRequest, two: tf.distribute.Strategy) -> tuple[SimpleNamespace, SimpleNamespace]:
    """Trained on one device, and on two."""
    return trained(request.param, tf.distribute.get_strategy()), trained(request.param, two)


def test_weights_after_three_steps_are_equal(pair: tuple[SimpleNamespace, SimpleNamespace]) -> None:
    one, two = (run.model for run in pair)
    assert len(one.variables) > 20
    for a, b in zip(one.variables, two.variables, strict=True):  # the history's buffer among them
        atol = IMAGE_TOLERANCE if a.path.endswith("/images") else WEIGHT_TOLERANCE
        np.testing.assert_allclose(b.numpy(), a.numpy(), atol=atol, rtol=1e-5, err_msg=a.path)


def test_logs_of_every_step_are_equal(pair: tuple[SimpleNamespace, SimpleNamespace]) -> None:
    one, two = (run.logs for run in pair)
    assert set(one) == set(two)
    for name, values in one.items():
        assert len(values) == STEPS
        np.testing.assert_allclose(two[name], values, rtol=LOG_TOLERANCE, atol=1e-7, err_msg=name)


def test_replicas_hold_the_same_weights(pair: tuple[SimpleNamespace, SimpleNamespace]) -> None:
    for variable in pair[1].model.variables:
        first, second = variable.value.values
        np.testing.assert_array_equal(first.numpy(), second.numpy(), err_msg=variable.path)


# Keras itself converts its variables in numpy 1's way when it saves.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
def test_what_two_replicas_save_one_device_loads(pair: tuple[SimpleNamespace, SimpleNamespace], tmp_path: Path) -> None:
    """Optimizers' moments and the whole history included."""
    two = pair[1].model
    two.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for a, b in zip(
        two.variables + two.optimizer.variables, loaded.variables + loaded.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)


def test_batch_norm_over_replicas_has_the_moments_and_gradients_of_the_whole_batch(two: tf.distribute.Strategy) -> None:
    images = np.random.default_rng(0).normal(3, 2, (4, 2, 2, 3)).astype("float32")
    weight = tf.constant(np.random.default_rng(1).normal(size=images.shape), tf.float32)

    def gradient(norm: BatchNorm, x: Any, w: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(w * norm(x, training=True))
        return tape.gradient(loss, x)

    one = BatchNorm(momentum=0.9, epsilon=1e-3)
    one.build((None, 2, 2, 3))
    expected = gradient(one, tf.constant(images), weight)
    with two.scope():
        norm = BatchNorm(momentum=0.9, epsilon=1e-3)
        norm.build((None, 2, 2, 3))

    def halves(whole: Any) -> Any:
        return two.experimental_distribute_values_from_function(
            lambda context: tf.constant(whole[2 * context.replica_id_in_sync_group :][:2])
        )

    parts = two.run(tf.function(lambda x, w: gradient(norm, x, w)), args=(halves(images), halves(weight))).values
    np.testing.assert_allclose(tf.concat(parts, 0), expected, atol=1e-6)
    np.testing.assert_allclose(norm.moving_mean.numpy(), one.moving_mean.numpy(), rtol=1e-6)
    np.testing.assert_allclose(norm.moving_variance.numpy(), one.moving_variance.numpy(), rtol=1e-6)
    np.testing.assert_allclose(one.moving_mean.numpy(), 0.1 * images.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(one.moving_variance.numpy(), 0.9 + 0.1 * images.var((0, 1, 2)), rtol=1e-5)


def test_history_refuses_a_batch_that_the_replicas_cannot_share(two: tf.distribute.Strategy) -> None:
    with two.scope():
        spotter = small_spotter()
        with pytest.raises(ValueError, match="divide by the 2 replicas"):
            spotter.prepare_history(7)


def test_health_and_pictures_see_one_device_also_inside_the_scope(
    pair: tuple[SimpleNamespace, SimpleNamespace], two: tf.distribute.Strategy
) -> None:
    """Random draws of a step must not look for a replica where none runs."""
    model = pair[1].model
    if not hasattr(model, "corrupt"):
        return
    images = np.random.default_rng(2).uniform(-1, 1, (3, SIZE, SIZE, 3)).astype("float32")
    outside = model.corrupt(images, tf.constant(5))
    with two.scope():
        inside = model.corrupt(images, tf.constant(5))
        features = model.backbone(images)["conv5"]
    np.testing.assert_array_equal(inside.keep_mask, outside.keep_mask)
    np.testing.assert_allclose(features, model.backbone(images)["conv5"], atol=1e-6)
