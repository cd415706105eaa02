"""The pairs of a BiGAN, its losses, and that encoder and generator invert each other."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_task import CONFIG, check_draws, make, noise, one_step, pictures
from tf_spot.baselines import bigan
from tf_spot.baselines.bigan import Generator, PairDiscriminator
from tf_spot.baselines.pretext import built
from tf_spot.models.from_config import build_discriminator

NUMBERS = np.random.default_rng(0)
NORM = {"norm_momentum": 0.9, "norm_epsilon": 1e-3}


@pytest.mark.parametrize(("size", "side", "count"), [(16, 4, 2), (32, 4, 3), (48, 6, 3), (64, 4, 4), (96, 6, 4)])
def test_generator_and_discriminator_meet_at_a_small_map(size: int, side: int, count: int) -> None:
    assert bigan.doublings(size) == count and size == side * 2**count


@pytest.mark.parametrize("size", [16, 24])
def test_networks_have_the_size_of_the_images(size: int) -> None:
    generator = built(Generator(size, 16, NORM, name="generator"), bigan.LATENT)
    images = generator(noise(NUMBERS, 2, bigan.LATENT), training=True)
    assert images.shape == (2, size, size, 3) and np.abs(images).max() <= 1
    discriminator = built(PairDiscriminator(16, 8, NORM, name="discriminator"), size)
    assert discriminator(images, noise(NUMBERS, 2, bigan.LATENT), training=True).shape == (2, 1)


def test_losses_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A discriminator of one right and three wrong logits: 0 for nobody, else by their side."""
    model = make("bigan")
    logits = tf.constant([[2.0], [-1.0], [1.0], [3.0]])  # two photos, two generated
    monkeypatch.setattr(PairDiscriminator, "call", lambda self, images, codes, training=False: logits)
    metrics = {name: float(value) for name, value in model.task_metrics(pictures(2), None, 0, True).items()}
    softplus = lambda x: np.log1p(np.exp(x))  # noqa: E731
    assert metrics["pretext_accuracy"] == 1 / 4
    theirs = (softplus(-2) + softplus(1)) / 2 + (softplus(1) + softplus(3)) / 2
    ours = (softplus(2) + softplus(-1)) / 2 + (softplus(-1) + softplus(-3)) / 2
    assert metrics["discriminator_loss"] == pytest.approx(theirs, rel=1e-4)
    assert metrics["pretext_loss"] == pytest.approx(ours, rel=1e-4)


def test_pairs_are_photo_and_code_and_image_and_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken out: the code, without which the encoder is not trained at all."""
    model, images, seen = make("bigan"), pictures(4), []
    call = PairDiscriminator.call

    def recording(self, images, codes, training=False):
        seen.append((images, codes))
        return call(self, images, codes, training=training)

    monkeypatch.setattr(PairDiscriminator, "call", recording)
    with tf.GradientTape() as tape:
        metrics = model.task_metrics(images, None, 0, training=True)
    ((pictured, codes),) = seen
    np.testing.assert_array_equal(pictured[:4], images)
    noise_of_step = codes[4:].numpy()
    assert noise_of_step.min() < -0.8 and noise_of_step.max() > 0.8 and np.abs(noise_of_step).max() <= 1
    gradient = tape.gradient(metrics["pretext_loss"], [model.backbone.convs[0].kernel, model.generator.dense.kernel])
    assert all(float(tf.reduce_max(tf.abs(g))) > 0 for g in gradient)


def test_a_bigan_is_saved_and_loaded(tmp_path) -> None:
    model, images = make("bigan"), pictures(4)
    one_step(model, images)
    model.save(tmp_path / "bigan.keras")
    again = keras.saving.load_model(tmp_path / "bigan.keras", compile=False)
    expected, loaded = (one.task_metrics(images, None, 0, training=False) for one in (model, again))
    for name in model.task_metric_names:
        assert float(loaded[name]) == pytest.approx(float(expected[name]), abs=1e-5)


@pytest.mark.slow
def test_encoder_and_generator_learn_to_invert_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """On photos of one colour each, and three numbers of noise. Neither network ever sees the other's outputs.

    Chance is a correlation of 0 and a rank of one half. Taken out: the codes in the discriminator, without which
    neither gets above chance.
    """
    monkeypatch.setattr(bigan, "LATENT", 3)
    size, numbers = 16, np.random.default_rng(1)
    model = bigan.BiGAN(build_discriminator(CONFIG).backbone, size, units=32)
    model.compile(keras.optimizers.Adam(1e-3, beta_1=0.5), jit_compile=False)
    colours = numbers.uniform(-0.8, 0.8, (512, 1, 1, 3))
    photos = tf.constant(np.broadcast_to(colours, (512, size, size, 3)), tf.float32)
    batches = tf.data.Dataset.from_tensor_slices(photos).shuffle(512, seed=0).repeat().batch(32)
    model.fit(batches, steps_per_epoch=500, epochs=1, verbose=0, shuffle=False)
    codes = noise(numbers, 256, 3)
    again = model.encode(model.generate(codes, training=True), training=True)
    assert np.mean([np.corrcoef(codes[:, i], again[:, i])[0, 1] for i in range(3)]) > 0.25  # E inverts G
    images = photos[:64]
    made = model.generate(model.encode(images, training=True), training=True)
    distances = tf.reduce_mean(tf.math.squared_difference(made[:, None], images[None]), axis=(2, 3, 4)).numpy()
    assert (np.diag(distances)[:, None] < distances).sum() / (64 * 63) > 0.6  # G inverts E


@pytest.mark.slow
def test_draws_are_functions_of_seed_and_step() -> None:
    check_draws("bigan")
