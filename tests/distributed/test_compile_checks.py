"""What `compile` and `fit` refuse, each with the value received and the remedy."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_spot.distributed.compile_checks import fixed_batch
from tf_spot.errors import UserError
from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.spotter import ArtifactSpotter


def small(**settings: Any) -> Autoencoder:
    return Autoencoder(image_size=8, width=0.0625, levels=2, **settings)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"global_clipnorm": 1.0}, "clipping.*received: global_clipnorm=1.0"),
        ({"clipnorm": 1.0}, "clipping.*received: clipnorm=1.0"),
        ({"clipvalue": 1.0}, "clipping.*received: clipvalue=1.0"),
        ({"gradient_accumulation_steps": 2}, "gradient accumulation.*received: gradient_accumulation_steps=2"),
    ],
)
def test_optimizers_that_several_replicas_cannot_have_are_refused(
    two: tf.distribute.Strategy, settings: Any, says: str
) -> None:
    small().compile(keras.optimizers.Adam(1e-3, **settings))  # one device can; accumulation in stage 1 alone
    with two.scope():
        autoencoder = small()
        with pytest.raises(UserError, match=f"2 replicas cannot use {says}"):
            autoencoder.compile(keras.optimizers.Adam(1e-3, **settings))
        spotter = ArtifactSpotter(small())
        with pytest.raises(UserError, match=says.rpartition("received: ")[2]):
            spotter.compile(repair_optimizer=keras.optimizers.Adam(1e-3, **settings))


@pytest.mark.parametrize("which", ["discriminator_optimizer", "repair_optimizer"])
def test_accumulation_is_refused_where_draws_depend_on_the_number_of_updates(which: str) -> None:
    spotter = ArtifactSpotter(small())
    with pytest.raises(
        UserError, match=r"gradient_accumulation_steps=2; to save memory use compile\(micro_batches=n\)"
    ):
        spotter.compile(**{which: keras.optimizers.Adam(1e-3, gradient_accumulation_steps=2)})


def test_several_steps_in_one_execution_are_refused_under_replicas(two: tf.distribute.Strategy) -> None:
    with two.scope(), pytest.raises(UserError, match="received: steps_per_execution=2"):
        small().compile(steps_per_execution=2)


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16", "float64"])
def test_other_precisions_are_refused(policy: str) -> None:
    with pytest.raises(UserError, match=f"in float32 or mixed_bfloat16; received: dtype policy {policy};"):
        small(dtype=policy).compile()


def test_parts_made_outside_of_the_scope_are_refused_with_the_cure(two: tf.distribute.Strategy) -> None:
    images = np.zeros((4, 8, 8, 3), "float32")
    outside = keras.optimizers.Adam()
    with (
        two.scope(),
        pytest.raises(UserError, match=r"received: optimizer adam.*, made outside.*with strategy.scope\(\)"),
    ):
        small().compile(outside)
    model = small()
    model.compile()
    with two.scope(), pytest.raises(UserError, match=r"received: the model, .*with strategy.scope\(\)"):
        model.fit(images, batch_size=4, verbose=0)
    with two.scope(), pytest.raises(UserError, match="received: the model"):
        ArtifactSpotter(model).compile()


def test_batches_that_the_replicas_cannot_share_are_refused_by_fit(two: tf.distribute.Strategy) -> None:
    with two.scope():
        model = small()
    model.compile()  # its optimizer is made in the scope of the model
    images = np.zeros((9, 8, 8, 3), "float32")
    for data, settings, received in [
        (images, {"batch_size": 3}, "batches of 3"),
        (images, {"batch_size": 4}, "batches whose size may vary"),
        (tf.data.Dataset.from_tensor_slices(images).batch(4), {}, "batches whose size may vary"),
    ]:
        with pytest.raises(UserError, match=f"divide by the 2 replicas; received: {received}"):
            model.fit(data, verbose=0, **settings)


def test_the_size_of_a_batch_is_told_where_it_is_fixed(two: tf.distribute.Strategy) -> None:
    """Under two replicas a distributed dataset knows its share of four; the global batch has eight."""
    images = np.zeros((24, 8, 8, 3), "float32")
    dataset = tf.data.Dataset.from_tensor_slices(images)
    model = small()
    model.compile()
    assert fixed_batch(model, dataset.batch(8, drop_remainder=True), None) == 8
    assert fixed_batch(model, dataset.batch(8), None) is None
    assert fixed_batch(model, images, 12) == 12
    assert fixed_batch(model, images, None) == 32, "Keras' default"
    with two.scope():
        model = small()
    model.compile()
    distributed = two.experimental_distribute_dataset(dataset.batch(8, drop_remainder=True))
    assert fixed_batch(model, distributed, None) == 8
    assert fixed_batch(model, images, 8) == 8


def test_batches_that_micro_batches_cannot_share_are_refused() -> None:
    model = small()
    model.compile(micro_batches=3)
    images = np.zeros((9, 8, 8, 3), "float32")
    assert fixed_batch(model, images, 6) == 6
    with pytest.raises(UserError, match="divide into 3 micro batches; received: batches of 4"):
        fixed_batch(model, images, 4)
    with pytest.raises(UserError, match="divide into 3 micro batches; received: batches whose size may vary"):
        fixed_batch(model, np.zeros((8, 8, 8, 3), "float32"), 6)
