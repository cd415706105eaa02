"""What Keras needs for two networks with an optimizer each."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tests.models.test_spotter import BATCH, make, pictures
from tf_spot.config import PAPER


def test_both_optimizers_are_the_authors_adam_and_built_by_compile() -> None:
    spotter = make()
    spotter.compile()
    training = PAPER.training
    for optimizer, rate in (
        (spotter.optimizer, training.discriminator_learning_rate),
        (spotter.optimizer_of_repair, training.repair_learning_rate),
    ):
        assert optimizer.built and float(optimizer.learning_rate) == np.float32(rate)
        assert (optimizer.beta_1, optimizer.epsilon) == (training.adam_beta_1, training.adam_epsilon)


def test_where_nothing_is_repaired_there_is_no_second_optimizer() -> None:
    spotter = make(repair="none")
    spotter.compile()
    assert spotter.optimizer_of_repair is None
    assert "repair_loss" not in spotter.train_step(pictures())


def test_the_compile_settings_come_back() -> None:
    spotter, again = make(), make()
    assert spotter.get_compile_config() == {}
    spotter.compile(keras.optimizers.SGD(0.25), keras.optimizers.SGD(0.5), micro_batches=2, recompute=True)
    again.compile_from_config(spotter.get_compile_config())
    rates = [float(one.learning_rate) for one in (again.optimizer, again.optimizer_of_repair)]
    assert (rates, again.micro_batches, again.repair.recompute) == ([0.25, 0.5], 2, True)


def test_the_step_is_that_of_the_discriminators_optimizer() -> None:
    spotter = make()
    spotter.compile("sgd", "sgd")
    for _ in range(3):
        spotter.train_step(pictures(BATCH))
    assert int(spotter.step) == int(spotter.optimizer.iterations) == 3


def test_gradients_hold_the_decay_of_kernels_alone() -> None:
    spotter = make(weight_decay=0.5)
    kernel, bias = tf.Variable([[2.0]]), tf.Variable([3.0])
    with tf.GradientTape() as tape:
        loss = 10 * kernel[0, 0] + 100 * bias[0]
    gradients = spotter.gradients(tape, loss, [kernel, bias])
    assert [float(tf.reduce_sum(gradient)) for gradient in gradients] == [10 + 0.5 * 2, 100]


def test_epoch_means_are_means_over_the_steps() -> None:
    spotter = make()
    spotter.epoch_means({"mask_loss": tf.constant(1.0)})
    assert float(spotter.epoch_means({"mask_loss": tf.constant(3.0)})["mask_loss"]) == 2.0
