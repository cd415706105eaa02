"""What several tests of models share."""

from __future__ import annotations

import pytest

from tests.support.small_backbones import OTHERS, WIDTHS, discriminator
from tf_spot.models.discriminator import Discriminator


@pytest.fixture(scope="module", params=OTHERS)
def judge(request: pytest.FixtureRequest) -> Discriminator:
    """Tests leave it as it was."""
    return discriminator(request.param, width=WIDTHS[request.param])
