"""Weights fitted to the data: patches, filters, unit variance."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.support.small_backbones import ALEXNET, NORM, pictures
from tf_spot.baselines import kmeans
from tf_spot.config import IMAGE_MEAN, preset
from tf_spot.data import load
from tf_spot.models.backbones import build_backbone
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


# One of each family, the smallest one; each backbone of a family has the same kinds of layers.
FAMILIES = {
    "resnet18": 0.125, "MobileNet": 0.125, "MobileNetV2": 0.125, "MobileNetV3Small": 0.125, "DenseNet121": 1.0,
    "EfficientNetB0": 1.0, "EfficientNetV2B0": 1.0, "ResNet50": 1.0, "ResNet50V2": 1.0, "VGG16": 1.0, "Xception": 1.0,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_kind_of_backbone_is_initialised(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The maps are finite and neither dead nor without bound, and the first filters are found ones."""
    monkeypatch.setattr(kmeans, "IMAGES", 16)
    monkeypatch.setattr(kmeans, "PATCHES", 2_000)
    source = load("photos", image_size=32, config=preset("tiny").data)
    backbone = build_backbone(name, **ALEXNET, **NORM, width=FAMILIES[name])
    before = backbone.first_conv.kernel.numpy()
    kmeans.initialise(backbone, source, seed=0)
    assert np.abs(backbone.first_conv.kernel.numpy() - before).max() > 0
    images = next(iter(source.unlabelled(16, seed=0)))
    for layer, values in backbone(images).items():
        assert np.isfinite(values).all() and 0.01 < float(tf.reduce_mean(values**2)) ** 0.5 < 20, layer


@pytest.mark.slow
def test_patches_are_of_what_the_first_convolution_sees() -> None:
    """AlexNet takes pixels less their mean; VGG's own scaling swaps red and blue besides."""
    pixels = tf.constant(pictures(2)) * 127.5 + 127.5
    ours = build_backbone("alexnet", **ALEXNET, **NORM, width=0.125).first_inputs(pixels).numpy()
    np.testing.assert_allclose(ours, pixels - IMAGE_MEAN, atol=1e-4)
    swapped = build_backbone("VGG16", **ALEXNET, **NORM, width=1.0).first_inputs(pixels).numpy()
    np.testing.assert_allclose(swapped, ours[..., ::-1], atol=0.01)
