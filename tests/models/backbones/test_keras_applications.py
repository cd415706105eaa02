"""Models of keras.applications as backbones."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras.src.utils import file_utils

from tests.support.small_backbones import ALEXNET, NORM, pictures
from tf_spot.config import APPLICATIONS
from tf_spot.errors import UserError
from tf_spot.models.backbones import Application, ResNet18, build_backbone
from tf_spot.models.backbones.functional import copy_weights, flat_layers
from tf_spot.models.discriminator import Discriminator


def test_every_name_is_one_of_keras_and_those_left_out_are_known() -> None:
    names = {name for name in dir(keras.applications) if name[0].isupper()}
    assert set(APPLICATIONS) <= names
    left_out = {name for name in names - set(APPLICATIONS) if not name.startswith(("Inception", "NASNet"))}
    assert not left_out, "Keras has new models: try them, see APPLICATIONS"


def test_a_wrong_name_in_a_notebook_is_named() -> None:
    with pytest.raises(UserError, match="a backbone must be one of .*, such as .*ResNet.*; received: 'resnet_v2'"):
        Discriminator(backbone="resnet_v2")  # a module of keras.applications


def test_too_small_patches_are_refused(judge: Discriminator) -> None:
    """Of 8 pixels; the stride is 16. ResNet-18 fills up the borders, so that a cell is left."""
    if isinstance(judge.backbone, ResNet18):
        assert judge.backbone.grid_size(8) == 1
        return
    with pytest.raises(UserError, match="MobileNetV3Small wants images or patches of 16 pixels or more; received: 8"):
        judge.backbone.grid_size(8)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "MobileNet", "MobileNetV2", "ResNet50V2", "Xception"]
)
def test_one_of_every_family_has_five_maps_at_the_grid(name: str) -> None:
    backbone = build_backbone(name, **ALEXNET, **NORM, width=1.0)
    maps = backbone(pictures(2, size=48), training=True)
    assert maps["conv5"].shape[:3] == (2, 3, 3) and len(maps) == 5
    assert backbone.grid_size(96) == 6
    assert all(np.all(np.isfinite(value)) for value in maps.values())
    assert {x.rate for x in backbone._flatten_layers() if isinstance(x, keras.layers.Dropout)} <= {0.0}


@pytest.mark.slow
def test_borders_that_are_trimmed_are_refused() -> None:
    with pytest.raises(UserError, match="InceptionV3"):
        Discriminator(image_size=32, backbone="InceptionV3", fc_units=8)


MOBILE = {"width": 1.0, "norm_momentum": 0.9}


def test_weights_that_cannot_be_downloaded_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras raises a bare Exception."""

    def offline(*words: object, **named: object) -> str:
        raise Exception("URL fetch failure on https://example.org/weights.h5: None -- no route")

    backbone = Application("MobileNetV3Small", norm_epsilon=None, **MOBILE)
    assert {norm.epsilon for norm in backbone.norms} == {1e-3}  # the model's own
    monkeypatch.setattr(file_utils, "get_file", offline)
    message = "network.backbone_weights=imagenet needs the weights .*received: URL fetch failure.*no route; connect, or"
    with pytest.raises(UserError, match=message):
        backbone.load_imagenet()


@pytest.mark.slow
def test_weights_of_imagenet_are_those_of_the_file_that_keras_downloads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A stand-in of the file, with random weights."""
    published = keras.applications.MobileNetV3Small(include_top=False, weights=None, input_shape=(None, None, 3))
    published.save_weights(tmp_path / "published.weights.h5")
    monkeypatch.setattr(file_utils, "get_file", lambda *words, **named: str(tmp_path / "published.weights.h5"))
    backbone = Application("MobileNetV3Small", norm_epsilon=None, **MOBILE)
    backbone.load_imagenet()
    expected = {weight.path: weight.numpy() for weight in published.weights}
    assert len(expected) == len(published.weights), "every path is of one weight"
    for weight in backbone.net.weights:
        np.testing.assert_array_equal(weight, expected[weight.path])


@pytest.mark.slow
def test_convnext_has_no_grouped_operation_and_its_own_weights_fit() -> None:
    """Its grouped convolutions become depthwise ones, of other axes; the maps are those of the model itself."""
    keras.utils.set_random_seed(0)
    model = keras.applications.ConvNeXtTiny(include_top=False, weights=None, input_shape=(None, None, 3))
    backbone = Application("ConvNeXtTiny", norm_epsilon=None, **MOBILE)
    copy_weights(model, backbone.net)
    assert not [one for one in flat_layers(backbone.net) if getattr(one, "groups", 1) > 1]
    photos = (pictures(2) + 1) * 127.5
    maps = backbone.of_pixels(photos)
    assert [value.shape[1:] for value in maps.values()] == [
        (8, 8, 96), (4, 4, 192), (2, 2, 384), (2, 2, 384), (2, 2, 384),
    ]  # fmt: skip
    # Sums have numbers for names, which differ: the deepest one is what follows the layer of this name.
    deepest = backbone.net.outputs[-1]._keras_history.operation
    before = max(tensor._keras_history.operation.name for tensor in deepest.input)
    assert before.startswith("convnext_tiny_stage_2_block_")
    (node,) = model.get_layer(before)._outbound_nodes
    itself = keras.Model(model.input, node.operation.output)(photos)
    np.testing.assert_allclose(maps["conv5"], itself, rtol=1e-3, atol=1e-4)
