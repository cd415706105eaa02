"""Two backbones side by side: a backbone like any other one."""

from __future__ import annotations

import itertools
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.own_models import CONV_LAYERS, small_conv
from tests.support.small_backbones import ALEXNET, MAPS, NORM, pictures
from tf_spot.errors import UserError
from tf_spot.evaluation.beside_random import copied
from tf_spot.evaluation.probes.adapted_norms import adapted
from tf_spot.models.backbones import KerasBackbone, LabHalves, build_backbone
from tf_spot.models.backbones.lab_halves import halves_of
from tf_spot.models.data_dependent_init import unit_variance


def split(name: str = "alexnet", width: float = 0.125) -> LabHalves:
    keras.utils.set_random_seed(0)
    return LabHalves.of(build_backbone(name, **ALEXNET, **NORM, width=width))


def test_what_each_half_sees_of_known_colours() -> None:
    """White is L 100 and red L 53, a 80, b 67, beyond the range that is mapped to [0, 255]."""
    lightness, colours = halves_of(tf.constant([[[[255.0] * 3, [255.0, 0.0, 0.0], [0.0] * 3]]]))
    np.testing.assert_allclose(lightness[0, 0, :, 0], [255, 135.8, 0], atol=0.5)
    assert np.ptp(lightness, axis=-1).max() == 0
    np.testing.assert_allclose(colours[0, 0], [[127.5] * 3, [331.7, 298.9, 127.5], [127.5] * 3], atol=1)


@pytest.mark.parametrize("name", ["alexnet", "resnet18"])
def test_maps_join_those_of_both_halves(name: str) -> None:
    backbone, images = split(name), pictures()
    maps = backbone(images)
    assert list(maps) == MAPS
    lightness, colours = halves_of(tf.constant(images) * 127.5 + 127.5)
    for number, half in enumerate((backbone.lightness.of_pixels(lightness), backbone.colour.of_pixels(colours))):
        for layer in MAPS:
            np.testing.assert_allclose(np.split(maps[layer], 2, axis=-1)[number], half[layer], rtol=1e-5, atol=1e-5)
    assert backbone.channels == maps["conv5"].shape[-1] and backbone.grid_size(32) == maps["conv5"].shape[1] == 2
    assert backbone.lightness.get_config()["width"] == 0.0625
    first = [half.first_conv.kernel.numpy() for half in (backbone.lightness, backbone.colour)]
    assert not np.array_equal(*first), "each half has weights of its own"


@pytest.mark.parametrize("trunk_norm", ["response", "batch"])
def test_each_half_is_rescaled_as_on_its_own(trunk_norm: str) -> None:
    keras.utils.set_random_seed(0)
    whole = build_backbone("alexnet", **ALEXNET | {"trunk_norm": trunk_norm}, **NORM, width=0.125)
    backbone = LabHalves.of(whole)
    images = tf.constant(pictures(8))
    halves = [copied(half) for half in (backbone.lightness, backbone.colour)]
    before = backbone.get_weights()
    unit_variance(backbone, images)
    for half, seen in zip(halves, halves_of(images * 127.5 + 127.5), strict=True):
        unit_variance(half, seen / 127.5 - 1)
    alone = [weight for half in halves for weight in half.get_weights()]
    for ours, expected in zip(backbone.get_weights(), alone, strict=True):
        np.testing.assert_array_equal(ours, expected)
    assert not all(np.array_equal(a, b) for a, b in zip(before, alone, strict=True))
    assert not all(
        np.array_equal(a, b) for a, b in zip(alone, adapted(backbone, images[:4]).get_weights(), strict=True)
    )


def test_both_halves_adapt_to_photos() -> None:
    backbone = split()
    changed = [not np.array_equal(a, b) for a, b in zip(
        backbone.get_weights(), adapted(backbone, pictures()).get_weights(), strict=True)]  # fmt: skip
    assert sum(changed) == 2 * len(backbone.norms), "the two moments of each norm, and nothing else"


def test_stages_and_norms_hold_those_of_both_halves() -> None:
    backbone = split()
    held = [id(weight) for layer in itertools.chain(*backbone.stages) for weight in layer.weights]
    assert sorted(held) == sorted(id(weight) for weight in backbone.weights)
    assert len(backbone.norms) == 10 and backbone.first_conv is backbone.lightness.convs[0]


@pytest.mark.parametrize("num_maps", [1, 3])
def test_a_cut_copy_makes_the_first_maps(num_maps: int) -> None:
    backbone, images = split(), pictures()
    shallow, expected = backbone.cut(num_maps), backbone(images)
    maps = shallow(images)
    assert list(maps) == MAPS[:num_maps]
    for layer, value in maps.items():
        np.testing.assert_array_equal(value, expected[layer])


def test_it_is_saved_and_loaded_frozen_too(tmp_path: Path) -> None:
    backbone, images = split(), pictures()
    unit_variance(backbone, tf.constant(images))
    backbone.trainable = False
    backbone.save(tmp_path / "backbone.keras")
    loaded = keras.saving.load_model(tmp_path / "backbone.keras", compile=False)
    assert isinstance(loaded, LabHalves) and not loaded.trainable_variables
    for layer, value in backbone(images).items():
        np.testing.assert_array_equal(loaded(images, training=True)[layer], value)


def test_precision_is_that_of_the_backbone() -> None:
    rough = LabHalves.of(build_backbone("alexnet", **ALEXNET, **NORM, width=0.125, dtype="mixed_bfloat16"))
    assert {conv.compute_dtype for half in (rough.lightness, rough.colour) for conv in half.convs} == {"bfloat16"}
    assert {value.dtype for value in rough(pictures()).values()} == {tf.float32}


def test_a_backbone_without_a_width_is_refused() -> None:
    with pytest.raises(UserError, match="comes in half its width: .*; received: the model small"):
        LabHalves.of(KerasBackbone(small_conv(stride=4), CONV_LAYERS))


@pytest.mark.slow
def test_a_backbone_of_one_width_is_refused() -> None:
    with pytest.raises(UserError, match="alexnet, resnet18 or a MobileNet; received: .*VGG16"):
        split("VGG16", width=1.0)
