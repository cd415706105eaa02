"""Networks for the tests of networks: the paper's settings, and narrow ones."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tf_spot.models.discriminator import Discriminator

NORM = {"norm_momentum": 0.975, "norm_epsilon": 1e-3}
CODER = {"negative_slope": 0.2} | NORM


def parameters(model: keras.Model) -> int:
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


def discriminator(image_size: int, **changes: Any) -> Discriminator:
    settings = {"width": 1.0, "stem_kernel": 11, "stem_stride": 4, "trunk_norm": "response", "fc_units": 4096}
    return Discriminator(image_size=image_size, dropout_rate=0.5, **(settings | NORM | changes))


def narrow(image_size: int = 32, **changes: Any) -> Discriminator:
    return discriminator(image_size, **({"width": 0.1, "fc_units": 8} | changes))
