"""Inpainter and discriminator of patches: shapes, singular values, learning to copy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_task import noise, pictures
from tf_spot.baselines.patch_networks import PatchDiscriminator, PatchInpainter, SpectralConv
from tf_spot.baselines.pretext import built

NUMBERS = np.random.default_rng(0)
NORM = {"norm_momentum": 0.9, "norm_epsilon": 1e-3}


@pytest.mark.parametrize(("size", "levels"), [(8, 1), (16, 2), (32, 3)])
def test_an_inpainter_returns_patches(size: int, levels: int) -> None:
    inpainter = built(PatchInpainter(8, levels, NORM), size, size, 3)
    made = inpainter(noise(NUMBERS, 2, size, size, 3), training=True)
    assert made.shape == (2, size, size, 3) and np.abs(made).max() <= 1
    assert [down.filters for down in inpainter.downs] == [8 * 2**i for i in range(1, levels + 1)]
    assert inpainter.ups[-1].filters == 8


@pytest.mark.slow
def test_an_inpainter_learns_to_copy() -> None:
    inpainter, patches = built(PatchInpainter(8, 2, NORM), 16, 16, 3), pictures(16)[:, 8:24, 8:24]
    optimizer, errors = keras.optimizers.Adam(5e-3), []
    for _ in range(60):
        with tf.GradientTape() as tape:
            error = tf.reduce_mean(tf.math.squared_difference(inpainter(patches, training=True), patches))
        variables = inpainter.trainable_variables
        optimizer.apply(tape.gradient(error, variables), variables)
        errors.append(float(error))
    assert errors[-1] < 0.2 * errors[0]


def test_a_spectral_convolution_has_the_norm_one() -> None:
    """After some calls, the kernel that is used has the largest singular value 1; numpy gives it of the stored one."""
    conv = built(SpectralConv(5, 3, 1), None, None, 4)
    conv.kernel.assign(7 * conv.kernel)
    before = conv.direction.numpy()
    for _ in range(50):
        conv(tf.zeros((1, 4, 4, 4)), training=True)
    largest = np.linalg.svd(np.reshape(conv.kernel, (-1, 5)), compute_uv=False)[0]
    assert float(conv.largest_singular_value(training=False)) == pytest.approx(largest, rel=1e-3)
    impulse = tf.one_hot(tf.reshape(tf.range(4), (1, 2, 2, 1)), 4)[..., 0, :]
    expected = tf.nn.conv2d(impulse, conv.kernel / largest, 1, "SAME")
    np.testing.assert_allclose(conv(impulse, training=False), expected, atol=1e-3)
    assert not np.allclose(before, conv.direction)
    after = conv.direction.numpy()
    conv(impulse, training=False)
    np.testing.assert_array_equal(after, conv.direction)


def test_a_discriminator_gives_one_logit_for_a_pair() -> None:
    discriminator = built(PatchDiscriminator(8), 16, 16, 6)
    pairs = noise(NUMBERS, 3, 16, 16, 6)
    assert discriminator(pairs, training=True).shape == (3,)
    assert len(discriminator.non_trainable_variables) == 6, "a direction for each kernel"
