"""Weights fitted to the data: patches, filters, unit variance."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tf_spot.baselines import kmeans
from tf_spot.config import preset
from tf_spot.data import load
from tf_spot.models.from_config import build_discriminator

NUMBERS = np.random.default_rng(0)


def test_patches_for_kmeans_are_laid_out_as_a_kernel() -> None:
    """The product of a patch with a flat kernel must be what the convolution gives."""
    images = NUMBERS.uniform(size=(1, 5, 5, 3)).astype(np.float32)
    kernel = NUMBERS.uniform(size=(5, 5, 3, 2)).astype(np.float32)
    patch = kmeans.random_patches(images, 5, seed=0)[0]
    expected = tf.nn.conv2d(images, kernel, 1, "VALID")[0, 0, 0]
    np.testing.assert_allclose(patch @ kernel.reshape(-1, 2), expected, rtol=1e-5)


def test_kmeans_filters_find_what_patches_are_made_of() -> None:
    """Patches of two kinds in many dimensions: each filter answers one kind more than the other."""
    kinds = NUMBERS.integers(0, 2, 400)
    patterns = NUMBERS.normal(size=(2, 12)) * 3
    patches = (patterns[kinds] + NUMBERS.normal(size=(400, 12))).astype(np.float32)
    answers = (patches - patches.mean(axis=0)) @ kmeans.kmeans_filters(patches, 2, seed=0)
    agree = (answers.argmax(axis=1) == kinds).mean()
    assert max(agree, 1 - agree) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["batch", "response"])
def test_fitted_layers_have_unit_variance_before_their_relu(norm) -> None:
    """After a ReLU of mean 0 and variance 1 about half is positive and the mean square about one half, in any layer."""
    config = preset("tiny").replace(**{"network.width": 0.125, "network.trunk_norm": norm})
    source = load("photos", image_size=32, config=config.data)
    backbone = build_discriminator(config).backbone
    before = backbone.convs[0].kernel.numpy()
    used, seconds = kmeans.initialise(backbone, source, seed=0)
    assert used == 256 and seconds > 0 and np.abs(backbone.convs[0].kernel.numpy() - before).max() > 0
    maps = backbone(next(iter(source.unlabelled(256, seed=0))))
    for values in maps.values():
        channels = tf.reduce_mean(tf.square(values), axis=(0, 1, 2)).numpy()  # of (x, 0) max: between 0 and 1
        assert 0.02 < channels.min() and channels.max() < 1
        assert 0.1 < float(tf.reduce_mean(tf.cast(values > 0, tf.float32))) < 0.8
