"""Backbones that see gradients: what of a photo reaches them, and that they are backbones as any other."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.own_models import small_vit
from tests.support.pretext_task import CONFIG, noise, positions
from tf_spot.baselines.gradient_images import GAIN, GradientBackbone, gradients
from tf_spot.config import IMAGE_MEAN
from tf_spot.errors import UserError
from tf_spot.evaluation.beside_random import copied
from tf_spot.evaluation.probes.adapted_norms import adapted
from tf_spot.models.backbones import Backbone, KerasBackbone
from tf_spot.models.data_dependent_init import check_rescalable, unit_variance
from tf_spot.models.from_config import build_discriminator

NUMBERS = np.random.default_rng(0)


@pytest.fixture(scope="module")
def backbone() -> GradientBackbone:
    return GradientBackbone(build_discriminator(CONFIG).backbone)


def test_gradients_of_a_slope() -> None:
    """Rows become lighter by 3 a pixel, columns by 5."""
    rows, columns = tf.split(positions(8), 2, axis=-1)
    inside = gradients(tf.repeat(3 * rows + 5 * columns, 3, axis=-1))[0, 1:-1, 1:-1] - IMAGE_MEAN
    np.testing.assert_allclose(inside, np.broadcast_to([3 * GAIN, 5 * GAIN, 0], (6, 6, 3)), atol=1e-3)


def test_a_photo_of_one_colour_is_nothing_to_the_first_convolution() -> None:
    np.testing.assert_allclose(gradients(tf.ones((1, 4, 4, 3)) * (200.0, 10.0, 90.0)) - IMAGE_MEAN, 0, atol=1e-3)


def test_colours_do_not_reach_the_backbone(backbone: GradientBackbone) -> None:
    """Fails if the backbone sees the photo: neither another light nor other colours of equal luma change anything."""
    images = 0.3 * noise(NUMBERS, 2, 16, 16, 3)
    tint = tf.constant((0.4, -0.2, 0.1))
    recoloured = images + noise(NUMBERS, 2, 16, 16, 1) * tf.constant((0.1 * 0.587, -0.1 * 0.299, 0.0))
    maps = backbone(images)
    for changed in (images + tint, recoloured):
        found = backbone(changed)
        assert all(np.abs(found[name] - maps[name]).max() < 1e-4 for name in maps)
        seen = backbone.inner(changed)["conv1"]
        assert np.abs(seen - backbone.inner(images)["conv1"]).max() > 1e-3
    assert np.abs(backbone(images[:, ::-1])["conv5"] - maps["conv5"]).max() > 1e-3


def test_an_exported_model_sees_gradients_too(backbone: GradientBackbone) -> None:
    """Exports begin at the pixels. Taken out: the gradients there, without which they see the photo."""
    images = noise(NUMBERS, 2, 16, 16, 3)
    found = backbone.of_pixels(images * 127.5 + 127.5)
    np.testing.assert_allclose(found["conv5"], backbone(images)["conv5"], atol=1e-5)


def test_it_is_a_backbone_as_any_other(backbone: GradientBackbone, tmp_path) -> None:
    images = noise(NUMBERS, 2, 16, 16, 3)
    maps = backbone(images)
    assert list(maps) == [f"conv{i}" for i in range(1, 6)] and maps["conv5"].shape[-1] == backbone.channels
    assert backbone.grid_size(16) == maps["conv5"].shape[1]
    assert backbone.first_conv is backbone.inner.first_conv and len(backbone.stages) == 5
    assert backbone.response_norm is backbone.inner.response_norm
    parts = backbone((images[:1], images[1:]))
    np.testing.assert_allclose(parts["conv5"], maps["conv5"], atol=1e-5)
    shallow = backbone.cut(2)
    assert list(shallow(images)) == ["conv1", "conv2"]
    np.testing.assert_allclose(shallow(images)["conv2"], maps["conv2"], atol=1e-6)
    backbone.save(tmp_path / "backbone.keras")
    again = keras.saving.load_model(tmp_path / "backbone.keras", compile=False)
    np.testing.assert_allclose(again(images)["conv5"], maps["conv5"], atol=1e-6)


def test_a_frozen_one_stays_frozen(backbone: GradientBackbone) -> None:
    frozen = GradientBackbone.from_config(backbone.get_config() | {"trainable": False})
    assert not frozen.trainable and not frozen.trainable_variables
    images = noise(NUMBERS, 2, 16, 16, 3)
    before = [weight.numpy() for weight in frozen.weights]
    frozen(images, training=True)
    for old, new in zip(before, frozen.weights, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("change", [adapted, lambda backbone, images: rescaled(copied(backbone), images)])
def test_its_norms_take_the_moments_of_gradients(backbone: GradientBackbone, change) -> None:
    """As those of the backbone inside do, that is shown the gradients as its images."""
    images = noise(NUMBERS, 8, 16, 16, 3)
    seen = gradients(images * 127.5 + 127.5) / 127.5 - 1
    expected = change(backbone.inner, seen).get_weights()
    for ours, theirs in zip(change(backbone, images).get_weights(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
    assert not all(np.array_equal(a, b) for a, b in zip(backbone.get_weights(), expected, strict=True))
    first = backbone.first_inputs(images * 127.5 + 127.5)
    np.testing.assert_array_equal(first, gradients(images * 127.5 + 127.5) - IMAGE_MEAN)


def rescaled(backbone: Backbone, images: tf.Tensor) -> Backbone:
    unit_variance(backbone, images)
    return backbone


def test_what_cannot_be_rescaled_inside_is_refused() -> None:
    bare = KerasBackbone(small_vit(), [f"map{number}" for number in range(1, 6)])
    with pytest.raises(UserError, match="--rescale"):
        check_rescalable(GradientBackbone(bare))
