"""The update of two sides at once: each by its own loss alone."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_task import make
from tf_spot.baselines.adversarial import AdversarialPretext
from tf_spot.baselines.pretext import built


class Tug(AdversarialPretext):
    """A number of ours and one of theirs; we want their product small, they want it large."""

    task_metric_names = ("pretext_loss", "extra", "discriminator_loss")
    minimised = ("pretext_loss", "extra")

    def build_heads(self) -> None:
        ones = keras.initializers.Ones()
        self.ours = built(keras.layers.Dense(1, kernel_initializer=ones), 1)
        self.discriminator = built(keras.layers.Dense(1, kernel_initializer=ones), 1)

    def task_metrics(self, images, labels, step, training):
        product = tf.reduce_sum(self.discriminator(self.ours(tf.ones((1, 1)))))
        return {"pretext_loss": product, "extra": 2 * product, "discriminator_loss": -product}


def tug(**settings) -> Tug:
    model = Tug(make("rotation").backbone, 32, units=8, **settings)
    model.backbone.trainable = False
    model.compile(keras.optimizers.SGD(0.125), jit_compile=False)
    return model


def test_each_side_follows_its_own_losses() -> None:
    """By hand: ours 1 - 3 / 8 by the sum of both losses, theirs 1 + 1 / 8, and nobody by the other's."""
    model = tug()
    logs = model.train_step(tf.zeros((1, 32, 32, 3)))
    assert {name: float(value) for name, value in logs.items()} == {
        "pretext_loss": 1.0,
        "extra": 2.0,
        "discriminator_loss": -1.0,
    }
    assert float(model.ours.kernel[0, 0]) == pytest.approx(1 - 3 / 8)
    assert float(model.discriminator.kernel[0, 0]) == pytest.approx(1 + 1 / 8)


def test_both_sides_are_decayed() -> None:
    model = tug(weight_decay=0.5)
    model.train_step(tf.zeros((1, 32, 32, 3)))
    assert float(model.ours.kernel[0, 0]) == pytest.approx(1 - 3.5 / 8)
    assert float(model.discriminator.kernel[0, 0]) == pytest.approx(1 + 0.5 / 8)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["bigan", "lci"])
def test_one_adam_is_two(method: str) -> None:
    """The same weights as after an optimizer for each side."""
    images = tf.random.stateless_uniform((4, 32, 32, 3), (1, 2), -1, 1)
    one, two = make(method), make(method)
    theirs = two.discriminator.trainable_variables
    ours = [v for v in two.trainable_variables if not any(v is their for their in theirs)]
    optimizers = keras.optimizers.Adam(2e-3), keras.optimizers.Adam(2e-3)
    for step in range(2):
        one.train_step(images)
        with tf.GradientTape(persistent=True) as tape:
            metrics = two.task_metrics(images, None, step, training=True)
            loss = tf.add_n([metrics[name] for name in two.minimised])
        sides = ((loss, ours), (metrics["discriminator_loss"], theirs))
        for optimizer, (value, variables) in zip(optimizers, sides, strict=True):
            optimizer.apply(tape.gradient(value, variables), variables)
    for a, b in zip(one.trainable_variables, two.trainable_variables, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
