"""Models of keras.applications as backbones."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.support.small_backbones import ALEXNET, NORM, pictures
from tf_spot.config import APPLICATIONS
from tf_spot.errors import UserError
from tf_spot.models.backbones import ResNet18, build_backbone
from tf_spot.models.discriminator import Discriminator


def test_every_name_is_one_of_keras_and_those_left_out_are_known() -> None:
    names = {name for name in dir(keras.applications) if name[0].isupper()}
    assert set(APPLICATIONS) <= names
    left_out = {name for name in names - set(APPLICATIONS) if not name.startswith(("ConvNeXt", "Inception", "NASNet"))}
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
