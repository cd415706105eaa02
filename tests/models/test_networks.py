"""Sizes of the four networks, and that both grids agree."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.small_networks import CODER, NORM, narrow, parameters
from tf_spot.config import PAPER
from tf_spot.models.backbones import AlexNet
from tf_spot.models.discriminator import Discriminator
from tf_spot.models.networks import Decoder, Encoder, RepairNetwork, encoder_channels, scaled

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


def test_small_sizes() -> None:
    """Two and three levels with an encoding that doubles once more: counted by hand."""
    for levels, counts in ((2, (42_272, 93_219, 389_760)), (3, (173_856, 388_387, 1_572_480))):
        last = 32 * 2**levels
        coder: dict[str, Any] = {"encoding_channels": last} | CODER
        channels = encoder_channels(levels, 1.0, last)[::-1]
        built = Encoder(levels, 1.0, 2, **coder), Decoder(levels, 1.0, **coder), RepairNetwork(channels, True, **CODER)
        assert tuple(parameters(model) for model in built) == counts


def test_width_scales_to_multiples_of_eight() -> None:
    assert [scaled(96, width) for width in (1, 0.5, 0.25, 0.01)] == [96, 48, 24, 8]
    assert encoder_channels(3, 0.5) == [16, 32, 64, 128]
    assert encoder_channels(3, 0.25, 40) == [8, 16, 32, 40]
    assert [conv.filters for conv in AlexNet(0.5, 7, 2, "batch", **NORM).convs] == [48, 128, 192, 192, 128]


@pytest.mark.parametrize("width", [0.1, 0.25, 1.0])
@pytest.mark.parametrize("levels", [2, 3, 4])
def test_an_encoding_has_two_thirds_of_the_images_numbers(levels: int, width: float) -> None:
    assert encoder_channels(levels, width)[-1] / (3 * 4**levels) == pytest.approx(2 / 3)


# --- shapes ----------------------------------------------------------------------------------------------------------


def test_shapes_at_96_pixels() -> None:
    images = tf.zeros((1, 96, 96, 3))
    maps = AlexNet(1.0, 11, 4, "response", **NORM)(images)
    assert {name: tuple(x.shape[1:]) for name, x in maps.items()} == {
        "conv1": (24, 24, 96), "conv2": (12, 12, 256), "conv3": (6, 6, 384), "conv4": (6, 6, 384), "conv5": (6, 6, 256),
    }  # fmt: skip
    assert all(x.dtype == tf.float32 and float(tf.reduce_min(x)) >= 0 for x in maps.values())
    encoding = Encoder(4, 0.25, 2, **CODER)(images)
    assert encoding.shape == (1, 6, 6, 512)
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


# --- behaviour -------------------------------------------------------------------------------------------------------


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
    repair = RepairNetwork(encoder_channels(4, 1.0)[::-1], True, placement="local", **CODER)
    assert [parameters(block) for block in repair.blocks] == [4_724_736] * 5
    decoder = Decoder(2, 0.25, **CODER)
    local = RepairNetwork(decoder.channels, False, placement="local", **CODER)
    damaged = np.random.default_rng(0).normal(size=(2, 3, 3, decoder.channels[0])).astype("float32")
    mask = tf.zeros((2, 3, 3, 1))
    x = damaged
    for block in local.blocks:
        x = block(x, mask)
    np.testing.assert_array_equal(local(damaged, mask, decoder=decoder), decoder(x))


def test_no_repair_decodes_the_damage() -> None:
    decoder = Decoder(2, 0.25, **CODER)
    damaged = np.random.default_rng(0).normal(size=(2, 3, 3, decoder.channels[0])).astype("float32")
    none = RepairNetwork(decoder.channels, True, placement="none", **CODER)
    assert none.variables == []
    np.testing.assert_array_equal(none(damaged, tf.zeros((2, 3, 3, 1)), decoder=decoder), decoder(damaged))
    with pytest.raises(ValueError, match="distributed, local or none. Received: placement='gan'"):
        RepairNetwork(decoder.channels, True, placement="gan", **CODER)
