"""An untrained run of 16 pixels and some photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tf_spot.config import Config, preset
from tf_spot.inference.embed import embed
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.runs.run import Run


@pytest.fixture(scope="session")
def config() -> Config:
    small = {"data.image_size": 16, "network.width": 0.125, "network.fc_units": 8, "training.batch_size": 4}
    return preset("tiny").replace(**small)


@pytest.fixture(scope="session")
def run(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained spotter in a run folder."""
    data = {"spec": "none", "name": "none", "fingerprint": "", "counts": {}}
    run = Run.create(tmp_path_factory.mktemp("runs") / "run", config, data)
    build_spotter(config, build_autoencoder(config)).save(run.model_path("spotter"))
    return run.path


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """22 photos to train on, of which the seventh cannot be read, and 5 to test on."""
    random = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("photos")
    for split, count in (("train", 11), ("test", 3)):
        for label in ("ant", "bee"):
            (folder / split / label).mkdir(parents=True)
            for i in range(count):
                photo = random.integers(0, 256, (20, 24, 3), np.uint8)
                Image.fromarray(photo).save(folder / split / label / f"{i:02}.png")
    (folder / "train" / "ant" / "06.png").write_text("no picture")
    (folder / "test" / "bee" / "02.png").unlink()
    return folder


@pytest.fixture(scope="session")
def whole(run: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows of all photos, made without a stop."""
    out = tmp_path_factory.mktemp("embedded") / "all.parquet"
    figures = embed(run, f"folder:{photos}", out, batch_size=4, chunk=8)
    assert figures == {"rows": 26, "dim": 32, "unreadable": 1}
    return out
