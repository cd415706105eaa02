"""Sizes of the four networks, and that both grids agree."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_spot.config import PAPER
from tf_spot.models.backbones import AlexNet
from tf_spot.models.networks import Decoder, Discriminator, Encoder, RepairNetwork, encoder_channels, scaled

NORM = {"norm_momentum": 0.975, "norm_epsilon": 1e-3}
CODER = {"negative_slope": 0.2} | NORM


def parameters(model: keras.Model) -> int:
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


def discriminator(image_size: int, **changes: Any) -> Discriminator:
    settings = {"width": 1.0, "stem_kernel": 11, "stem_stride": 4, "trunk_norm": "response", "fc_units": 4096}
    return Discriminator(image_size=image_size, dropout_rate=0.5, **(settings | NORM | changes))


def narrow(image_size: int = 32, **changes: Any) -> Discriminator:
    return discriminator(image_size, **({"width": 0.1, "fc_units": 8} | changes))


# --- parameters: counted in the authors' graph -----------------------------------------------------------------------


def test_encoder_and_decoder_parameters() -> None:
    encoder, decoder = Encoder(4, 1.0, 2, **CODER), Decoder(4, 1.0, **CODER)
    assert parameters(encoder) == 699_168 and parameters(decoder) == 1_568_547
    assert parameters(encoder) + parameters(decoder) == 2_267_715


def test_encoder_parameters_with_three_pixel_kernels() -> None:
    assert parameters(Encoder(4, 1.0, 3, **CODER)) == 1_569_568


def test_repair_parameters_block_by_block() -> None:
    repair = RepairNetwork(encoder_channels(4, 1.0)[::-1], True, **CODER)
    assert [parameters(block) for block in repair.blocks] == [4_724_736, 1_182_720, 296_448, 74_496, 18_816]
    assert parameters(repair) == 6_297_216


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
    random = keras.initializers.GlorotUniform  # seconds for the largest
    monkeypatch.setattr(random, "__call__", lambda self, shape, dtype=None: tf.zeros(shape))
    model = discriminator(image_size)
    assert parameters(model) == total
    assert parameters(model.backbone) == 2_334_080
    assert parameters(model.fc1) + parameters(model.fc1_norm) == fc_1
    assert parameters(model.mask_head) == 2_305 and parameters(model.fc2) == 8_194


def test_backbone_parameters_layer_by_layer() -> None:
    backbone = AlexNet(1.0, 11, 4, "response", **NORM)
    counts = [parameters(conv) for conv in backbone.convs]
    counts[-1] += parameters(backbone.norms[-1])
    assert counts == [34_944, 307_456, 885_120, 663_936, 442_624]
    normed = AlexNet(1.0, 11, 4, "batch", **NORM)  # a beta in place of each bias
    assert parameters(normed) == 2_334_080 and normed.response_norm is None and all(normed.norms)


def test_small_sizes() -> None:
    """32 pixels with two levels, 64 with three: counted by hand."""
    for levels, counts in ((2, (42_272, 93_219, 389_760)), (3, (173_856, 388_387, 1_572_480))):
        channels = encoder_channels(levels, 1.0)[::-1]
        built = Encoder(levels, 1.0, 2, **CODER), Decoder(levels, 1.0, **CODER), RepairNetwork(channels, True, **CODER)
        assert tuple(parameters(model) for model in built) == counts


def test_width_scales_to_multiples_of_eight() -> None:
    assert [scaled(96, width) for width in (1, 0.5, 0.25, 0.01)] == [96, 48, 24, 8]
    assert encoder_channels(3, 0.5) == [16, 32, 64, 128]
    assert [conv.filters for conv in AlexNet(0.5, 7, 2, "batch", **NORM).convs] == [48, 128, 192, 192, 128]


# --- shapes ----------------------------------------------------------------------------------------------------------


def test_shapes_at_96_pixels() -> None:
    images = tf.zeros((1, 96, 96, 3))
    maps = AlexNet(1.0, 11, 4, "response", **NORM)(images)
    assert {name: tuple(x.shape[1:]) for name, x in maps.items()} == {
        "conv1": (24, 24, 96), "conv2": (12, 12, 256), "conv3": (6, 6, 384), "conv4": (6, 6, 384), "conv5": (6, 6, 256),
    }  # fmt: skip
    assert all(x.dtype == tf.float32 and float(tf.reduce_min(x)) >= 0 for x in maps.values())
    encoding = Encoder(4, 0.25, 2, **CODER)(images)
    assert encoding.shape == (1, 6, 6, 128)
    assert Decoder(4, 0.25, **CODER)(encoding).shape == (1, 96, 96, 3)


@pytest.mark.parametrize("stem_stride", [1, 2, 4, 8])
def test_grid_of_conv5_equals_grid_of_the_encoding(stem_stride: int) -> None:
    levels = 2 + int(np.log2(stem_stride))
    cell = 2**levels
    encoder = Encoder(levels, 0.01, 2, **CODER)
    backbone = AlexNet(0.01, 2 * stem_stride + 1, stem_stride, "batch", **NORM)
    for cells in (2, 3, 5, 6, 7, 8):
        images = tf.zeros((1, cells * cell, cells * cell, 3))
        assert encoder(images).shape[1:3] == backbone(images)["conv5"].shape[1:3] == (cells, cells)


def test_discriminator_answers() -> None:
    images = np.random.default_rng(0).uniform(-1, 1, (3, 32, 32, 3)).astype("float32")
    answers = narrow()(images)
    assert set(answers) == {"conv1", "conv2", "conv3", "conv4", "conv5", "realness_logits", "mask_logits"}
    assert answers["realness_logits"].shape == (3, 2) and answers["mask_logits"].shape == (3, 2, 2, 1)
    assert "mask_logits" not in narrow(predict_mask=False)(images)


# --- behaviour -------------------------------------------------------------------------------------------------------


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


def test_repair_leaves_the_frozen_decoder_at_inference() -> None:
    """Keras hands the outer call's `training` to inner layers unless it is said: the decoder must not take it."""
    decoder = Decoder(2, 0.25, **CODER)
    repair = RepairNetwork(decoder.channels, True, **CODER)
    encoding = np.random.default_rng(0).normal(size=(4, 3, 3, decoder.channels[0])).astype("float32")
    for stage in decoder.stages[:-1]:
        stage.norm.moving_mean.assign(np.full(stage.filters, 0.5))
    kept = tf.ones((4, 3, 3, 1))  # nothing is dropped, so repaired = decoded
    before = [v.numpy() for v in decoder.variables]
    np.testing.assert_array_equal(repair(encoding, kept, decoder=decoder, training=True), decoder(encoding))
    for old, new in zip(before, decoder.variables, strict=True):
        np.testing.assert_array_equal(old, new)


def test_ungated_repair_changes_kept_cells_too() -> None:
    decoder = Decoder(2, 0.25, **CODER)
    encoding = np.random.default_rng(0).normal(size=(2, 3, 3, decoder.channels[0])).astype("float32")
    repair = RepairNetwork(decoder.channels, False, **CODER)
    assert np.abs(repair(encoding, tf.ones((2, 3, 3, 1)), decoder=decoder) - decoder(encoding)).max() > 1e-3


def test_trunk_norm_is_checked() -> None:
    with pytest.raises(ValueError, match="trunk_norm"):
        AlexNet(0.1, 5, 1, "layer", **NORM)


@pytest.mark.parametrize("kind", [Encoder, Decoder, RepairNetwork, AlexNet, Discriminator])
def test_networks_come_back_from_their_config(kind: type[keras.Model]) -> None:
    made = {
        Encoder: lambda: Encoder(2, 0.25, 3, **CODER),
        Decoder: lambda: Decoder(2, 0.25, **CODER),
        RepairNetwork: lambda: RepairNetwork([16, 8], False, **CODER),
        AlexNet: lambda: AlexNet(0.1, 5, 2, "batch", **NORM),
        Discriminator: lambda: narrow(predict_mask=False, seed=4),
    }[kind]()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(made))
    assert type(again) is kind and again.get_config() == made.get_config()
    assert [tuple(v.shape) for v in again.variables] == [tuple(v.shape) for v in made.variables]


def test_defaults_are_the_papers() -> None:
    network = PAPER.network
    assert (network.levels, network.stem_kernel, network.stem_stride, network.encoder_kernel) == (4, 11, 4, 2)


def test_local_repair_has_all_its_blocks_in_front_of_the_decoder() -> None:
    """At full size 3.75 times the parameters; source: the multiply-adds of the blocks are about the same."""
    repair = RepairNetwork(encoder_channels(4, 1.0)[::-1], True, place="local", **CODER)
    assert [parameters(block) for block in repair.blocks] == [4_724_736] * 5
    decoder = Decoder(2, 0.25, **CODER)
    local = RepairNetwork(decoder.channels, False, place="local", **CODER)
    damaged = np.random.default_rng(0).normal(size=(2, 3, 3, decoder.channels[0])).astype("float32")
    mask = tf.zeros((2, 3, 3, 1))
    x = damaged
    for block in local.blocks:
        x = block(x, mask)
    np.testing.assert_array_equal(local(damaged, mask, decoder=decoder), decoder(x))


def test_no_repair_decodes_the_damage() -> None:
    decoder = Decoder(2, 0.25, **CODER)
    damaged = np.random.default_rng(0).normal(size=(2, 3, 3, decoder.channels[0])).astype("float32")
    none = RepairNetwork(decoder.channels, True, place="none", **CODER)
    assert none.variables == []
    np.testing.assert_array_equal(none(damaged, tf.zeros((2, 3, 3, 1)), decoder=decoder), decoder(damaged))
    with pytest.raises(ValueError, match="distributed, local or none. Received: place='gan'"):
        RepairNetwork(decoder.channels, True, place="gan", **CODER)
