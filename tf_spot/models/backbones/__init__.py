"""What transfers: five maps of an image, conv1 ... conv5, from the paper's network or another one."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import keras

from tf_spot.config import APPLICATIONS, BACKBONES
from tf_spot.errors import UserError
from tf_spot.models.backbones.alexnet import AlexNet
from tf_spot.models.backbones.base import Backbone
from tf_spot.models.backbones.functional import FunctionalBackbone
from tf_spot.models.backbones.keras_applications import Application
from tf_spot.models.backbones.lab_halves import LabHalves
from tf_spot.models.backbones.own import KerasBackbone, load_own
from tf_spot.models.backbones.resnet18 import ResNet18

__all__ = [
    "AlexNet",
    "Application",
    "Backbone",
    "FunctionalBackbone",
    "KerasBackbone",
    "LabHalves",
    "ResNet18",
    "build_backbone",
    "load_own",
]


def build_backbone(
    name: str,
    *,
    width: float,
    stem_kernel: int,
    stem_stride: int,
    trunk_norm: str,
    norm_momentum: float,
    norm_epsilon: float | None,
    layers: Sequence[str] | None = None,
    dtype: keras.DTypePolicy | str | None = None,
) -> Backbone:
    """Make the untrained backbone of that name.

    Args:
        name: `alexnet`, `resnet18`, or a function of `keras.applications`.
        stem_kernel, stem_stride, trunk_norm: of AlexNet, the others have their own.
        width: factor on the channel counts.
        norm_momentum, norm_epsilon: of batch norm; no epsilon: that of the model of `keras.applications`.
        layers: of a model of `keras.applications`, five names, see `Application`.
        dtype: precision of its computations.

    Raises:
        UserError: an unknown name, a width that the model does not come in, or layers that it has not.
    """
    if name not in BACKBONES:
        near = ", ".join(difflib.get_close_matches(str(name), BACKBONES, n=3, cutoff=0))
        raise UserError(f"a backbone must be one of {len(BACKBONES)}, such as {near}; received: {name!r}")
    common: dict[str, Any] = {"width": width, "norm_momentum": norm_momentum, "norm_epsilon": norm_epsilon}
    common["dtype"] = dtype
    if name in APPLICATIONS:
        return Application(name, layers=layers, **common)
    if layers:
        raise UserError(
            f"layers are chosen of a model of one's own or of keras.applications; received: {name}, whose five layers "
            "are fixed; leave them out"
        )
    if name == "alexnet":
        return AlexNet(stem_kernel=stem_kernel, stem_stride=stem_stride, trunk_norm=trunk_norm, **common)
    return ResNet18(**common)
