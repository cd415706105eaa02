"""Photos that the tests of comparisons share."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.support.comparison_recipe import CONFIG
from tf_spot.data import Source, load


@pytest.fixture(scope="session")
def reds_and_blues(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The spec of sixty reddish and bluish photos; a tenth is for testing."""
    folder = tmp_path_factory.mktemp("photos")
    numbers = np.random.default_rng(0)
    for i in range(60):
        small = numbers.integers(0, 128, (4, 4, 3), np.uint8)
        small[..., 2 * (i % 2)] += 127
        (folder / "ab"[i % 2]).mkdir(exist_ok=True)
        Image.fromarray(small).resize((24, 24)).save(folder / "ab"[i % 2] / f"{i:02d}.png")
    return f"folder:{folder}"


@pytest.fixture(scope="session")
def source(reds_and_blues: str) -> Source:
    """Those photos, opened."""
    return load(reds_and_blues, image_size=16, config=CONFIG.data)
