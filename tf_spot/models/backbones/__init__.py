"""What transfers: five maps of an image, conv1 ... conv5, from the paper's network or another one."""

from __future__ import annotations

from typing import Any

from tf_spot.models.backbones.alexnet import AlexNet
from tf_spot.models.backbones.base import Backbone
from tf_spot.models.backbones.keras_applications import Application
from tf_spot.models.backbones.resnet18 import ResNet18

__all__ = ["AlexNet", "Application", "Backbone", "ResNet18", "build_backbone"]


def build_backbone(name: str, *, stem_kernel: int, stem_stride: int, trunk_norm: str, **common: Any) -> Backbone:
    """The untrained backbone of that name.

    Args:
        name: `alexnet`, `resnet18`, or a function of `keras.applications`.
        stem_kernel, stem_stride, trunk_norm: of AlexNet, the others have their own.
        **common: `width`, `norm_momentum`, `norm_epsilon`, `dtype`.

    Raises:
        UserError: an unknown name, or a width that the model does not come in.
    """
    if name == "alexnet":
        return AlexNet(stem_kernel=stem_kernel, stem_stride=stem_stride, trunk_norm=trunk_norm, **common)
    return ResNet18(**common) if name == "resnet18" else Application(name, **common)
