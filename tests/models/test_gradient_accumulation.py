"""A batch in parts gives the update of the whole batch, batch norm apart."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.test_spotter import BATCH, make, pictures
from tf_spot.config import preset
from tf_spot.distributed.replicas import example_uniform, micro_batch
from tf_spot.distributed.strategies import make_strategy
from tf_spot.errors import UserError
from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.from_config import build_autoencoder
from tf_spot.models.gan import GAN
from tf_spot.models.gradient_accumulation import MicroBatches
from tf_spot.models.layers import BatchNorm
from tf_spot.models.losses import reconstruction_loss

HISTORY = {"history_batches": 2, "batch_size": BATCH}
HEAVY = {"kept_weight": 30.0, "repair_mask_loss": True, "fill": "noise", "weight_decay": 0.1}
CASES: dict[str, dict[str, Any]] = {
    "alternating": HISTORY | HEAVY,
    "simultaneous": HEAVY | {"update": "simultaneous"},
    "nobody repairs": HISTORY | {"repair": "none"},
}


@pytest.fixture
def no_batch_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch norm with fixed statistics, which does not mix examples: what is left must be equal."""
    call = BatchNorm.call

    def fixed(self: BatchNorm, inputs: Any, training: bool = False, update_statistics: bool = True) -> Any:
        return call(self, inputs, training=False)

    monkeypatch.setattr(BatchNorm, "call", fixed)


def trained(spotter: Any, micro_batches: int, steps: int = 3) -> tuple[Any, dict[str, list[float]]]:
    """After `steps` batches of unlike images, and the logs."""
    spotter.compile(keras.optimizers.SGD(0.005), keras.optimizers.SGD(0.005), micro_batches=micro_batches)
    data = tf.data.Dataset.from_tensor_slices(pictures(steps * BATCH)).batch(BATCH, drop_remainder=True).repeat()
    return spotter, spotter.fit(data, epochs=steps, steps_per_epoch=1, shuffle=False, verbose=0).history


@pytest.mark.parametrize(
    "case",
    ["alternating", *(pytest.param(name, marks=pytest.mark.slow) for name in ("simultaneous", "nobody repairs"))],
)
def test_parts_train_as_the_whole_batch(case: str, no_batch_norm: None) -> None:
    """Weights, both optimizers and the history, dropout and damage on. They differ by the order of float32 sums."""
    whole, logs = trained(make(**CASES[case]), 1)
    parts, logs_of_parts = trained(make(**CASES[case]), 4)
    for a, b in zip(whole.variables, parts.variables, strict=True):
        np.testing.assert_allclose(b, a, atol=2e-5, err_msg=a.path)
    assert set(logs) == set(logs_of_parts)
    for name, values in logs.items():
        np.testing.assert_allclose(logs_of_parts[name], values, rtol=1e-4, atol=1e-6, err_msg=name)
    assert int(parts.optimizer.iterations) == 3  # one update a batch


@pytest.mark.slow
def test_a_gan_draws_its_noise_by_place_in_the_whole_batch(no_batch_norm: None) -> None:
    runs = []
    for parts in (1, 2):
        donor = make(predict_mask=False)
        runs.append(trained(GAN(donor.autoencoder, donor.discriminator, history_batches=0), parts, 2)[0])
    for a, b in zip(runs[0].variables, runs[1].variables, strict=True):
        np.testing.assert_allclose(b, a, atol=2e-5, err_msg=a.path)


def test_with_batch_norm_each_part_is_normalised_by_itself() -> None:
    """The autoencoder's step by hand: the mean of the two halves' gradients, each with its own moments."""
    images = pictures(BATCH)

    def small() -> Autoencoder:
        keras.utils.set_random_seed(2)
        return Autoencoder(image_size=16, width=0.25, levels=2, weight_decay=0.0, reconstruction_weight=1.0)

    hand, stepped = small(), small()
    stepped.compile(keras.optimizers.SGD(0.1), micro_batches=2)
    stepped.fit(images, batch_size=BATCH, shuffle=False, verbose=0)
    variables, gradients = hand.trainable_variables, []
    for half in np.split(images, 2):
        with tf.GradientTape() as tape:
            loss = reconstruction_loss(half, hand(half, training=True))
        gradients.append(tape.gradient(loss, variables))
    for variable, first, second, new in zip(variables, *gradients, stepped.trainable_variables, strict=True):
        np.testing.assert_allclose(new, variable - 0.1 * (first + second) / 2, atol=1e-6, err_msg=variable.path)
    for ours, theirs in zip(hand.non_trainable_variables, stepped.non_trainable_variables, strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-6, err_msg=ours.path)  # moved twice, in order


@pytest.mark.slow
def test_statistics_move_once_a_part_for_the_repair_network_too() -> None:
    """Its images are computed twice: momentum 0.9 and two parts leave a share of 0.9^2 of the start, not of 0.9^4."""
    spotter, _ = trained(make(repair="distributed"), 2, steps=1)
    norm = spotter.repair.blocks[0].first.norm
    plain, _ = trained(make(repair="distributed"), 1, steps=1)
    batch_mean = plain.repair.blocks[0].first.norm.moving_mean / (1 - norm.momentum)
    np.testing.assert_allclose(norm.moving_mean, batch_mean * (1 - norm.momentum**2), rtol=0.2, atol=1e-3)


def test_mean_and_rows_over_micro_batches() -> None:
    batch = tf.reshape(tf.range(12.0), (6, 2))

    @tf.function
    def both(x: Any) -> Any:
        batch = MicroBatches(3)
        total = batch.mean(lambda part: {"sum": tf.reduce_sum(part, 0)}, x)
        return total, batch.rows(lambda part: (part[:, :1] * 2, -part), x)

    for run in (both, both.python_function):
        total, (first, second) = run(batch)
        np.testing.assert_allclose(total["sum"], np.asarray(batch).reshape(3, 2, 2).sum(1).mean(0))
        np.testing.assert_array_equal(first, 2 * batch[:, :1])
        np.testing.assert_array_equal(second, -batch)


def test_draws_of_the_parts_are_those_of_the_batch() -> None:
    whole, drawn = example_uniform(3, 1, 7, 6, (2,)), []
    for index in range(3):
        with micro_batch(index, 3):
            drawn.append(example_uniform(3, 1, 7, 2, (2,)))
    np.testing.assert_array_equal(tf.concat(drawn, 0), whole)
    np.testing.assert_array_equal(example_uniform(3, 1, 7, 6, (2,)), whole)  # nothing is left behind


def test_batches_that_do_not_divide_are_refused() -> None:
    config = preset("tiny").replace(**{"training.batch_size": 32})
    with pytest.raises(UserError, match="must divide training.batch_size; received: 5 micro batches of 32 images"):
        config.replace(**{"training.micro_batches": 5})
    with pytest.raises(UserError, match="training.micro_batches must be above 0"):
        config.replace(**{"training.micro_batches": 0})
    model = Autoencoder(image_size=16, width=0.25, levels=2)
    model.compile(micro_batches=3)
    with pytest.raises(UserError, match="divide into 3 micro batches; received: batches of 4"):
        model.fit(pictures(8), batch_size=4, verbose=0)


def test_several_replicas_refuse_parts() -> None:
    with make_strategy("mirrored").scope():
        model = Autoencoder(image_size=16, width=0.25, levels=2)
        with pytest.raises(UserError, match="2 replicas cannot use micro batches; received: micro_batches=2"):
            model.compile(micro_batches=2)
        config = preset("tiny").replace(**{"training.micro_batches": 2})
        with pytest.raises(UserError, match="2 replicas cannot use micro batches"):
            build_autoencoder(config)
