"""AlexNet, the paper's backbone."""

from __future__ import annotations

import pytest

from tests.support.small_networks import NORM
from tf_spot.models.backbones import AlexNet


def test_trunk_norm_is_checked() -> None:
    with pytest.raises(ValueError, match="trunk_norm"):
        AlexNet(0.1, 5, 1, "layer", **NORM)
