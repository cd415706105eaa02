"""Small backbones other than AlexNet, and what their tests share."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_spot.models.discriminator import Discriminator

OTHERS = ("resnet18", "MobileNetV3Small")
WIDTHS = {"resnet18": 0.25, "MobileNetV3Small": 1.0}  # about a million weights each
NORM = {"norm_momentum": 0.9, "norm_epsilon": 1e-3}
ALEXNET = {"stem_kernel": 5, "stem_stride": 4, "trunk_norm": "batch"}
MAPS = [f"conv{i}" for i in range(1, 6)]


def pictures(count: int = 4, size: int = 32, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).uniform(-1, 1, (count, 4, 4, 3)).astype("float32")
    return tf.image.resize(coarse, (size, size)).numpy()


def discriminator(name: str, **changes: Any) -> Discriminator:
    keras.utils.set_random_seed(0)
    return Discriminator(image_size=32, backbone=name, fc_units=8, **NORM, **changes)


def moments(norms: list[Any]) -> list[np.ndarray]:
    return [moving.numpy() for norm in norms for moving in (norm.moving_mean, norm.moving_variance)]
