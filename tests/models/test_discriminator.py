"""The discriminator: parameters, answers, statistics, dropout."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.small_networks import NORM, discriminator, narrow, parameters
from tf_spot.errors import UserError
from tf_spot.models.backbones import AlexNet
from tf_spot.models.discriminator import Discriminator


@pytest.mark.parametrize(
    ("image_size", "total", "fc_1"),
    [
        (32, 6_542_979, 4_198_400),
        (64, 19_125_891, 16_781_312),
        (96, 40_097_411, 37_752_832),
        (128, 69_457_539, 67_112_960),
    ],
)
def test_discriminator_parameters(monkeypatch: pytest.MonkeyPatch, image_size: int, total: int, fc_1: int) -> None:
    random = keras.initializers.RandomUniform  # seconds for the largest
    monkeypatch.setattr(random, "__call__", lambda self, shape, dtype=None: tf.zeros(shape))
    model = discriminator(image_size)
    assert parameters(model) == total
    assert parameters(model.backbone) == 2_334_080
    assert parameters(model.fc1) + parameters(model.fc1_norm) == fc_1
    assert parameters(model.mask_head) == 2_305 and parameters(model.fc2) == 8_194


def test_initial_weights_have_the_authors_deviations() -> None:
    """Glorot's uniform by the fans of the authors' variables: a group and fc_1 are convolutions of their own."""
    model = discriminator(64)
    fans = {
        model.backbone.convs[0]: 11**2 * (3 + 96),
        model.backbone.convs[1]: 5**2 * (48 + 128),
        model.backbone.convs[2]: 3**2 * (256 + 384),
        model.backbone.convs[3]: 3**2 * (192 + 192),
        model.backbone.convs[4]: 3**2 * (192 + 128),
        model.fc1: 4**2 * (256 + 4096),
    }
    for layer, fan in fans.items():
        assert np.std(layer.kernel) == pytest.approx(np.sqrt(2 / fan), rel=0.02), layer.name


def test_backbone_parameters_layer_by_layer() -> None:
    backbone = AlexNet(1.0, 11, 4, "response", **NORM)
    counts = [parameters(conv) for conv in backbone.convs]
    counts[-1] += parameters(backbone.norms[-1])
    assert counts == [34_944, 307_456, 885_120, 663_936, 442_624]
    normed = AlexNet(1.0, 11, 4, "batch", **NORM)  # a beta in place of each bias
    assert parameters(normed) == 2_334_080 and normed.response_norm is None and all(normed.norms)


def test_discriminator_answers() -> None:
    images = np.random.default_rng(0).uniform(-1, 1, (3, 32, 32, 3)).astype("float32")
    answers = narrow()(images)
    assert set(answers) == {"conv1", "conv2", "conv3", "conv4", "conv5", "realness_logits", "mask_logits"}
    assert answers["realness_logits"].shape == (3, 2) and answers["mask_logits"].shape == (3, 2, 2, 1)
    assert "mask_logits" not in narrow(predict_mask=False)(images)


def test_discriminator_input_is_scaled_to_pixel_values() -> None:
    """White less the mean colour, through a 1x1-like conv1 that copies its centre pixel."""
    backbone = AlexNet(0.01, 1, 1, "response", **NORM)
    kernel = np.zeros((1, 1, 3, 8), "float32")
    kernel[0, 0, :, :3] = np.eye(3)
    backbone.convs[0].kernel.assign(kernel)
    backbone.convs[0].bias.assign(np.zeros(8))
    conv1 = backbone(tf.ones((1, 8, 8, 3)))["conv1"]
    np.testing.assert_allclose(conv1[0, 3, 3, :3], [255 - 123.68, 255 - 116.78, 255 - 103.94], rtol=1e-5)


def test_discriminator_can_leave_its_statistics() -> None:
    model = narrow(trunk_norm="batch")
    images = np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 3)).astype("float32")
    before = [v.numpy() for v in model.non_trainable_variables]
    held = model(images, training=True, update_statistics=False)
    for old, new in zip(before, model.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(old, new)
    moved = model(images, training=True)
    np.testing.assert_array_equal(held["realness_logits"], moved["realness_logits"])
    assert all(np.any(old != new.numpy()) for old, new in zip(before, model.non_trainable_variables, strict=True))
    assert len(before) == 2 * 6


def test_dropout_needs_a_step() -> None:
    model = narrow(fc_units=256)
    images = np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 3)).astype("float32")
    plain, first, second = (model(images, training=True, step=step)["realness_logits"] for step in (None, 0, 1))
    np.testing.assert_array_equal(plain, model(images, training=True)["realness_logits"])
    assert np.any(plain != first) and np.any(first != second)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"image_size": "64"}, "data.image_size must be int; received: '64'"),
        ({"image_size": (64, 64)}, "data.image_size must be int"),
        ({"width": 0}, "network.width must be above 0; received: 0"),
        ({"fc_units": 1.5}, "network.fc_units must be int; received: 1.5"),
        ({"backbone": "ConvNext"}, "a backbone must be one of .*ConvNeXt.*; received: 'ConvNext'"),
        ({"backbone": None}, "a backbone must be one of .*; received: None"),
    ],
)
def test_values_of_a_wrong_type_are_named(settings, says) -> None:
    with pytest.raises(UserError, match=says):
        Discriminator(**settings)
