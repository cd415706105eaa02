"""ResNet-18 at the paper's size."""

from __future__ import annotations

import numpy as np

from tests.support.small_backbones import NORM
from tf_spot.models.backbones import ResNet18


def test_resnet18_has_the_parameters_of_the_paper() -> None:
    """Of conv1 ... conv5_x: 11,689,512 with the thousand classes' layer, which has 512 * 1000 + 1000."""
    backbone = ResNet18(width=1.0, **NORM)
    assert sum(int(np.prod(v.shape)) for v in backbone.trainable_variables) == 11_689_512 - 513_000
